package kinesis

import (
	"cmp"
	"context"
	"slices"
	"sync"
)

// admission bounds what is pending, in events and in bytes, for all shards together
// and for each of them. Publisher.mu guards it.
//
// With several shards, each may have at most as much pending as is left
// free for the others: a slow shard gets half of the capacity at most, two slow ones
// a third each, and an event of a shard that has little pending is admitted at once,
// whatever the other shards do. (Switches share their memory by the same dynamic
// threshold: Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory
// packet switches", 1998.)
//
// Waiting events are admitted first come, first served, except that those whose shard
// has used up its share let the others pass. A large event that waits for capacity,
// not for its shard, lets no other pass.
type admission struct {
	most   load // the capacity
	inUse  load
	shared bool // by several shards

	tickets   uint64
	queued    []*shardWriter // those with waiters
	exhausted bool           // the first waiter lacks capacity, so that later ones must wait as well
}

// load is an amount of events.
type load struct{ events, bytes int }

func (a *load) add(b load)      { a.events += b.events; a.bytes += b.bytes }
func (a *load) subtract(b load) { a.events -= b.events; a.bytes -= b.bytes }

// waiter is an event that is not admitted yet.
type waiter struct {
	result  *Result
	writer  *shardWriter
	ticket  uint64
	decided chan struct{} // has a token when the event was admitted, or err is set
	err     error
}

var waiters = sync.Pool{New: func() any { return &waiter{decided: make(chan struct{}, 1)} }}

// admits reports whether an event that arrives now is admitted.
func (a *admission) admits(sw *shardWriter, bytes int) bool {
	return !a.exhausted && len(sw.waiters) == 0 && a.hasRoom(bytes) && a.isWithinShare(sw)
}

func (a *admission) hasRoom(bytes int) bool {
	return a.inUse.events < a.most.events && a.inUse.bytes+bytes <= a.most.bytes
}

// isWithinShare reports whether a shard has no more pending than what is free.
func (a *admission) isWithinShare(sw *shardWriter) bool {
	return !a.shared ||
		sw.pending.events <= a.most.events-a.inUse.events && sw.pending.bytes <= a.most.bytes-a.inUse.bytes
}

func (a *admission) occupy(sw *shardWriter, bytes int) {
	a.inUse.add(load{1, bytes})
	sw.pending.add(load{1, bytes})
}

// enqueueWaiter makes an event wait.
func (a *admission) enqueueWaiter(sw *shardWriter, r *Result) *waiter {
	w := waiters.Get().(*waiter)
	a.tickets++
	w.result, w.writer, w.ticket, w.err = r, sw, a.tickets, nil
	a.appendWaiter(w)
	return w
}

func (a *admission) appendWaiter(w *waiter) {
	if len(w.writer.waiters) == 0 {
		a.queued = append(a.queued, w.writer)
	}
	w.writer.waiters = append(w.writer.waiters, w)
}

// nextWaiter returns the event to be admitted next, nil when none can be.
func (a *admission) nextWaiter() *waiter {
	var first *waiter
	for _, sw := range a.queued {
		if w := sw.waiters[0]; a.isWithinShare(sw) && (first == nil || w.ticket < first.ticket) {
			first = w
		}
	}
	a.exhausted = first != nil && !a.hasRoom(len(first.result.data))
	if a.exhausted {
		return nil
	}
	return first
}

// removeWaiter removes w from its queue and reports whether it was in it.
func (a *admission) removeWaiter(w *waiter) bool {
	i := slices.Index(w.writer.waiters, w)
	if i < 0 {
		return false
	}
	w.writer.waiters = slices.Delete(w.writer.waiters, i, i+1)
	if len(w.writer.waiters) == 0 {
		a.queued = slices.DeleteFunc(a.queued, func(sw *shardWriter) bool { return sw == w.writer })
	}
	return true
}

// removeAllWaiters empties the queues and returns what was in them, first come first.
func (a *admission) removeAllWaiters() (all []*waiter) {
	for _, sw := range a.queued {
		all = append(all, sw.waiters...)
		sw.waiters = nil
	}
	a.queued, a.exhausted = nil, false
	slices.SortFunc(all, func(a, b *waiter) int { return cmp.Compare(a.ticket, b.ticket) })
	return all
}

// admitWaitersLocked is called whenever capacity may have become free.
func (p *Publisher) admitWaitersLocked() {
	for w := p.admission.nextWaiter(); w != nil; w = p.admission.nextWaiter() {
		p.admission.removeWaiter(w)
		p.pushLocked(w.writer, w.result)
		w.decided <- struct{}{}
	}
}

// endLingeringLocked makes those writers send at once whose pending events occupy the capacity
// that a waiter of sw needs: sw itself, or all.
func (p *Publisher) endLingeringLocked(sw *shardWriter) {
	p.admitWaitersLocked() // sets exhausted
	if !p.admission.exhausted {
		sw.wakeLocked()
		return
	}
	for _, other := range p.writers {
		other.wakeLocked()
	}
}

// requeueWaitersLocked is called when the shards have changed.
func (p *Publisher) requeueWaitersLocked() {
	p.admission.shared = len(p.writers) > 1
	for _, w := range p.admission.removeAllWaiters() {
		w.writer = p.writerOfLocked(w.result.key)
		p.admission.appendWaiter(w)
	}
	p.admitWaitersLocked()
}

// rejectWaitersLocked fails all that wait. No event is admitted any more.
func (p *Publisher) rejectWaitersLocked() {
	for _, w := range p.admission.removeAllWaiters() {
		w.err = ErrClosed
		w.decided <- struct{}{}
	}
}

// awaitAdmission waits until w is admitted or rejected, or withdraws it when ctx ends.
// An event that was admitted at the same moment stays admitted.
func (p *Publisher) awaitAdmission(ctx context.Context, w *waiter) (*Result, error) {
	select {
	case <-w.decided:
	case <-ctx.Done():
		if p.withdraw(w, ctx.Err()) {
			break
		}
		<-w.decided
	}
	r, err := w.result, w.err
	w.result, w.writer = nil, nil
	waiters.Put(w)
	return r, err
}

// withdraw removes w from its queue; false when it is not in it any more.
func (p *Publisher) withdraw(w *waiter, cause error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.admission.removeWaiter(w) {
		return false
	}
	w.result.key.uses--
	w.err = cause
	p.admitWaitersLocked() // others may have waited behind it
	return true
}
