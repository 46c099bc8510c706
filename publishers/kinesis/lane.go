package kinesis

import (
	"fmt"
	"slices"
	"time"

	"github.com/banyan-fig/banyan/publishers/kinesis/internal/pace"
	"github.com/banyan-fig/banyan/publishers/kinesis/internal/putrecords"
)

// lane is the queue of one shard. Its goroutine alone sends to that shard, one
// request at a time.
type lane struct {
	p     *Publisher
	shard shard
	wake  chan struct{} // holds at most one signal

	// Guarded by Publisher.mu.
	inbox      []*Result // what came in since the goroutine last looked
	inboxBytes int
	rung       bool          // there was a signal since then
	oldest     time.Duration // when the oldest came in of what the goroutine has taken
	use        load          // pending events
	waiters    []*waiter     // who waits for a place, first come first
	retired    bool          // the shard is closed: hand over to the successors
	successors []*lane
	waiting    int     // for how many lanes to hand over to this one
	last       error   // of the last failed request, nil after one that worked
	rate       float64 // as learnt
	counted    Counts

	// The goroutine's own.
	backlog      []*Result // taken from the inbox, not yet in a request
	backlogBytes int
	held         []*Result // memory of pack
	packer       packer
	request      putrecords.Request
	learnt       pace.Rate
}

func newLane(p *Publisher, s shard) *lane {
	l := &lane{p: p, shard: s, wake: make(chan struct{}, 1), learnt: pace.New(p.cfg.RateIncrease)}
	l.packer = packer{cfg: &p.cfg, requests: &p.requests}
	l.request.Encoding = p.cfg.Protocol
	return l
}

// clockEvery is how many events share a reading of the clock, at most.
const clockEvery = 64

// push needs Publisher.mu.
func (l *lane) push(r *Result) {
	n := len(l.inbox)
	if n%clockEvery == 0 {
		r.at = time.Since(l.p.start)
	} else {
		r.at = l.inbox[n-1].at
	}
	l.inbox = append(l.inbox, r)
	l.inboxBytes += len(r.data)
	if !l.rung && (n == 0 || l.p.isFull(n+1, l.inboxBytes)) {
		l.ring()
	}
}

// isFull tells whether so much is worth a request without lingering.
func (p *Publisher) isFull(events, bytes int) bool {
	return bytes >= p.cfg.AggregateBytes || p.cfg.NoAggregation && events >= p.cfg.MaxRequestRecords
}

// ring needs Publisher.mu.
func (l *lane) ring() {
	l.rung = true
	select {
	case l.wake <- struct{}{}:
	default: // it is awake, or will be
	}
}

// oldestAt needs Publisher.mu. It is zero for nothing.
func (l *lane) oldestAt() time.Duration {
	if l.oldest == 0 && len(l.inbox) > 0 {
		return l.inbox[0].at
	}
	return l.oldest
}

// run sends until the lane is retired or the publisher ends.
func (l *lane) run() {
	defer l.p.running.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for l.collect(timer) {
		l.pack()
		l.deliver()
	}
	l.abandon()
}

// collect waits until there is something to send; false is the lane's end.
func (l *lane) collect(timer *time.Timer) bool {
	for l.p.ctx.Err() == nil {
		due, now, over := l.look()
		if now || over {
			return now
		}
		if due > 0 {
			timer.Reset(due - time.Since(l.p.start))
		}
		select {
		case <-l.wake:
		case <-timer.C:
		case <-l.p.ctx.Done():
		}
	}
	return false
}

// look tells when to send, zero for not before a signal, and takes the inbox if
// that is now: until then it stays filled, so that not each event is a signal.
func (l *lane) look() (due time.Duration, now, over bool) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	l.rung = false
	l.oldest = 0
	if len(l.backlog) > 0 {
		l.oldest = l.backlog[0].at
	}
	if l.waiting > 0 {
		return 0, false, false
	}
	if l.retired {
		l.handOver()
		return 0, false, true
	}
	events, bytes := len(l.backlog)+len(l.inbox), l.backlogBytes+l.inboxBytes
	if events == 0 {
		return 0, false, false
	}
	if due = l.oldestAt(); l.mayLinger(events, bytes) {
		due += l.p.cfg.Linger
		if time.Since(l.p.start) < due {
			return due, false, false
		}
	}
	l.oldest = l.oldestAt()
	l.takeInbox()
	return due, true, false
}

// mayLinger needs Publisher.mu.
func (l *lane) mayLinger(events, bytes int) bool {
	return l.p.urgent == 0 && len(l.waiters) == 0 && !l.p.gate.short && !l.p.isFull(events, bytes)
}

func (l *lane) takeInbox() {
	l.backlog = append(l.backlog, l.inbox...)
	l.backlogBytes += l.inboxBytes
	clear(l.inbox)
	l.inbox, l.inboxBytes = l.inbox[:0], 0
}

// putBack sets results in front of the backlog again.
func (l *lane) putBack(results []*Result) {
	if len(results) == 0 {
		return
	}
	l.backlog = slices.Concat(results, l.backlog)
	for _, r := range results {
		l.backlogBytes += len(r.data)
	}
}

// abandon settles what is left when the publisher ends.
func (l *lane) abandon() {
	l.p.mu.Lock()
	l.takeInbox()
	left := l.backlog
	l.backlog, l.oldest = nil, 0
	l.p.unsent += len(left)
	for _, r := range left {
		if r.doubt {
			l.p.doubt++
		}
	}
	l.p.mu.Unlock()
	for _, r := range left {
		known := "was not sent to"
		if r.doubt {
			known = "was sent with unknown outcome to"
		}
		r.err = fmt.Errorf("publishers/kinesis: the event %s %s: %w", known, l.p.place.text, ErrClosed)
	}
	l.settle(left)
}
