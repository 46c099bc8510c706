package kinesis

import (
	"context"
	"fmt"
	"slices"
)

// flushGroup counts the events that were enqueued between two flushes, so that a flush
// need not wait for those that are enqueued after it. Publisher.mu guards it.
type flushGroup struct {
	pending int
	failed  int
	first   error // of the failed
	sealed  bool
	done    chan struct{}
}

func newFlushGroup() *flushGroup { return &flushGroup{done: make(chan struct{})} }

func (g *flushGroup) recordCompleted(some groupCount) {
	g.pending -= some.events
	g.failed += some.failed
	if g.first == nil {
		g.first = some.first
	}
	g.closeIfDone()
}

func (g *flushGroup) seal() {
	g.sealed = true
	g.closeIfDone()
}

func (g *flushGroup) closeIfDone() {
	if g.sealed && g.pending == 0 {
		close(g.done)
	}
}

func (g *flushGroup) isDone() bool { return g.sealed && g.pending == 0 }

// Flush sends what was enqueued before, without lingering, and returns when each of
// these events is on the stream or has failed. Its error says that ctx ended before, or
// how many events have failed since the last flush.
func (p *Publisher) Flush(ctx context.Context) error {
	failed, first, err := p.awaitPending(ctx)
	if err != nil {
		return fmt.Errorf("publishers/kinesis: flush: %s: %w%s", p.describePending("are still pending"), err, p.lastFailureText())
	}
	if failed > 0 {
		return fmt.Errorf("publishers/kinesis: flush: %d events failed, the first: %w", failed, first)
	}
	return nil
}

func (p *Publisher) awaitPending(ctx context.Context) (failed int, first error, err error) {
	groups := p.beginFlush()
	defer p.endFlush()
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

// beginFlush ends lingering and returns the groups of everything enqueued so far.
func (p *Publisher) beginFlush() []*flushGroup {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flushing++
	p.group.seal()
	groups := append(p.sealed, p.group)
	p.group = newFlushGroup()
	p.sealed = slices.DeleteFunc(slices.Clone(groups), (*flushGroup).isDone)
	for _, sw := range p.writers {
		sw.wakeLocked()
	}
	return groups
}

func (p *Publisher) endFlush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flushing--
}
