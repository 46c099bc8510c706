package spool

import (
	"context"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
)

// outcomeDelay is how long what was forwarded may wait for more before it is
// deleted: the transaction of the next events does it for nothing.
const outcomeDelay = 50 * time.Millisecond

// outcome is what a drain has completed and not yet written, in the order of numbers.
type outcome struct {
	through  uint64 // every event up to this one is forwarded or refused
	events   uint64 // of these, forwarded
	refused  []refusedNow
	deadline time.Time // when it has to be written at the latest
}

type refusedNow struct {
	number uint64
	at     int64
	reason string
}

func (o *outcome) isEmpty() bool { return o.events == 0 && len(o.refused) == 0 }

// joined returns o followed by later.
func (o outcome) joined(later outcome) outcome {
	return outcome{max(o.through, later.through), o.events + later.events, append(o.refused, later.refused...), o.deadline}
}

// call is a function for the writer to run, which its caller waits for.
type call struct {
	do   func() error
	err  error
	done chan struct{}
}

// job is what goes into one transaction.
type job struct {
	batch   *batch
	outcome outcome
	calls   []*call
	over    bool
}

// schedule holds the times of the writer's delayed work.
type schedule struct {
	retry    time.Time // the disk failed: not before
	failures int
}

// write is the body of the writer: the only goroutine that changes the file.
func (s *Spool) write() {
	var plan schedule
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		j := s.awaitJob(&plan, timer)
		if j.over {
			return
		}
		s.execute(&j, &plan)
	}
}

// awaitJob waits until there is something to do.
func (s *Spool) awaitJob(plan *schedule, timer *time.Timer) job {
	for {
		j, due := s.nextJob(plan)
		if j != nil {
			return *j
		}
		if !due.IsZero() {
			timer.Reset(time.Until(due))
		}
		select {
		case <-s.work:
		case <-timer.C:
		case <-s.ctx.Done():
			return job{over: true}
		}
	}
}

// nextJob returns the work that is due, or nil and when the next will be.
func (s *Spool) nextJob(plan *schedule) (*job, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	j := &job{calls: s.calls}
	s.calls = nil
	due := plan.retry
	if !now.Before(plan.retry) || s.ending {
		s.fillLocked(j, now)
		due = s.outcome.deadline
	}
	if j.batch == nil && j.outcome.isEmpty() && len(j.calls) == 0 {
		if s.ending && s.outcome.isEmpty() && len(s.queue.batches) == 0 {
			return &job{over: true}, due
		}
		return nil, due
	}
	return j, due
}

// fillLocked adds what is to be written to j.
func (s *Spool) fillLocked(j *job, now time.Time) {
	if len(s.queue.batches) > 0 {
		j.batch = s.queue.batches[0]
		j.batch.sealed = true
	}
	hurry := j.batch != nil || s.ending || len(s.queue.waiting) > 0 || !now.Before(s.outcome.deadline)
	if !s.outcome.isEmpty() && hurry {
		j.outcome, s.outcome = s.outcome, outcome{}
	}
}

func (s *Spool) execute(j *job, plan *schedule) {
	for _, c := range j.calls {
		c.err = c.do()
		close(c.done)
	}
	if j.batch != nil || !j.outcome.isEmpty() {
		s.commit(j, plan)
	}
}

// commit writes a job, or as much of it as there is space for.
func (s *Spool) commit(j *job, plan *schedule) {
	err := s.transact(j)
	if err == nil {
		plan.failures, plan.retry = 0, time.Time{}
		return
	}
	if !s.isDiskFull(err) {
		s.breakDown(err)
		return
	}
	plan.failures++
	if j.batch != nil && !j.outcome.isEmpty() { // deleting needs less space, and makes some
		again := s.transact(&job{outcome: j.outcome})
		if again == nil {
			j.outcome, plan.failures = outcome{}, 1
		} else if !s.isDiskFull(again) {
			s.breakDown(again)
			return
		}
	}
	plan.retry = time.Now().Add(s.cfg.retryDelays().Delay(plan.failures - 1))
	s.diskFull(j, err)
}

// isDiskFull reports whether a transaction failed for lack of space and left nothing
// behind. Any other failure leaves unknown what is on the disk.
func (s *Spool) isDiskFull(err error) bool { return noSpace(err) && !s.store.inEffect() }

// transact writes j in one transaction and completes its receipts.
func (s *Spool) transact(j *job) error {
	var oldest int64
	err := s.store.update(func(tx *bolt.Tx, next *state) (err error) {
		if err := s.store.refuse(tx, next, j.outcome.refused); err != nil {
			return err
		}
		if oldest, err = s.store.remove(tx, next, &j.outcome); err != nil {
			return err
		}
		if j.batch == nil {
			return nil
		}
		if next.Events == 0 {
			oldest = j.batch.entries[0].enqueuedAt
		}
		return s.store.add(tx, next, j.batch.entries)
	})
	if err != nil {
		return err
	}
	s.noteSuccess()
	s.committed(j, oldest)
	return nil
}

// committed publishes the state after a transaction and completes its receipts.
func (s *Spool) committed(j *job, oldest int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = s.store.state
	s.oldest = time.Unix(0, oldest)
	if j.batch != nil {
		s.queue.completeFirst(nil)
		signal(s.arrived)
	}
	s.admitLocked()
	s.drain.endIfEmpty(s)
}

// add appends entries.
func (st *store) add(tx *bolt.Tx, next *state, entries []entry) error {
	b := tx.Bucket(bucketEvents)
	b.FillPercent = 1 // nothing is ever put in between
	size := 0
	for i := range entries {
		size += entries[i].size()
	}
	if cap(st.arena) < size || cap(st.arena) > 4*max(size, 1<<20) {
		st.arena = make([]byte, 0, size)
	}
	arena := st.arena[:0]
	for i := range entries {
		e := &entries[i]
		start := len(arena)
		r := record{file: st.id, generation: st.attempt, number: next.Next, enqueuedAt: e.enqueuedAt, kind: kindEvent, data: e.data}
		arena = r.appendKeyed(arena, e.key)
		if err := b.Put(numberKey(next.Next), arena[start:len(arena):len(arena)]); err != nil {
			return err
		}
		next.Next++
	}
	next.Events += uint64(len(entries))
	next.Enqueued += uint64(len(entries))
	next.Bytes += uint64(size)
	return nil
}

// remove deletes what the drain is completed, and returns when the first event
// that is left was enqueued.
func (st *store) remove(tx *bolt.Tx, next *state, o *outcome) (oldest int64, err error) {
	c := tx.Bucket(bucketEvents).Cursor()
	key, value := c.First()
	for key != nil && keyNumber(key) <= o.through {
		next.Events--
		next.Bytes -= uint64(len(value))
		n := keyNumber(key)
		if err := c.Delete(); err != nil {
			return 0, err
		}
		key, value = c.Seek(numberKey(n + 1))
	}
	next.Head = max(next.Head, o.through+1)
	next.Forwarded += o.events
	if key != nil {
		oldest = readEnqueuedAt(value)
	}
	return oldest, nil
}

// refuse moves events to the bucket of refused ones.
func (st *store) refuse(tx *bolt.Tx, next *state, refused []refusedNow) error {
	events, to := tx.Bucket(bucketEvents), tx.Bucket(bucketRefused)
	for _, now := range refused {
		key := numberKey(now.number)
		value := events.Get(key)
		if value == nil {
			continue // refused before; reported twice
		}
		r, err := parseRecord(value)
		if err != nil { // damaged since the file was opened: what there is of it
			r = record{file: st.id, number: now.number, data: value}
		}
		r.generation, r.kind = st.attempt, kindRefused
		r.data = refusal{now.at, now.reason, r.data}.encode()
		kept := r.appendTo(nil)
		next.Events--
		next.Bytes -= uint64(len(value))
		next.Refused++
		next.RefusedB += uint64(len(kept))
		if err := events.Delete(key); err != nil {
			return err
		}
		if err := to.Put(key, kept); err != nil {
			return err
		}
	}
	return nil
}

// diskFull keeps a job that did not fit on the disk for a retry, or refuses its events. All
// enqueued events are treated alike, so that no event is kept before its predecessor.
func (s *Spool) diskFull(j *job, err error) {
	s.noteFailure("the disk is full", err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcome = j.outcome.joined(s.outcome)
	if s.cfg.RefuseWhenFull {
		s.queue.failAll(fmt.Errorf("publishers/spool: not kept at %s: %w: %w", s.cfg.Path, ErrFull, err))
	}
}

// breakDown fails everything pending and every later call but Close.
func (s *Spool) breakDown(err error) {
	s.noteFailure("the spool is broken", err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = fmt.Errorf("publishers/spool: %w: %s: %w: open it again, which checks all of it", ErrBroken, s.cfg.Path, err)
	s.queue.failAll(s.broken)
	s.queue.rejectWaiters(s.broken)
	s.failCallsLocked(s.broken)
	s.outcome = outcome{}
	s.drain.abort()
}

// runInWriter runs do in the goroutine of the writer, and waits for it.
func (s *Spool) runInWriter(ctx context.Context, do func() error) error {
	c := &call{do: do, done: make(chan struct{})}
	s.mu.Lock()
	switch {
	case s.broken != nil:
		s.mu.Unlock()
		return s.broken
	case s.closed:
		s.mu.Unlock()
		return fmt.Errorf("publishers/spool: %s: %w", s.cfg.Path, ErrClosed)
	}
	s.calls = append(s.calls, c)
	s.mu.Unlock()
	s.wake()
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return fmt.Errorf("publishers/spool: %s: requested, and not known to be done: %w", s.cfg.Path, ctx.Err())
	}
}

// failCallsLocked ends the calls that wait for the writer.
func (s *Spool) failCallsLocked(err error) {
	for _, c := range s.calls {
		c.err = err
		close(c.done)
	}
	s.calls = nil
}
