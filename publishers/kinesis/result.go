package kinesis

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/banyan-fig/banyan/events"
)

// Result is what becomes of an enqueued event. Safe for concurrent use.
//
// Results are allocated many at a time: keeping one keeps the memory of a few
// hundred, though not their events.
type Result struct {
	p         *Publisher
	key       *key
	data      []byte // nil when completed
	at        time.Duration
	group     *flushGroup
	maybeSent bool // it was in a request whose outcome is unknown
	once      bool // done belongs to a call of Publish, which waits for one value

	pos events.Position
	err error
	// done is nil until Done or Wait is called, then a channel to be closed, and
	// completed as soon as pos and err are final.
	done atomic.Pointer[chan struct{}]
}

// resultsPerSlab makes 32 KiB of them.
const resultsPerSlab = 292

// completed is the channel of every result whose Done was not called before it was final.
var completed = func() *chan struct{} {
	c := make(chan struct{})
	close(c)
	return &c
}()

func (p *Publisher) newResultLocked() *Result {
	if len(p.slab) == 0 {
		p.slab = make([]Result, resultsPerSlab)
	}
	r := &p.slab[0]
	p.slab = p.slab[1:]
	return r
}

// Done is closed when the event is on the stream or has failed.
func (r *Result) Done() <-chan struct{} {
	if c := r.done.Load(); c != nil {
		return *c
	}
	c := make(chan struct{})
	if r.done.CompareAndSwap(nil, &c) {
		return c
	}
	return *r.done.Load()
}

// Wait returns where the event is, or why it is not on the stream. When ctx ends
// before that is known, the event stays queued and is still sent; waiting again
// is fine. What is known already is returned even if ctx has ended.
func (r *Result) Wait(ctx context.Context) (events.Position, error) {
	if r.done.Load() == completed {
		return r.pos, r.err
	}
	done := r.Done()
	select {
	case <-done:
		return r.pos, r.err
	default:
	}
	select {
	case <-done:
		return r.pos, r.err
	case <-ctx.Done():
	}
	return events.Position{}, r.p.errQueued(ctx)
}

func (p *Publisher) errQueued(ctx context.Context) error {
	return fmt.Errorf("publishers/kinesis: the event is queued and will be sent, but is not yet in %s: %w%s",
		p.target.text, ctx.Err(), p.lastFailureText())
}

// complete wakes the waiting callers; pos and err are set. r may be in use for another event
// right after.
func (r *Result) complete() {
	r.key, r.data, r.group = nil, nil, nil
	if r.once {
		*r.done.Load() <- struct{}{}
		return
	}
	if c := r.done.Swap(completed); c != nil {
		close(*c)
	}
}

// call is the memory of one Publish, used again by others: only that call sees its
// result.
type call struct {
	result Result
	done   chan struct{} // has a value when the result is final
	data   []byte
}

var calls = sync.Pool{New: func() any { return &call{done: make(chan struct{}, 1)} }}

// maxReused is how many bytes the memory for an event may have to be used again.
const maxReused = 64 << 10

func newCall() *call {
	c := calls.Get().(*call)
	c.result.done.Store(&c.done)
	c.result.once = true
	return c
}

// recycle returns c to the pool; nothing may refer to it any more.
func (c *call) recycle() {
	if cap(c.data) > maxReused {
		c.data = nil
	}
	c.result.key, c.result.data, c.result.maybeSent = nil, nil, false
	c.result.pos, c.result.err = events.Position{}, nil
	calls.Put(c)
}

// wait recycles c unless ctx ends first: then the event is in flight in c's
// memory.
func (c *call) wait(ctx context.Context) (events.Position, error) {
	select {
	case <-c.done:
	default:
		select {
		case <-c.done:
		case <-ctx.Done():
			return events.Position{}, c.result.p.errQueued(ctx)
		}
	}
	pos, err := c.result.pos, c.result.err
	c.recycle()
	return pos, err
}
