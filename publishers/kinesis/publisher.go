package kinesis

import (
	"context"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers"
)

// Publisher puts events on one stream, see the package comment for what it
// promises. Safe for concurrent use. It must be closed.
type Publisher struct {
	cfg     Config
	place   place
	gate    *gate
	ctx     context.Context // ends when Close gives up or is done
	cancel  context.CancelFunc
	running sync.WaitGroup // the lanes
	refresh chan struct{}  // holds a token while nobody lists shards

	closeOnce sync.Once
	closeErr  error

	mu      sync.Mutex // everything below, and what lanes say it guards
	closed  bool
	urgent  int // how many flushes want lanes not to linger
	shards  *shardMap
	lanes   []*lane // in the order of shards.open
	group   *group  // of the events that come in now
	sealed  []*group
	counted Stats
	unsent  int
	doubt   int
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
		gate:    newGate(cfg.MaxPending, cfg.MaxPendingBytes),
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
	r, err := p.Enqueue(ctx, e)
	if err != nil {
		return events.Position{}, err
	}
	return r.Wait(ctx)
}

// Enqueue takes e in and returns at once, or when there is place for it; see
// [Publisher.Publish] for the errors. Events of one key are on the stream in
// the order in which Enqueue took them in.
func (p *Publisher) Enqueue(ctx context.Context, e events.Event) (publishers.Receipt, error) {
	data, err := events.Encode(e)
	if err != nil {
		return nil, fmt.Errorf("publishers/kinesis: %w", err)
	}
	r, err := p.EnqueueEncoded(ctx, e.PartitionKey, data)
	if err != nil {
		return nil, fmt.Errorf("publishers/kinesis: publish event %s: %w", e.ID, err)
	}
	return r, nil
}

// EnqueueEncoded is Enqueue for an event that is encoded already, as
// events.Encode does, and which has that partition key. The publisher keeps
// data, which must not be changed any more.
func (p *Publisher) EnqueueEncoded(ctx context.Context, partitionKey string, data []byte) (publishers.Receipt, error) {
	if err := p.admissible(partitionKey, data); err != nil {
		return nil, err
	}
	if err := p.enter(ctx, len(data)); err != nil {
		return nil, err
	}
	r := &Result{
		p:    p,
		key:  partitionKey,
		hash: hashOf(partitionKey),
		data: data,
		at:   time.Now(),
		done: make(chan struct{}),
	}
	if !p.push(r) {
		p.gate.leave(1, len(data))
		return nil, p.errClosed()
	}
	return r, nil
}

// admissible refuses what Kinesis would refuse the whole request for.
func (p *Publisher) admissible(partitionKey string, data []byte) error {
	if n := utf8.RuneCountInString(partitionKey); n < 1 || n > events.MaxPartitionKey || !utf8.ValidString(partitionKey) {
		return fmt.Errorf("%w: partitionkey: %q is not 1 to %d characters of UTF-8",
			events.ErrMalformed, partitionKey[:min(len(partitionKey), 80)], events.MaxPartitionKey)
	}
	if len(data) == 0 {
		return fmt.Errorf("%w: no bytes", events.ErrMalformed)
	}
	if most := p.cfg.largestEvent(partitionKey); len(data) > most {
		return fmt.Errorf("%w: %d bytes, %s takes %d with a key of %d",
			ErrTooLarge, len(data), p.place.text, most, len(partitionKey))
	}
	return nil
}

func (p *Publisher) enter(ctx context.Context, bytes int) error {
	var err error
	if p.cfg.RefuseWhenFull {
		err = p.gate.tryEnter(bytes)
	} else {
		err = p.gate.enter(ctx, bytes)
	}
	switch err { //nolint:errorlint // our own, unwrapped
	case nil:
		return nil
	case ErrClosed:
		return p.errClosed()
	}
	n, size := p.gate.inUse()
	return fmt.Errorf("not taken in: %d events with %d bytes wait for %s: %w%s", n, size, p.place.text, err, p.lastFailure())
}

func (p *Publisher) errClosed() error {
	return fmt.Errorf("not taken in: the publisher to %s: %w", p.place.text, ErrClosed)
}

func (p *Publisher) push(r *Result) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	r.group = p.group
	r.group.pending++
	p.lanes[p.shards.find(r.hash)].push(r)
	return true
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
	p.mu.Unlock()
	p.gate.close()
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
