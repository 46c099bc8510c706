package autoscale

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

// Serve is the stream-autoscaler function. It never fails: the next schedule finds
// what is left to do.
func (a *Autoscaler) Serve(logger *slog.Logger, metrics *emf.Writer) func(context.Context, json.RawMessage) error {
	return func(ctx context.Context, event json.RawMessage) error {
		streams := alarmedStreams(event)
		outcomes := a.Run(ctx, streams...)
		if len(outcomes) == 0 {
			logger.WarnContext(ctx, "alarm about streams without a policy in AUTOSCALE_STREAMS", "streams", streams)
		}
		for _, out := range outcomes {
			out.logTo(ctx, logger)
			metrics.Write(out.metricLine(a))
		}
		return nil
	}
}

// alarmedStreams lists the streams that the alarms of a notification are about. Any other
// event is about all.
func alarmedStreams(event json.RawMessage) []string {
	var in events.SNSEvent
	if json.Unmarshal(event, &in) != nil {
		return nil
	}
	var out []string
	for _, r := range in.Records {
		var alarm events.CloudWatchAlarmSNSPayload
		if json.Unmarshal([]byte(r.SNS.Message), &alarm) != nil {
			return nil
		}
		stream := ""
		for _, d := range alarm.Trigger.Dimensions {
			if d.Name == dimStream {
				stream = d.Value
			}
		}
		if stream == "" {
			return nil
		}
		out = append(out, stream)
	}
	return out
}

func (o Outcome) logTo(ctx context.Context, logger *slog.Logger) {
	switch {
	case o.Err != nil:
		logger.ErrorContext(ctx, "scaling a stream failed", "stream", o.Stream, "action", o.Action, "reason", o.Reason, "error", o.Err.Error())
	case o.AtLimit || o.HotKey || o.MetricsMissing:
		logger.WarnContext(ctx, "stream needs an operator", "stream", o.Stream, "shards", o.Shards, "reason", o.Reason)
	default:
		logger.InfoContext(ctx, o.message(), "stream", o.Stream, "shards", o.Shards, "action", o.Action, "done", o.Done,
			"reason", o.Reason, "utilisation", percent(o.Hottest), "throttled", o.Throttled, "scalingsLeft", o.Left)
	}
}

func (o Outcome) message() string {
	switch {
	case o.Action == Nothing || o.Action == Confirm:
		return "checked a stream"
	case o.Done:
		return "changed the shards of a stream"
	}
	return "would have changed the shards of a stream"
}

func (o Outcome) metricLine(a *Autoscaler) emf.Line {
	l := emf.Line{
		At: a.now(), Dimensions: map[string]string{"Stream": o.Stream},
		Properties: map[string]any{"Reason": o.Reason},
	}
	count := func(name string, n float64) {
		l.Metrics = append(l.Metrics, emf.Metric{Name: name, Unit: emf.Count, Value: n})
	}
	flag := func(name string, set bool) {
		n := 0.0
		if set {
			n = 1
		}
		count(name, n)
	}
	if o.Shards > 0 {
		count("Shards", float64(o.Shards))
		count("Throttled", o.Throttled)
		count("ScalingsLeft", float64(o.Left))
		l.Metrics = append(l.Metrics, emf.Metric{Name: "Utilisation", Unit: emf.Percent, Value: 100 * o.Hottest})
	}
	flag("ScaledUp", o.Done && o.Action == Up)
	flag("ScaledDown", o.Done && o.Action == Down)
	flag("Split", o.Done && o.Action == Split)
	flag("Merged", o.Done && o.Action == Merge)
	flag("AtLimit", o.AtLimit)
	flag("HotKey", o.HotKey)
	flag("MetricsMissing", o.MetricsMissing)
	flag("Failures", o.Err != nil)
	return l
}
