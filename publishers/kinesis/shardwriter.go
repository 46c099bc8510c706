package kinesis

import (
	"fmt"
	"slices"
	"time"

	"github.com/banyan-fig/banyan/publishers/kinesis/internal/pace"
	"github.com/banyan-fig/banyan/publishers/kinesis/internal/putrecords"
)

// shardWriter holds the queue of one shard. Its goroutine alone sends to that shard,
// one request at a time.
type shardWriter struct {
	p     *Publisher
	shard shard
	wake  chan struct{} // holds at most one signal

	// Guarded by Publisher.mu.
	inbox        []*Result // enqueued since the goroutine last dequeued
	inboxBytes   int
	woken        bool          // there was a signal since the goroutine last looked
	oldest       time.Duration // when the oldest event was enqueued that is not in the inbox
	pending      load          // events, with their bytes
	waiters      []*waiter     // events that are not admitted yet, first come first
	retired      bool          // the shard is closed: transfer the queue to the successors
	successors   []*shardWriter
	predecessors int     // writers that have not transferred their queues to this one yet
	last         error   // of the last failed request, nil after one that worked
	rateLimit    float64 // a copy of limiter.Limit
	counted      Counts

	// Owned by the goroutine.
	backlog      []*Result // dequeued from the inbox, not yet in a request
	backlogBytes int
	deferred     []*Result // memory of pack
	packer       packer
	request      putrecords.Request
	limiter      pace.Rate
}

func newShardWriter(p *Publisher, s shard) *shardWriter {
	sw := &shardWriter{p: p, shard: s, wake: make(chan struct{}, 1), limiter: pace.New(p.cfg.RateIncrease)}
	sw.packer = packer{cfg: &p.cfg, requests: &p.requests}
	sw.request.Encoding = p.cfg.Protocol
	return sw
}

// clockEvery is how many events share a reading of the clock, at most.
const clockEvery = 64

func (sw *shardWriter) pushLocked(r *Result) {
	n := len(sw.inbox)
	if n%clockEvery == 0 {
		r.at = time.Since(sw.p.start)
	} else {
		r.at = sw.inbox[n-1].at
	}
	sw.inbox = append(sw.inbox, r)
	sw.inboxBytes += len(r.data)
	if !sw.woken && (n == 0 || sw.p.isFull(n+1, sw.inboxBytes)) {
		sw.wakeLocked()
	}
}

// isFull reports whether so much is worth a request without lingering.
func (p *Publisher) isFull(events, bytes int) bool {
	return bytes >= p.cfg.AggregateBytes || p.cfg.NoAggregation && events >= p.cfg.MaxRequestRecords
}

// wakeLocked makes the goroutine look at its queue.
func (sw *shardWriter) wakeLocked() {
	sw.woken = true
	select {
	case sw.wake <- struct{}{}:
	default: // it is awake, or will be
	}
}

// oldestLocked returns when the oldest pending event was enqueued, zero for none.
func (sw *shardWriter) oldestLocked() time.Duration {
	if sw.oldest == 0 && len(sw.inbox) > 0 {
		return sw.inbox[0].at
	}
	return sw.oldest
}

// run sends what is enqueued until the writer is retired or the publisher ends.
func (sw *shardWriter) run() {
	defer sw.p.running.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for sw.waitUntilDue(timer) {
		sw.pack()
		sw.deliver()
	}
	sw.failRemaining()
}

// waitUntilDue waits until there is something to send. It returns false when the
// writer is to end.
func (sw *shardWriter) waitUntilDue(timer *time.Timer) bool {
	for sw.p.ctx.Err() == nil {
		due, now, over := sw.dequeueIfDue()
		if now || over {
			return now
		}
		if due > 0 {
			timer.Reset(due - time.Since(sw.p.start))
		}
		select {
		case <-sw.wake:
		case <-timer.C:
		case <-sw.p.ctx.Done():
		}
	}
	return false
}

// dequeueIfDue moves the inbox to the backlog if a request is due now, or returns when
// it will be: zero if it depends on a signal. Until then the inbox stays filled, so that
// not every event is a signal.
func (sw *shardWriter) dequeueIfDue() (due time.Duration, now, over bool) {
	sw.p.mu.Lock()
	defer sw.p.mu.Unlock()
	sw.woken = false
	sw.oldest = 0
	if len(sw.backlog) > 0 {
		sw.oldest = sw.backlog[0].at
	}
	if sw.predecessors > 0 {
		return 0, false, false
	}
	if sw.retired {
		sw.transferQueueLocked()
		return 0, false, true
	}
	events, bytes := len(sw.backlog)+len(sw.inbox), sw.backlogBytes+sw.inboxBytes
	if events == 0 {
		return 0, false, false
	}
	if due = sw.oldestLocked(); sw.mayLingerLocked(events, bytes) {
		due += sw.p.cfg.Linger
		if time.Since(sw.p.start) < due {
			return due, false, false
		}
	}
	sw.oldest = sw.oldestLocked()
	sw.drainInboxLocked()
	return due, true, false
}

// mayLingerLocked reports whether the events may wait for more to share a request.
func (sw *shardWriter) mayLingerLocked(events, bytes int) bool {
	return sw.p.flushing == 0 && len(sw.waiters) == 0 && !sw.p.admission.exhausted && !sw.p.isFull(events, bytes)
}

func (sw *shardWriter) drainInboxLocked() {
	sw.backlog = append(sw.backlog, sw.inbox...)
	sw.backlogBytes += sw.inboxBytes
	clear(sw.inbox)
	sw.inbox, sw.inboxBytes = sw.inbox[:0], 0
}

// requeueFirst puts results in front of the backlog again.
func (sw *shardWriter) requeueFirst(results []*Result) {
	if len(results) == 0 {
		return
	}
	sw.backlog = slices.Concat(results, sw.backlog)
	for _, r := range results {
		sw.backlogBytes += len(r.data)
	}
}

// failRemaining completes with ErrClosed what is left when the publisher ends.
func (sw *shardWriter) failRemaining() {
	sw.p.mu.Lock()
	sw.drainInboxLocked()
	left := sw.backlog
	sw.backlog, sw.oldest = nil, 0
	sw.p.unsent += len(left)
	for _, r := range left {
		if r.maybeSent {
			sw.p.maybeSent++
		}
	}
	sw.p.mu.Unlock()
	for _, r := range left {
		state := "was not sent to"
		if r.maybeSent {
			state = "was sent with unknown outcome to"
		}
		r.err = fmt.Errorf("publishers/kinesis: the event %s %s: %w", state, sw.p.target.text, ErrClosed)
	}
	sw.complete(left)
}
