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
	place    place
	start    time.Time       // times are durations since then
	ctx      context.Context // ends when Close gives up or is done
	cancel   context.CancelFunc
	running  sync.WaitGroup // the lanes
	refresh  chan struct{}  // holds a token while nobody lists shards
	requests atomic.Uint64  // numbers them, over all lanes

	closeOnce sync.Once
	closeErr  error

	mu       sync.Mutex // everything below, and what others say it guards
	closed   bool
	urgent   int // how many flushes want lanes not to linger
	shards   *shardMap
	lanes    []*lane // in the order of shards.open
	keys     keys
	gate     gate
	slab     []Result
	group    *group // of the events that come in now
	sealed   []*group
	counted  Counts
	reshards int64
	unsent   int
	doubt    int
}

// New asks for the shards of the stream and starts a publisher. ctx bounds that
// question only; the publisher lives until [Publisher.Close]. It fails when the
// config is wrong, the stream does not exist or Kinesis cannot be reached.
func New(ctx context.Context, cfg Config) (*Publisher, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	p := &Publisher{
		cfg:     cfg,
		place:   newPlace(cfg.Client, cfg.Stream),
		start:   time.Now().Add(-1), // so that no time is zero
		keys:    newKeys(cfg.MaxPending),
		gate:    gate{most: load{cfg.MaxPending, cfg.MaxPendingBytes}},
		refresh: make(chan struct{}, 1),
		group:   newGroup(),
	}
	m, err := p.firstShards(ctx)
	if err != nil {
		return nil, err
	}
	p.ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	p.refresh <- struct{}{}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remap(m)
	return p, nil
}

// Publish puts e on the stream and returns where it is, once it is there. While
// the publisher is full it waits, until ctx ends.
//
// An error that wraps the end of ctx says whether the event was taken in; then
// it is still sent. Other errors are [ErrTooLarge], [ErrFull], [ErrClosed],
// events.ErrMalformed, or what Kinesis refused it for.
func (p *Publisher) Publish(ctx context.Context, e events.Event) (events.Position, error) {
	c := newCall()
	data, err := events.AppendEncode(c.data[:0], e)
	c.data = data
	if err != nil {
		c.drop()
		return events.Position{}, fmt.Errorf("publishers/kinesis: %w", err)
	}
	if _, err := p.take(ctx, e.PartitionKey, data, &c.result); err != nil {
		c.drop()
		return events.Position{}, fmt.Errorf("publishers/kinesis: publish event %s: %w", e.ID, err)
	}
	return c.wait(ctx)
}

// encoders are shared, so that events which come in and are settled together
// have their bytes in one piece of memory, whoever made them.
var encoders = sync.Pool{New: func() any { return new(events.Encoder) }}

// Enqueue takes e in and returns at once, or when there is place for it; see
// [Publisher.Publish] for the errors. Events of one key are on the stream in
// the order in which Enqueue took them in.
func (p *Publisher) Enqueue(ctx context.Context, e events.Event) (publishers.Receipt, error) {
	encoder := encoders.Get().(*events.Encoder)
	data, err := encoder.Encode(e)
	encoders.Put(encoder)
	if err != nil {
		return nil, fmt.Errorf("publishers/kinesis: %w", err)
	}
	r, err := p.take(ctx, e.PartitionKey, data, nil)
	if err != nil {
		return nil, fmt.Errorf("publishers/kinesis: publish event %s: %w", e.ID, err)
	}
	return r, nil
}

// EnqueueEncoded is Enqueue for an event that is encoded already, as
// events.Encode does, and which has that partition key. The publisher keeps
// data, which must not be changed any more.
func (p *Publisher) EnqueueEncoded(ctx context.Context, partitionKey string, data []byte) (publishers.Receipt, error) {
	r, err := p.take(ctx, partitionKey, data, nil)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// take takes an event in, as r or, where that is nil, as a result of its own.
func (p *Publisher) take(ctx context.Context, partitionKey string, data []byte, r *Result) (*Result, error) {
	if err := p.checkData(partitionKey, data); err != nil {
		return nil, err
	}
	r, w, err := p.enter(partitionKey, data, r)
	if w != nil {
		r, err = p.wait(ctx, w)
	}
	if err != nil {
		return nil, p.notTaken(err)
	}
	return r, nil
}

// checkData refuses what Kinesis would refuse the whole request for.
func (p *Publisher) checkData(partitionKey string, data []byte) error {
	if len(data) == 0 {
		return fmt.Errorf("%w: no bytes", events.ErrMalformed)
	}
	if most := p.cfg.largestEvent(partitionKey); len(data) > most {
		return fmt.Errorf("%w: %d bytes, %s takes %d with a key of %d",
			ErrTooLarge, len(data), p.place.text, most, len(partitionKey))
	}
	return nil
}

// enter takes an event in, or queues it where it has to wait.
func (p *Publisher) enter(partitionKey string, data []byte, r *Result) (*Result, *waiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.keys.known[partitionKey]
	if k == nil {
		var err error
		if k, err = p.meet(partitionKey); err != nil {
			return nil, nil, err
		}
	}
	if p.closed {
		return nil, nil, ErrClosed
	}
	l := p.laneOf(k)
	admitted := p.gate.admits(l, len(data))
	if !admitted && p.cfg.RefuseWhenFull {
		return nil, nil, ErrFull
	}
	if r == nil {
		r = p.newResult()
	}
	r.p, r.key, r.data = p, k, data
	k.uses++
	if !admitted {
		w := p.gate.join(l, r)
		p.hasten(l)
		return nil, w, nil
	}
	p.push(l, r)
	return r, nil, nil
}

// push needs mu, and place for r.
func (p *Publisher) push(l *lane, r *Result) {
	p.gate.take(l, len(r.data))
	r.group = p.group
	r.group.pending++
	l.push(r)
}

// notTaken explains why an event was not taken in.
func (p *Publisher) notTaken(err error) error {
	switch {
	case errors.Is(err, events.ErrMalformed):
		return err
	case errors.Is(err, ErrClosed):
		return fmt.Errorf("not taken in: the publisher to %s: %w", p.place.text, ErrClosed)
	}
	return fmt.Errorf("not taken in: %s: %w%s", p.crowd("wait"), err, p.lastFailure())
}

// crowd is for messages that tell of waiting.
func (p *Publisher) crowd(wait string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.gate.inUse
	return fmt.Sprintf("%d events with %d bytes %s for %s", n.events, n.bytes, wait, p.place.text)
}

// lastFailure is for messages that tell of waiting.
func (p *Publisher) lastFailure() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.failing(); err != nil {
		return "; last failure: " + err.Error()
	}
	return ""
}

// failing is the last error of a lane that does not get on, nil if all do. It
// needs mu.
func (p *Publisher) failing() error {
	for _, l := range p.lanes {
		if l.last != nil {
			return l.last
		}
	}
	return nil
}

// Close sends what is pending and ends the publisher. Nothing is taken in any
// more, and who waits for a place gets [ErrClosed]. When ctx ends first, the
// requests in flight are broken off and the error is an [*UnsentError]. A second
// Close waits for the first and returns the same.
func (p *Publisher) Close(ctx context.Context) error {
	p.closeOnce.Do(func() { p.closeErr = p.shutDown(ctx) })
	return p.closeErr
}

func (p *Publisher) shutDown(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.turnAway()
	p.mu.Unlock()
	_, _, cause := p.drain(ctx)
	p.cancel()
	p.running.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unsent == 0 {
		return nil
	}
	return &UnsentError{Stream: p.cfg.Stream, Events: p.unsent, Doubt: p.doubt, Cause: cause, Last: p.failing()}
}
