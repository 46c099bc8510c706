package lambda

import (
	"context"
	"time"

	"github.com/banyan-fig/banyan/infra/dynamostream"
	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/filter"
	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/sources"
	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/streams"
)

// mapping connects a stream or a queue to a function. It does not change once it is made.
type mapping struct {
	host   *Host
	uuid   string
	source string // ARN
	status *streams.Status
	run    func(context.Context) // reads until the context ends
	wanted wanted
	failed *sources.OnFailure // or nil
}

func (h *Host) newMapping(id, source, role string, w wanted) *mapping {
	m := &mapping{
		host: h, uuid: id, source: source, wanted: w, status: streams.NewStatus(),
	}
	if w.onFailure != "" {
		m.failed = &sources.OnFailure{
			Queue:     sources.Queue{Client: h.clients.sqs, ARN: w.onFailure},
			StreamARN: source, FunctionARN: h.arn(w.ref.name, w.ref.qualifier),
		}
	}
	cfg := streams.Config{
		Invoker: m, Destination: m, Status: m.status,
		Pace: streams.Pace{Idle: h.cfg.PollInterval, Backoff: h.cfg.RetryBackoff, BackoffMax: h.cfg.RetryBackoffMax},
	}
	if kind(source) == filter.SQS {
		m.run = func(ctx context.Context) { streams.ReadQueue(ctx, h.queue(source), cfg, w.settings) }
		return m
	}
	cfg.Source = h.stream(source, role)
	reader := streams.New(cfg)
	m.run = func(ctx context.Context) { reader.Run(ctx, w.settings) }
	return m
}

// queue returns the queue behind an ARN.
func (h *Host) queue(arn string) *sources.Queue {
	return &sources.Queue{Client: h.clients.sqs, ARN: arn, Region: h.cfg.Region}
}

// stream returns the stream behind an ARN.
func (h *Host) stream(arn, role string) streams.Source {
	if kind(arn) == filter.DynamoDB {
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
	if m.failed == nil {
		return nil
	}
	return m.failed.Send(ctx, d)
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
		BatchSize: s.BatchSize, EventSourceArn: m.source, FilterCriteria: w.filters,
		EventSourceMappingArn:          "arn:aws:lambda:" + m.host.cfg.Region + ":" + m.host.cfg.Account + ":event-source-mapping:" + m.uuid,
		FunctionArn:                    m.host.arn(w.ref.name, w.ref.qualifier),
		LastModified:                   toSeconds(w.modified),
		LastProcessingResult:           m.status.Result(),
		MaximumBatchingWindowInSeconds: int(s.Window / time.Second), ScalingConfig: w.scaling,
		State: m.state(), StateTransitionReason: "User action", UUID: m.uuid,
	}
	if s.ReportFailures {
		out.FunctionResponseTypes = []string{reportBatchItemFailures}
	}
	if kind(m.source) == filter.SQS {
		return out
	}
	out.streamOutput = &streamOutput{
		BisectBatchOnFunctionError: s.Bisect, MaximumRecordAgeInSeconds: -1, MaximumRetryAttempts: s.Retries,
		ParallelizationFactor: s.Lanes, StartingPosition: string(s.Start.Start),
	}
	if s.MaxAge > 0 {
		out.MaximumRecordAgeInSeconds = int(s.MaxAge / time.Second)
	}
	if w.onFailure != "" {
		out.DestinationConfig.OnFailure = &destinationARN{w.onFailure}
	}
	return out
}
