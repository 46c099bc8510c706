package kinesis

import (
	"context"
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/events"
)

// Result is what will be known of an event that was taken in.
type Result struct {
	p     *Publisher
	key   string
	hash  hashKey
	data  []byte // nil when settled
	at    time.Time
	group *group
	doubt bool // it was in a request whose outcome is unknown

	pos  events.Position
	err  error
	done chan struct{} // closed when pos and err are final
}

// Done is closed when the event is on the stream or has failed.
func (r *Result) Done() <-chan struct{} { return r.done }

// Wait returns where the event is, or why it is not on the stream. When ctx ends
// before that is known, the event stays queued and is still sent; waiting again
// is fine. What is known already is returned even if ctx has ended.
func (r *Result) Wait(ctx context.Context) (events.Position, error) {
	select {
	case <-r.done:
		return r.pos, r.err
	default:
	}
	select {
	case <-r.done:
		return r.pos, r.err
	case <-ctx.Done():
	}
	return events.Position{}, fmt.Errorf("publishers/kinesis: the event is queued, will be sent, and is not yet in %s: %w%s",
		r.p.place.text, ctx.Err(), r.p.lastFailure())
}

// settle makes results final whose pos and err are set.
func (p *Publisher) settle(results []*Result) {
	bytes := p.count(results)
	p.gate.leave(len(results), bytes)
	for _, r := range results {
		r.data = nil
		close(r.done)
	}
}

func (p *Publisher) count(results []*Result) (bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range results {
		bytes += len(r.data)
		if r.err == nil {
			p.counted.Events++
			p.counted.Bytes += int64(len(r.data))
		} else {
			p.counted.Failed++
		}
		r.group.settled(r.err)
	}
	return bytes
}

// fail settles results with one error.
func (p *Publisher) fail(results []*Result, err error) {
	for _, r := range results {
		r.err = err
	}
	p.settle(results)
}
