package lambda

import (
	"context"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/infra/dynamostream"
	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/sources"
	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/streams"
)

// mapping connects a stream to a function. It does not change once it is made.
type mapping struct {
	host   *Host
	uuid   string
	source string // ARN
	status *streams.Status
	reader *streams.Mapping
	wanted wanted
	queue  *sources.Queue // the on-failure destination, or nil
}

func (h *Host) newMapping(id, source, role string, w wanted) *mapping {
	m := &mapping{
		host: h, uuid: id, source: source, wanted: w, status: streams.NewStatus(),
	}
	if w.onFailure != "" {
		m.queue = &sources.Queue{
			Client: h.clients.sqs, ARN: w.onFailure, StreamARN: source, FunctionARN: h.arn(w.ref.name, w.ref.qualifier),
		}
	}
	m.reader = streams.New(streams.Config{
		Source: h.stream(source, role), Invoker: m, Destination: m, Status: m.status,
		Pace: streams.Pace{Idle: h.cfg.PollInterval, Backoff: h.cfg.RetryBackoff, BackoffMax: h.cfg.RetryBackoffMax},
	})
	return m
}

// stream returns the source behind an ARN.
func (h *Host) stream(arn, role string) streams.Source {
	if strings.Contains(arn, ":dynamodb:") {
		return &sources.DynamoDB{Stream: dynamostream.Stream{Client: h.clients.dynamodb, ARN: arn}, Region: h.cfg.Region}
	}
	return &sources.Kinesis{Client: h.clients.kinesis, ARN: arn, Region: h.cfg.Region, Role: role}
}

// Invoke gives a batch to the function.
func (m *mapping) Invoke(ctx context.Context, payload []byte) streams.Outcome {
	a, err := m.host.invoke(ctx, call{ref: m.wanted.ref, payload: payload})
	if err != nil {
		return streams.Outcome{Undelivered: true, Reason: err.Error()}
	}
	return streams.Outcome{
		Payload: a.Payload, FunctionError: a.FunctionError, RequestID: a.requestID, Version: a.version, Again: duplicate(a.fault),
	}
}

// Send tells the on-failure destination, if there is one.
func (m *mapping) Send(ctx context.Context, d streams.Discarded) error {
	if m.queue == nil {
		return nil
	}
	return m.queue.Send(ctx, d)
}

// state is the State of the API.
func (m *mapping) state() string {
	if !m.wanted.enabled {
		return "Disabled"
	}
	select {
	case <-m.status.Ready():
		return "Enabled"
	default:
		return "Creating"
	}
}

func (m *mapping) describe() mappingOutput {
	w, s := m.wanted, m.wanted.settings
	out := mappingOutput{
		BatchSize: s.BatchSize, BisectBatchOnFunctionError: s.Bisect, EventSourceArn: m.source,
		EventSourceMappingArn:          "arn:aws:lambda:" + m.host.cfg.Region + ":" + m.host.cfg.Account + ":event-source-mapping:" + m.uuid,
		FunctionArn:                    m.host.arn(w.ref.name, w.ref.qualifier),
		LastModified:                   toSeconds(w.modified),
		LastProcessingResult:           m.status.Result(),
		MaximumBatchingWindowInSeconds: int(s.Window / time.Second),
		MaximumRecordAgeInSeconds:      -1, MaximumRetryAttempts: s.Retries, ParallelizationFactor: s.Lanes,
		StartingPosition: string(s.Start.Start), State: m.state(), StateTransitionReason: "User action", UUID: m.uuid,
	}
	if s.MaxAge > 0 {
		out.MaximumRecordAgeInSeconds = int(s.MaxAge / time.Second)
	}
	if s.ReportFailures {
		out.FunctionResponseTypes = []string{reportBatchItemFailures}
	}
	if w.onFailure != "" {
		out.DestinationConfig.OnFailure = &destinationARN{w.onFailure}
	}
	return out
}
