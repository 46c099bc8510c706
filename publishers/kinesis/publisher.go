package kinesis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers"
)

// Publisher puts events on one stream, see the package comment for what it
// promises. Safe for concurrent use. It must be closed.
type Publisher struct {
	cfg      Config
	target   target
	start    time.Time       // times are durations since then
	ctx      context.Context // ends when Close returns, or its ctx ends
	cancel   context.CancelFunc
	running  sync.WaitGroup // the shard writers
	refresh  chan struct{}  // holds a token while no goroutine lists shards
	requests atomic.Uint64  // numbers them, over all shards

	closeOnce sync.Once
	closeErr  error

	mu        sync.Mutex // guards everything below, and what other types say it guards
	closed    bool
	flushing  int // flushes under way: no writer lingers meanwhile
	shards    *shardMap
	writers   []*shardWriter // in the order of shards.open
	keys      keys
	admission admission
	slab      []Result
	group     *flushGroup // of the events that come in now
	sealed    []*flushGroup
	counted   Counts
	reshards  int64
	unsent    int
	maybeSent int
}

// New lists the shards of the stream and starts a publisher. ctx bounds only that
// request; the publisher lives until [Publisher.Close]. It fails when the
// config is wrong, the stream does not exist or Kinesis cannot be reached.
func New(ctx context.Context, cfg Config) (*Publisher, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	p := &Publisher{
		cfg:       cfg,
		target:    newTarget(cfg.Client, cfg.Stream),
		start:     time.Now().Add(-1), // so that no time is zero
		keys:      newKeys(cfg.MaxPending),
		admission: admission{most: load{cfg.MaxPending, cfg.MaxPendingBytes}},
		refresh:   make(chan struct{}, 1),
		group:     newFlushGroup(),
	}
	m, err := p.listShardsWithRetry(ctx)
	if err != nil {
		return nil, err
	}
	p.ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	p.refresh <- struct{}{}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remapLocked(m)
	return p, nil
}

// Publish puts e on the stream and returns where it is, once it is there. While
// the publisher is full it waits, until ctx ends.
//
// An error that wraps the end of ctx says whether the event was enqueued; then it is
// still sent. Other errors are [ErrTooLarge], [ErrFull], [ErrClosed],
// events.ErrMalformed, or what Kinesis refused it for.
func (p *Publisher) Publish(ctx context.Context, e events.Event) (events.Position, error) {
	if err := p.checkEvent(&e); err != nil {
		return events.Position{}, err
	}
	c := newCall()
	data, err := events.AppendEncode(c.data[:0], e)
	c.data = data
	if err != nil {
		c.recycle()
		return events.Position{}, fmt.Errorf("publishers/kinesis: %w", err)
	}
	if _, err := p.enqueue(ctx, e.PartitionKey, data, &c.result); err != nil {
		c.recycle()
		return events.Position{}, fmt.Errorf("publishers/kinesis: publish event %s: %w", e.ID, err)
	}
	return c.wait(ctx)
}

// checkEvent applies Config.Check, if there is one.
func (p *Publisher) checkEvent(e *events.Event) error {
	if p.cfg.Check == nil {
		return nil
	}
	if err := p.cfg.Check(*e); err != nil {
		return fmt.Errorf("publishers/kinesis: %w", err)
	}
	return nil
}

// encoders are shared, so that events that are enqueued and completed together have
// their bytes in one piece of memory, whichever goroutine made them.
var encoders = sync.Pool{New: func() any { return new(events.Encoder) }}

// Enqueue enqueues e and returns at once, or as soon as the publisher is not full; see
// [Publisher.Publish] for the errors. Events of one key are on the stream in the order
// in which they were enqueued.
func (p *Publisher) Enqueue(ctx context.Context, e events.Event) (publishers.Receipt, error) {
	if err := p.checkEvent(&e); err != nil {
		return nil, err
	}
	encoder := encoders.Get().(*events.Encoder)
	data, err := encoder.Encode(e)
	encoders.Put(encoder)
	if err != nil {
		return nil, fmt.Errorf("publishers/kinesis: %w", err)
	}
	r, err := p.enqueue(ctx, e.PartitionKey, data, nil)
	if err != nil {
		return nil, fmt.Errorf("publishers/kinesis: publish event %s: %w", e.ID, err)
	}
	return r, nil
}

// EnqueueEncoded is Enqueue for an event that is encoded already, as
// events.Encode does, and which has that partition key. The publisher keeps
// data, which must not be changed any more.
func (p *Publisher) EnqueueEncoded(ctx context.Context, partitionKey string, data []byte) (publishers.Receipt, error) {
	r, err := p.enqueue(ctx, partitionKey, data, nil)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// enqueue enqueues an event, as r or, where that is nil, as a result of its own.
func (p *Publisher) enqueue(ctx context.Context, partitionKey string, data []byte, r *Result) (*Result, error) {
	if err := p.checkSize(partitionKey, data); err != nil {
		return nil, err
	}
	r, w, err := p.admitOrQueue(partitionKey, data, r)
	if w != nil {
		r, err = p.awaitAdmission(ctx, w)
	}
	if err != nil {
		return nil, p.explainRejection(err)
	}
	return r, nil
}

// checkSize refuses an event that would make Kinesis refuse the whole request.
func (p *Publisher) checkSize(partitionKey string, data []byte) error {
	if len(data) == 0 {
		return fmt.Errorf("%w: no bytes", events.ErrMalformed)
	}
	if most := p.cfg.largestEvent(partitionKey); len(data) > most {
		return fmt.Errorf("%w: %d bytes, the limit of %s is %d with a key of %d",
			ErrTooLarge, len(data), p.target.text, most, len(partitionKey))
	}
	return nil
}

// admitOrQueue pushes an event to its shard, or makes it wait while the publisher is full.
func (p *Publisher) admitOrQueue(partitionKey string, data []byte, r *Result) (*Result, *waiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.keys.known[partitionKey]
	if k == nil {
		var err error
		if k, err = p.addKeyLocked(partitionKey); err != nil {
			return nil, nil, err
		}
	}
	if p.closed {
		return nil, nil, ErrClosed
	}
	sw := p.writerOfLocked(k)
	admitted := p.admission.admits(sw, len(data))
	if !admitted && p.cfg.RefuseWhenFull {
		return nil, nil, ErrFull
	}
	if r == nil {
		r = p.newResultLocked()
	}
	r.p, r.key, r.data = p, k, data
	k.uses++
	if !admitted {
		w := p.admission.enqueueWaiter(sw, r)
		p.endLingeringLocked(sw)
		return nil, w, nil
	}
	p.pushLocked(sw, r)
	return r, nil, nil
}

// pushLocked gives an admitted event to the writer of its shard.
func (p *Publisher) pushLocked(sw *shardWriter, r *Result) {
	p.admission.occupy(sw, len(r.data))
	r.group = p.group
	r.group.pending++
	sw.pushLocked(r)
}

// explainRejection adds the cause to the error of an event that was not enqueued.
func (p *Publisher) explainRejection(err error) error {
	switch {
	case errors.Is(err, events.ErrMalformed):
		return err
	case errors.Is(err, ErrClosed):
		return fmt.Errorf("not enqueued: the publisher to %s: %w", p.target.text, ErrClosed)
	}
	return fmt.Errorf("not enqueued: %s: %w%s", p.describePending("wait"), err, p.lastFailureText())
}

// describePending says how much is pending, for messages about waiting.
func (p *Publisher) describePending(wait string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.admission.inUse
	return fmt.Sprintf("%d events with %d bytes %s for %s", n.events, n.bytes, wait, p.target.text)
}

// lastFailureText says why nothing moves, for messages about waiting.
func (p *Publisher) lastFailureText() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.failingLocked(); err != nil {
		return "; last failure: " + err.Error()
	}
	return ""
}

// failingLocked is the last error of a shard whose last request failed, nil if none did.
func (p *Publisher) failingLocked() error {
	for _, sw := range p.writers {
		if sw.last != nil {
			return sw.last
		}
	}
	return nil
}

// Close sends what is pending and ends the publisher. Nothing is enqueued any more, and
// callers that wait while it is full get [ErrClosed]. When ctx ends first, the
// requests in flight are broken off and the error is an [*UnsentError]. A second
// Close waits for the first and returns the same.
func (p *Publisher) Close(ctx context.Context) error {
	p.closeOnce.Do(func() { p.closeErr = p.shutdown(ctx) })
	return p.closeErr
}

func (p *Publisher) shutdown(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.rejectWaitersLocked()
	p.mu.Unlock()
	_, _, cause := p.awaitPending(ctx)
	p.cancel()
	p.running.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unsent == 0 {
		return nil
	}
	return &UnsentError{Stream: p.cfg.Stream, Events: p.unsent, MaybeSent: p.maybeSent, Cause: cause, Last: p.failingLocked()}
}
