package consumers

import (
	"context"
	"encoding/json"
	"io"
	"sync"
	"time"
)

// Report is what became of one batch.
type Report struct {
	Consumer string
	At       time.Time
	// Records is how many Kinesis records the batch had, Messages how many
	// events were in them. Messages = Applied + Stale + Parked + Failed +
	// Unhandled.
	Records, Messages int
	Applied           int
	Stale             int // duplicates and late deliveries that changed nothing
	Parked            int // kept as dead letters
	Failed            int // reported as failed
	Unhandled         int // not begun or cut short, and delivered again
	// Lags is, for each message that was applied, how long ago it arrived.
	Lags []time.Duration
	// Errors has the first few reasons of what was parked or failed.
	Errors []error
}

const maxReportErrors = 10

func (b *batch) report(consumer string, records int, now time.Time) Report {
	r := Report{Consumer: consumer, At: now, Records: records, Messages: len(b.tasks)}
	for _, t := range b.tasks {
		switch t.done.kind {
		case applied:
			r.Applied++
			r.Lags = append(r.Lags, now.Sub(t.message.Arrived))
		case stale:
			r.Stale++
		case parked:
			r.Parked++
		case failed:
			r.Failed++
		case unhandled:
			r.Unhandled++
		}
		if t.done.err != nil && len(r.Errors) < maxReportErrors {
			r.Errors = append(r.Errors, t.done.err)
		}
	}
	return r
}

// EMF returns an observer that writes the figures of each batch to w (on
// Lambda: the standard output) as one line in the CloudWatch embedded metric
// format,
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html,
// under the given namespace with the dimension Function: the name under which the
// consumer is deployed, which tells environments apart. A line that cannot be
// written is lost: metrics must not fail a batch. Safe for concurrent use.
func EMF(w io.Writer, namespace, function string) func(context.Context, Report) {
	var mu sync.Mutex
	return func(_ context.Context, r Report) {
		line, err := json.Marshal(emfDocument(namespace, function, r))
		if err != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		_, _ = w.Write(append(line, '\n'))
	}
}

type emfMetric struct {
	Name string
	Unit string
}

func emfDocument(namespace, function string, r Report) map[string]any {
	doc := map[string]any{"Function": function, "Consumer": r.Consumer}
	var metrics []emfMetric
	add := func(name, unit string, value any) {
		doc[name] = value
		metrics = append(metrics, emfMetric{name, unit})
	}
	add("Records", "Count", r.Records)
	add("Applied", "Count", r.Applied)
	add("Stale", "Count", r.Stale)
	add("Parked", "Count", r.Parked)
	add("Failed", "Count", r.Failed)
	add("Unhandled", "Count", r.Unhandled)
	if lags := sampleLags(r.Lags); len(lags) > 0 {
		add("Lag", "Milliseconds", lags)
	}
	doc["_aws"] = map[string]any{
		"Timestamp": r.At.UnixMilli(),
		"CloudWatchMetrics": []any{map[string]any{
			"Namespace":  namespace,
			"Dimensions": [][]string{{"Function"}},
			"Metrics":    metrics,
		}},
	}
	return doc
}

// maxEMFValues is how many values a metric may have in one document.
const maxEMFValues = 100

// sampleLags thins the lags out evenly, in milliseconds. The greatest is always
// among them, in the first place.
func sampleLags(lags []time.Duration) []float64 {
	if len(lags) == 0 {
		return nil
	}
	greatest := lags[0]
	for _, l := range lags {
		greatest = max(greatest, l)
	}
	values := []float64{milliseconds(greatest)}
	step := max(1, (len(lags)+maxEMFValues-2)/(maxEMFValues-1))
	skipped := false
	for i := 0; i < len(lags); i += step {
		if !skipped && lags[i] == greatest {
			skipped = true
			continue
		}
		values = append(values, milliseconds(lags[i]))
	}
	return values
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
