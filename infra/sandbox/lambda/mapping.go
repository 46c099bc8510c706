package lambda

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/sources"
	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/streams"
)

// mapping connects a stream to a function. One goroutine, supervise, runs it;
// requests change what is wanted of it.
type mapping struct {
	host   *Host
	uuid   string
	source string // ARN
	status *streams.Status
	reader *streams.Mapping

	mu      sync.Mutex
	wanted  wanted
	running bool
	changed chan struct{} // closed and replaced when wanted changes
	queue   *sources.Queue
}

func (h *Host) newMapping(id, source, role string, w wanted) *mapping {
	m := &mapping{
		host: h, uuid: id, source: source, wanted: w, status: streams.NewStatus(), changed: make(chan struct{}),
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
		return &sources.DynamoDB{Client: h.clients.dynamodb, ARN: arn, Region: h.cfg.Region}
	}
	return &sources.Kinesis{Client: h.clients.kinesis, ARN: arn, Region: h.cfg.Region, Role: role}
}

// change alters what is wanted, unless the change fails. The alteration must
// not ask the host for anything: the host's lock comes before the mapping's.
func (m *mapping) change(alter func(*wanted) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := m.wanted
	if err := alter(&next); err != nil {
		return err
	}
	next.deleted = next.deleted || m.wanted.deleted
	next.modified = time.Now()
	m.wanted = next
	close(m.changed)
	m.changed = make(chan struct{})
	return nil
}

// supervise makes the mapping what is wanted of it, until it is deleted or ctx
// ends. A change takes effect between two batches.
func (m *mapping) supervise(ctx context.Context) {
	for ctx.Err() == nil {
		m.mu.Lock()
		w, changed := m.wanted, m.changed
		m.running = w.enabled && !w.deleted
		m.queue = nil
		if w.onFailure != "" {
			m.queue = &sources.Queue{
				Client: m.host.clients.sqs, ARN: w.onFailure, StreamARN: m.source,
				FunctionARN: m.host.arn(w.ref.name, w.ref.qualifier),
			}
		}
		m.mu.Unlock()
		if w.deleted {
			m.host.forget(m.uuid)
			return
		}
		m.until(ctx, changed, w)
	}
}

// until runs the mapping, if it is enabled, until something else is wanted.
func (m *mapping) until(ctx context.Context, changed <-chan struct{}, w wanted) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	if w.enabled {
		wg.Go(func() { m.reader.Run(ctx, w.settings) })
	}
	select {
	case <-changed:
	case <-ctx.Done():
	}
	cancel()
	wg.Wait()
	m.mu.Lock()
	m.running = false
	m.mu.Unlock()
}

func (m *mapping) reference() reference {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wanted.ref
}

// Invoke gives a batch to the function.
func (m *mapping) Invoke(ctx context.Context, payload []byte) streams.Outcome {
	a, err := m.host.invoke(ctx, call{ref: m.reference(), payload: payload})
	if err != nil {
		return streams.Outcome{Undelivered: true, Reason: err.Error()}
	}
	return streams.Outcome{
		Payload: a.Payload, FunctionError: a.FunctionError, RequestID: a.requestID, Version: a.version, Again: duplicate(a.fault),
	}
}

// Send tells the on-failure destination, if there is one.
func (m *mapping) Send(ctx context.Context, d streams.Discarded) error {
	m.mu.Lock()
	queue := m.queue
	m.mu.Unlock()
	if queue == nil {
		return nil
	}
	return queue.Send(ctx, d)
}

// state is the State of the API.
func (m *mapping) state() string {
	ready := false
	select {
	case <-m.status.Ready():
		ready = true
	default:
	}
	switch {
	case m.wanted.deleted:
		return "Deleting"
	case !m.wanted.enabled && m.running:
		return "Disabling"
	case !m.wanted.enabled:
		return "Disabled"
	case ready:
		return "Enabled"
	default:
		return "Creating"
	}
}

func (m *mapping) describe() mappingOutput {
	m.mu.Lock()
	defer m.mu.Unlock()
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
	if s.Start.Start == streams.AtTimestamp {
		at := toSeconds(s.Start.Time)
		out.StartingPositionTimestamp = &at
	}
	return out
}
