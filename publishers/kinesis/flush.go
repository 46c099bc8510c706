package kinesis

import (
	"context"
	"fmt"
	"slices"
)

// group counts the events that came in between two flushes, so that a flush
// need not wait for those that come in after it. Publisher.mu guards it.
type group struct {
	pending int
	failed  int
	first   error // of the failed
	sealed  bool
	done    chan struct{}
}

func newGroup() *group { return &group{done: make(chan struct{})} }

func (g *group) settled(some grouped) {
	g.pending -= some.events
	g.failed += some.failed
	if g.first == nil {
		g.first = some.first
	}
	g.finish()
}

func (g *group) seal() {
	g.sealed = true
	g.finish()
}

func (g *group) finish() {
	if g.sealed && g.pending == 0 {
		close(g.done)
	}
}

func (g *group) isDone() bool { return g.sealed && g.pending == 0 }

// Flush sends what was taken in before, without lingering, and returns when
// each of these events is on the stream or has failed. It fails when ctx ends
// before, and tells how many events failed since the last flush.
func (p *Publisher) Flush(ctx context.Context) error {
	failed, first, err := p.drain(ctx)
	if err != nil {
		return fmt.Errorf("publishers/kinesis: flush: %s: %w%s", p.crowd("still wait"), err, p.lastFailure())
	}
	if failed > 0 {
		return fmt.Errorf("publishers/kinesis: flush: %d events failed, the first: %w", failed, first)
	}
	return nil
}

func (p *Publisher) drain(ctx context.Context) (failed int, first error, err error) {
	groups := p.hurry()
	defer p.relax()
	for _, g := range groups {
		select {
		case <-g.done:
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range groups {
		if failed == 0 {
			first = g.first
		}
		failed += g.failed
	}
	return failed, first, nil
}

// hurry ends lingering and returns the groups of everything taken in so far.
func (p *Publisher) hurry() []*group {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.urgent++
	p.group.seal()
	groups := append(p.sealed, p.group)
	p.group = newGroup()
	p.sealed = slices.DeleteFunc(slices.Clone(groups), (*group).isDone)
	for _, l := range p.lanes {
		l.ring()
	}
	return groups
}

func (p *Publisher) relax() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.urgent--
}
