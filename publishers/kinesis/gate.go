package kinesis

import (
	"cmp"
	"context"
	"slices"
	"sync"
)

// gate bounds what is pending, in events and in bytes, for all lanes together
// and for each of them. Publisher.mu guards it.
//
// A lane may have at most as much as is left free for the others, when there
// are others: so one slow shard comes to a half of the places, two to a third
// each, and a lane that has little pending finds a place at once, whatever the
// others suffer. (It is the dynamic threshold by which switches share their
// memory: Choudhury and Hahne, "Dynamic queue length thresholds for
// shared-memory packet switches", 1998.)
//
// Who waits is let in first come, first served, but for those whose lane has
// its part: they let the others pass. A large event that waits for places, not
// for its lane, lets nobody pass.
type gate struct {
	most   load // the bounds
	inUse  load
	shared bool // between several lanes

	tickets uint64
	queued  []*lane // those with waiters
	short   bool    // somebody waits for places, so that others have to as well
}

// load is an amount of events.
type load struct{ events, bytes int }

func (a *load) add(b load)      { a.events += b.events; a.bytes += b.bytes }
func (a *load) subtract(b load) { a.events -= b.events; a.bytes -= b.bytes }

// waiter is an event that waits for a place.
type waiter struct {
	result *Result
	lane   *lane
	ticket uint64
	turn   chan struct{} // has a token when the event was let in, or err is set
	err    error
}

var waiters = sync.Pool{New: func() any { return &waiter{turn: make(chan struct{}, 1)} }}

// admits tells whether an event that comes now has a place.
func (g *gate) admits(l *lane, bytes int) bool {
	return !g.short && len(l.waiters) == 0 && g.fits(bytes) && g.allows(l)
}

func (g *gate) fits(bytes int) bool {
	return g.inUse.events < g.most.events && g.inUse.bytes+bytes <= g.most.bytes
}

// allows tells whether a lane has no more than what is free.
func (g *gate) allows(l *lane) bool {
	return !g.shared ||
		l.use.events <= g.most.events-g.inUse.events && l.use.bytes <= g.most.bytes-g.inUse.bytes
}

func (g *gate) take(l *lane, bytes int) {
	g.inUse.add(load{1, bytes})
	l.use.add(load{1, bytes})
}

// join queues an event.
func (g *gate) join(l *lane, r *Result) *waiter {
	w := waiters.Get().(*waiter)
	g.tickets++
	w.result, w.lane, w.ticket, w.err = r, l, g.tickets, nil
	g.queue(w)
	return w
}

func (g *gate) queue(w *waiter) {
	if len(w.lane.waiters) == 0 {
		g.queued = append(g.queued, w.lane)
	}
	w.lane.waiters = append(w.lane.waiters, w)
}

// next returns who is to be let in next, nil when nobody can be.
func (g *gate) next() *waiter {
	var first *waiter
	for _, l := range g.queued {
		if w := l.waiters[0]; g.allows(l) && (first == nil || w.ticket < first.ticket) {
			first = w
		}
	}
	g.short = first != nil && !g.fits(len(first.result.data))
	if g.short {
		return nil
	}
	return first
}

// remove takes w out of the queue and tells whether it was in it.
func (g *gate) remove(w *waiter) bool {
	i := slices.Index(w.lane.waiters, w)
	if i < 0 {
		return false
	}
	w.lane.waiters = slices.Delete(w.lane.waiters, i, i+1)
	if len(w.lane.waiters) == 0 {
		g.queued = slices.DeleteFunc(g.queued, func(l *lane) bool { return l == w.lane })
	}
	return true
}

// all empties the queues and returns who was in them, first come first.
func (g *gate) all() (all []*waiter) {
	for _, l := range g.queued {
		all = append(all, l.waiters...)
		l.waiters = nil
	}
	g.queued, g.short = nil, false
	slices.SortFunc(all, func(a, b *waiter) int { return cmp.Compare(a.ticket, b.ticket) })
	return all
}

// letIn needs Publisher.mu. It is called whenever there may be place for one
// who waits.
func (p *Publisher) letIn() {
	for w := p.gate.next(); w != nil; w = p.gate.next() {
		p.gate.remove(w)
		p.push(w.lane, w.result)
		w.turn <- struct{}{}
	}
}

// hasten needs Publisher.mu. It ends the lingering of who has the places that
// somebody waits for in l: l itself, or everybody.
func (p *Publisher) hasten(l *lane) {
	p.letIn() // finds out which
	if !p.gate.short {
		l.ring()
		return
	}
	for _, other := range p.lanes {
		other.ring()
	}
}

// requeue needs Publisher.mu. It is called when the lanes were cut anew.
func (p *Publisher) requeue() {
	p.gate.shared = len(p.lanes) > 1
	for _, w := range p.gate.all() {
		w.lane = p.laneOf(w.result.key)
		p.gate.queue(w)
	}
	p.letIn()
}

// turnAway needs Publisher.mu. Nobody is let in any more.
func (p *Publisher) turnAway() {
	for _, w := range p.gate.all() {
		w.err = ErrClosed
		w.turn <- struct{}{}
	}
}

// wait waits until w was let in, turned away or left because ctx ended. An
// event that was let in in the same moment stays in.
func (p *Publisher) wait(ctx context.Context, w *waiter) (*Result, error) {
	select {
	case <-w.turn:
	case <-ctx.Done():
		if p.leave(w, ctx.Err()) {
			break
		}
		<-w.turn
	}
	r, err := w.result, w.err
	w.result, w.lane = nil, nil
	waiters.Put(w)
	return r, err
}

// leave takes w out of the queue; false when it is not in it any more.
func (p *Publisher) leave(w *waiter, cause error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.gate.remove(w) {
		return false
	}
	w.result.key.uses--
	w.err = cause
	p.letIn() // others may have waited behind it
	return true
}
