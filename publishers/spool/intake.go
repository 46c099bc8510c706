package spool

import (
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers"
)

var _ publishers.Publisher = (*Spool)(nil)

// Enqueue enqueues e and returns at once, or as soon as the spool is not full; the
// receipt completes when e is on the disk, with the zero position. Errors
// are ErrFull, ErrClosed, ErrTooLarge, ErrBroken, events.ErrMalformed, or that ctx ended
// while the spool was full. An error means that e was not enqueued.
func (s *Spool) Enqueue(ctx context.Context, e events.Event) (publishers.Receipt, error) {
	if s.cfg.Check != nil {
		if err := s.cfg.Check(e); err != nil {
			return nil, fmt.Errorf("publishers/spool: %w", err)
		}
	}
	data, err := events.Encode(e)
	if err != nil {
		return nil, fmt.Errorf("publishers/spool: %w", err)
	}
	r, err := s.EnqueueEncoded(ctx, e.PartitionKey, data)
	if err != nil {
		return nil, fmt.Errorf("publishers/spool: event %s: %w", e.ID, err)
	}
	return r, nil
}

// EnqueueEncoded is Enqueue for an event that events.Encode has written, and
// which has that partition key. The spool keeps data until the receipt completes;
// until then it must not be changed.
func (s *Spool) EnqueueEncoded(ctx context.Context, partitionKey string, data []byte) (publishers.Receipt, error) {
	if err := s.checkEvent(partitionKey, data); err != nil {
		return nil, err
	}
	e := entry{key: partitionKey, data: data, enqueuedAt: s.cfg.Now().UnixNano()}
	b, w, err := s.admitOrQueue(e)
	if err != nil {
		return nil, err
	}
	if b == nil {
		if b, err = s.awaitAdmission(ctx, w); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (s *Spool) checkEvent(partitionKey string, data []byte) error {
	if n := utf8.RuneCountInString(partitionKey); n < 1 || n > events.MaxPartitionKey || !utf8.ValidString(partitionKey) {
		return fmt.Errorf("%w: partitionkey: %q is not 1 to %d characters of UTF-8",
			events.ErrMalformed, partitionKey[:min(len(partitionKey), 80)], events.MaxPartitionKey)
	}
	if len(data) == 0 {
		return fmt.Errorf("%w: no bytes", events.ErrMalformed)
	}
	if size := len(data) + len(partitionKey); size > s.cfg.MaxEventBytes {
		return fmt.Errorf("%w: %d bytes with its key, the limit of the spool at %s is %d", ErrTooLarge, size, s.cfg.Path, s.cfg.MaxEventBytes)
	}
	return nil
}

// admitOrQueue puts e into a batch, or makes it wait while the spool is full.
func (s *Spool) admitOrQueue(e entry) (*batch, *waiter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.broken != nil:
		return nil, nil, s.broken
	case s.closed:
		return nil, nil, s.errClosed()
	case len(s.queue.waiting) == 0 && s.fitsLocked(e):
		return s.queue.add(e), nil, nil
	case s.cfg.RefuseWhenFull && !s.hasCapacityLocked(e):
		return nil, nil, fmt.Errorf("not enqueued: %w: %s", ErrFull, s.usageTextLocked())
	}
	w := &waiter{e, make(chan admission, 1)}
	s.queue.waiting = append(s.queue.waiting, w)
	s.wake() // forwarded events free capacity once they are deleted
	return nil, w, nil
}

// fitsLocked reports whether e may be admitted now.
func (s *Spool) fitsLocked(e entry) bool {
	return s.hasCapacityLocked(e) && (s.queue.bytes == 0 || s.queue.bytes+e.size() <= s.cfg.MaxPendingBytes)
}

// hasCapacityLocked reports whether the limits of the spool allow for e.
func (s *Spool) hasCapacityLocked(e entry) bool {
	events, bytes := s.usedLocked()
	return (s.cfg.MaxEvents == 0 || events < s.cfg.MaxEvents) && bytes+int64(e.size()) <= s.cfg.MaxBytes
}

// usedLocked is what counts towards the limits.
func (s *Spool) usedLocked() (events, bytes int64) {
	return int64(s.kept.Events+s.kept.Refused) + int64(s.queue.events), int64(s.kept.Bytes+s.kept.RefusedB) + int64(s.queue.bytes)
}

func (s *Spool) usageTextLocked() string {
	events, bytes := s.usedLocked()
	return fmt.Sprintf("%d events with %d bytes at %s, %d of them refused ones", events, bytes, s.cfg.Path, s.kept.Refused)
}

// awaitAdmission waits until w is admitted or rejected, or ctx ends.
func (s *Spool) awaitAdmission(ctx context.Context, w *waiter) (*batch, error) {
	select {
	case a := <-w.outcome:
		return a.batch, a.err
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case a := <-w.outcome: // just now
		return a.batch, a.err
	default:
	}
	s.queue.removeWaiter(w)
	s.admitLocked()
	text := ""
	if s.trouble.lasts {
		text = "; last failure: " + s.trouble.err.Error()
	}
	return nil, fmt.Errorf("not enqueued: the spool is full: %s: %w%s", s.usageTextLocked(), ctx.Err(), text)
}

// admitLocked admits waiting events, first come, first served, so that small events do
// not starve a large one.
func (s *Spool) admitLocked() {
	q := &s.queue
	for len(q.waiting) > 0 && s.fitsLocked(q.waiting[0].entry) {
		w := q.waiting[0]
		q.waiting = q.waiting[1:]
		w.outcome <- admission{batch: q.add(w.entry)}
	}
}

// entry is an event that was enqueued.
type entry struct {
	key        string
	data       []byte
	enqueuedAt int64
}

func (e *entry) size() int { return recordHeader + len(e.key) + len(e.data) }

// waiter is an event that is not admitted yet.
type waiter struct {
	entry   entry
	outcome chan admission // buffered, gets one
}

type admission struct {
	batch *batch
	err   error
}

// intake is what was enqueued and is not kept yet. Spool.mu guards it.
type intake struct {
	s       *Spool
	batches []*batch // in order; only the last admits more
	events  int
	bytes   int
	waiting []*waiter
}

func (q *intake) init(s *Spool) { q.s = s }

// add puts e into the last batch, if that is not being written.
func (q *intake) add(e entry) *batch {
	if n := len(q.batches); n == 0 || q.batches[n-1].sealed {
		q.batches = append(q.batches, &batch{s: q.s, done: make(chan struct{})})
	}
	b := q.batches[len(q.batches)-1]
	b.entries = append(b.entries, e)
	b.bytes += e.size()
	q.events++
	q.bytes += e.size()
	if len(b.entries) == 1 {
		q.s.wake()
	}
	return b
}

// completeFirst removes the first batch and completes its receipts.
func (q *intake) completeFirst(err error) {
	b := q.batches[0]
	q.batches = q.batches[1:]
	q.events -= len(b.entries)
	q.bytes -= b.bytes
	b.entries, b.err = nil, err
	close(b.done)
}

// failAll completes everything with an error.
func (q *intake) failAll(err error) (events int) {
	events = q.events
	for len(q.batches) > 0 {
		q.completeFirst(err)
	}
	return events
}

func (q *intake) rejectWaiters(err error) {
	for _, w := range q.waiting {
		w.outcome <- admission{err: err}
	}
	q.waiting = nil
}

func (q *intake) removeWaiter(w *waiter) {
	for i, other := range q.waiting {
		if other == w {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			return
		}
	}
}

// batch is what goes to the disk in one transaction: the receipt of each event
// in it.
type batch struct {
	s       *Spool
	entries []entry
	bytes   int
	sealed  bool
	err     error
	done    chan struct{} // closed when err is final
}

// Done is closed when the event is kept or will not be.
func (b *batch) Done() <-chan struct{} { return b.done }

// Wait returns the zero position when the event is kept, or why it is not. When
// ctx ends before that is known, the event stays enqueued and is still written.
func (b *batch) Wait(ctx context.Context) (events.Position, error) {
	select {
	case <-b.done:
		return events.Position{}, b.err
	default:
	}
	select {
	case <-b.done:
		return events.Position{}, b.err
	case <-ctx.Done():
	}
	return events.Position{}, fmt.Errorf("publishers/spool: the event is enqueued and not yet on disk at %s: %w%s",
		b.s.cfg.Path, ctx.Err(), b.s.lastFailureText())
}
