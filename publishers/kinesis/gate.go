package kinesis

import (
	"context"
	"sync"
)

// gate bounds what is pending, in events and in bytes. Who waits is let in
// first come, first served, so that small events do not starve a large one.
type gate struct {
	events, bytes int // the bounds

	mu          sync.Mutex
	eventsInUse int
	bytesInUse  int
	waiting     []*waiter
	closed      bool
}

type waiter struct {
	bytes   int
	outcome chan error // buffered, gets one value
}

func newGate(events, bytes int) *gate { return &gate{events: events, bytes: bytes} }

// tryEnter takes a place without waiting.
func (g *gate) tryEnter(bytes int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return ErrClosed
	case len(g.waiting) > 0 || !g.fits(bytes):
		return ErrFull
	}
	g.take(bytes)
	return nil
}

// enter waits for a place until ctx ends or the gate is closed.
func (g *gate) enter(ctx context.Context, bytes int) error {
	err := g.tryEnter(bytes)
	if err != ErrFull { //nolint:errorlint // our own, unwrapped
		return err
	}
	w := g.join(bytes)
	select {
	case err := <-w.outcome:
		return err
	case <-ctx.Done():
		return g.abandon(w, ctx.Err())
	}
}

func (g *gate) join(bytes int) *waiter {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := &waiter{bytes, make(chan error, 1)}
	if g.closed {
		w.outcome <- ErrClosed
		return w
	}
	g.waiting = append(g.waiting, w)
	g.admit()
	return w
}

// abandon leaves the queue, and gives the place back if it was just given.
func (g *gate) abandon(w *waiter, cause error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case err := <-w.outcome:
		if err == nil {
			g.give(1, w.bytes)
		}
	default:
		for i, other := range g.waiting {
			if other == w {
				g.waiting = append(g.waiting[:i], g.waiting[i+1:]...)
				break
			}
		}
	}
	g.admit()
	return cause
}

func (g *gate) leave(events, bytes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.give(events, bytes)
	g.admit()
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, w := range g.waiting {
		w.outcome <- ErrClosed
	}
	g.waiting = nil
}

func (g *gate) fits(bytes int) bool {
	return g.eventsInUse < g.events && g.bytesInUse+bytes <= g.bytes
}

func (g *gate) take(bytes int) {
	g.eventsInUse++
	g.bytesInUse += bytes
}

func (g *gate) give(events, bytes int) {
	g.eventsInUse -= events
	g.bytesInUse -= bytes
}

func (g *gate) admit() {
	for len(g.waiting) > 0 && g.fits(g.waiting[0].bytes) {
		g.take(g.waiting[0].bytes)
		g.waiting[0].outcome <- nil
		g.waiting = g.waiting[1:]
	}
}

func (g *gate) inUse() (events, bytes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.eventsInUse, g.bytesInUse
}
