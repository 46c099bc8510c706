package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/publishers"
)

// draining is the spool's side of a drain. Spool.mu guards it.
type draining struct {
	cancel     context.CancelCauseFunc // nil while there is none
	done       chan struct{}
	untilEmpty bool
}

// stop ends the drain, if there is one, and returns what is closed when it has
// ended.
func (d *draining) stop() <-chan struct{} {
	if d.cancel == nil {
		c := make(chan struct{})
		close(c)
		return c
	}
	d.cancel(ErrClosed)
	return d.done
}

func (d *draining) abort() {
	if d.cancel != nil {
		d.cancel(ErrBroken)
	}
}

// endIfEmpty ends a DrainAll when nothing is left.
func (d *draining) endIfEmpty(s *Spool) {
	if d.untilEmpty && s.kept.Events == 0 && s.queue.events == 0 {
		d.cancel(errEmpty)
	}
}

// Drain passes events on to a publisher, in the order in which they were
// enqueued, and deletes each when it and all before it are acknowledged. It runs
// until ctx ends, for which the error is nil; what is in flight then gets
// Config.AckTimeout to be acknowledged.
//
// Where the publisher fails, hangs or is full, Drain waits, and tries again with
// a pause that grows. What Config.Permanent says will never be accepted is kept
// as refused, and does not hold up the rest.
//
// After a failure that passes, everything from that event on is sent again. So
// for one partition key the first occurrences of events are in order as long as
// the publisher never fails one event and keeps a later one of the same key,
// before it was given the failed one again. A publisher that retries by itself, as
// the Kinesis one does with kinesis.Config.RetryRefused, has no such failures. For one
// that has, Config.PerKey can be 1: each event then waits for the one of its key
// before, and what drains is that much slower.
//
// One drain can run at a time, another gets [ErrDraining]. [ErrBroken] ends it.
func (s *Spool) Drain(ctx context.Context, to publishers.Publisher) error {
	return s.drainTo(ctx, to, false)
}

// DrainAll is [Spool.Drain] until nothing is left that waits. When ctx ends
// before, the error says how much is left, and why.
func (s *Spool) DrainAll(ctx context.Context, to publishers.Publisher) error {
	return s.drainTo(ctx, to, true)
}

func (s *Spool) drainTo(ctx context.Context, to publishers.Publisher, untilEmpty bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d := &drain{s: s, to: to}
	if err := s.beginDrain(cancel, untilEmpty, d); err != nil {
		return err
	}
	defer s.endDrain()
	d.run(ctx)
	return s.drainError(ctx, untilEmpty)
}

var errEmpty = errors.New("nothing is left")

func (s *Spool) beginDrain(cancel context.CancelCauseFunc, untilEmpty bool, d *drain) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.broken != nil:
		return s.broken
	case s.closed:
		return fmt.Errorf("publishers/spool: drain %s: %w", s.cfg.Path, ErrClosed)
	case s.drain.cancel != nil:
		return fmt.Errorf("publishers/spool: %w: %s", ErrDraining, s.cfg.Path)
	}
	d.next = max(s.kept.Head, s.outcome.through+1)
	s.drain = draining{cancel: cancel, done: make(chan struct{}), untilEmpty: untilEmpty}
	s.drain.endIfEmpty(s)
	return nil
}

func (s *Spool) endDrain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.drain.done)
	s.drain = draining{}
	s.wake()
}

// drainError returns the result of Drain or DrainAll.
func (s *Spool) drainError(ctx context.Context, untilEmpty bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, errEmpty):
		return nil
	case s.broken != nil:
		return s.broken
	case !untilEmpty:
		return nil
	case s.kept.Events == 0 && s.queue.events == 0:
		return nil
	}
	err := fmt.Errorf("publishers/spool: drain %s: %d events are left: %w", s.cfg.Path, s.kept.Events, cause)
	if s.trouble.lasts {
		err = fmt.Errorf("%w; last failure: %w", err, s.trouble.err)
	}
	return err
}

// drain is one run of Drain.
type drain struct {
	s        *Spool
	to       publishers.Publisher
	next     uint64 // the first number that is not completed
	failures int    // in a row
}

// run sends rounds: each lasts until something fails. After a failure the
// first event goes alone, so that a destination that is still failing has
// no batch of which it could keep a part.
func (d *drain) run(ctx context.Context) {
	for ctx.Err() == nil {
		window := d.s.cfg.Window
		if d.failures > 0 {
			window = 1
		}
		err := d.round(ctx, window)
		if err == nil || ctx.Err() != nil {
			continue
		}
		d.failures++
		d.s.noteFailure("pass events on", err)
		_ = d.s.cfg.retryDelays().Wait(ctx, d.failures-1) // an end of ctx ends the loop
	}
}

// graceAfter is a context that ends AckTimeout after ctx.
func (s *Spool) graceAfter(ctx context.Context) (context.Context, context.CancelFunc) {
	grace, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if s.cfg.AckTimeout > 0 {
			_ = backoff.Sleep(grace, s.cfg.AckTimeout)
		}
		cancel()
	})
	return grace, func() { stop(); cancel() }
}

// noteDone notes that an event is forwarded, or refused for a reason.
func (d *drain) noteDone(number uint64, reason string) {
	d.next, d.failures = number+1, 0
	d.s.noteSuccess()
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	o := &d.s.outcome
	if o.isEmpty() {
		o.deadline = time.Now().Add(outcomeDelay)
		d.s.wake()
	}
	o.through = number
	if reason == "" {
		o.events++
	} else {
		o.refused = append(o.refused, refusedNow{number, d.s.cfg.Now().UnixNano(), reason})
	}
	if d.s.drain.untilEmpty && number+1 == d.s.kept.Next && d.s.queue.events == 0 {
		o.deadline = time.Now()
		d.s.wake()
	}
	if len(d.s.queue.waiting) > 0 {
		d.s.wake()
	}
}

// readRecord is an event as it was read from the file.
type readRecord struct {
	number    uint64
	key, data []byte
	err       error // it is damaged
}

const (
	readEvents = 256
	readBytes  = 512 << 10
)

// read returns the next events from a number on, none if there are none. Their
// bytes are their own.
func (s *Spool) read(from uint64) (records []readRecord, err error) {
	err = guarded(func() error {
		return s.store.db.View(func(tx *bolt.Tx) error {
			c := tx.Bucket(bucketEvents).Cursor()
			size := 0
			for key, value := c.Seek(numberKey(from)); key != nil && len(records) < readEvents && size < readBytes; key, value = c.Next() {
				value = bytes.Clone(value)
				size += len(value)
				r, err := parseRecord(value)
				records = append(records, readRecord{keyNumber(key), r.key, r.data, err})
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return records, nil
}
