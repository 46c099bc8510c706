package kinesis

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// lane is the queue of one shard. Its goroutine alone sends to that shard, one
// request at a time.
type lane struct {
	p     *Publisher
	shard shard
	wake  chan struct{} // holds at most one signal
	pacer pacer

	// Guarded by Publisher.mu.
	inbox      []*Result // what came in since the goroutine last looked
	inboxBytes int
	oldest     time.Time // of what the goroutine has taken
	retired    bool      // the shard is closed: hand over to the successors
	successors []*lane
	waiting    int   // for how many lanes to hand over to this one
	last       error // of the last failed request, nil after one that worked

	// The goroutine's own.
	backlog      []*Result // taken from the inbox, not yet in a request
	backlogBytes int
	packer       packer
}

func newLane(p *Publisher, s shard) *lane {
	l := &lane{p: p, shard: s, wake: make(chan struct{}, 1), pacer: newPacer(&p.cfg)}
	l.packer = packer{cfg: &p.cfg, hashKey: &l.shard.firstText}
	return l
}

// push needs Publisher.mu.
func (l *lane) push(r *Result) {
	l.inbox = append(l.inbox, r)
	l.inboxBytes += len(r.data)
	if len(l.inbox) == 1 || l.p.isFull(len(l.inbox), l.inboxBytes) {
		l.signal()
	}
}

// isFull tells whether so much is worth a request without lingering.
func (p *Publisher) isFull(events, bytes int) bool {
	return bytes >= p.cfg.AggregateBytes || p.cfg.NoAggregation && events >= p.cfg.MaxRequestRecords
}

func (l *lane) signal() {
	select {
	case l.wake <- struct{}{}:
	default: // it is awake, or will be
	}
}

// oldestAt needs Publisher.mu.
func (l *lane) oldestAt() time.Time {
	if l.oldest.IsZero() && len(l.inbox) > 0 {
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
		if !due.IsZero() {
			timer.Reset(time.Until(due))
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
func (l *lane) look() (due time.Time, now, over bool) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	l.oldest = time.Time{}
	if len(l.backlog) > 0 {
		l.oldest = l.backlog[0].at
	}
	if l.waiting > 0 {
		return time.Time{}, false, false
	}
	if l.retired {
		l.handOver()
		return time.Time{}, false, true
	}
	events, bytes := len(l.backlog)+len(l.inbox), l.backlogBytes+l.inboxBytes
	if events == 0 {
		return time.Time{}, false, false
	}
	due = l.front()
	if l.p.urgent == 0 && !l.p.isFull(events, bytes) {
		due = due.Add(l.p.cfg.Linger)
	}
	if time.Now().Before(due) {
		return due, false, false
	}
	l.oldest = l.front()
	l.takeInbox()
	return due, true, false
}

// front is since when the first event in the queue has been waiting.
func (l *lane) front() time.Time {
	if len(l.backlog) > 0 {
		return l.backlog[0].at
	}
	return l.inbox[0].at
}

func (l *lane) takeInbox() {
	l.backlog = append(l.backlog, l.inbox...)
	l.backlogBytes += l.inboxBytes
	clear(l.inbox)
	l.inbox, l.inboxBytes = l.inbox[:0], 0
}

// pack moves what fits from the backlog into the packer and keeps the rest in
// its order.
func (l *lane) pack() {
	l.packer.reset()
	rest := l.backlog[:0]
	for i, r := range l.backlog {
		if l.packer.full {
			rest = append(rest, l.backlog[i:]...)
			break
		}
		if l.packer.take(r) {
			l.backlogBytes -= len(r.data)
		} else {
			rest = append(rest, r)
		}
	}
	clear(l.backlog[len(rest):])
	l.backlog = rest
	l.packer.seal()
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
	l.backlog, l.oldest = nil, time.Time{}
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
	l.p.settle(left)
}

// pacer keeps a lane below a rate; its zero value does not.
type pacer struct{ bytes, records *rate.Limiter }

func newPacer(cfg *Config) pacer {
	return pacer{limiter(cfg.ShardBytesPerSecond), limiter(cfg.ShardRecordsPerSecond)}
}

func limiter(perSecond int) *rate.Limiter {
	if perSecond == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), perSecond)
}

// pace waits for its turn; false when the publisher ended meanwhile.
func (l *lane) pace(bytes, records int) bool {
	return l.await(l.pacer.bytes, bytes) && l.await(l.pacer.records, records)
}

// await takes n in portions, since a limiter gives at most a second's worth.
func (l *lane) await(limiter *rate.Limiter, n int) bool {
	for limiter != nil && n > 0 {
		portion := min(n, limiter.Burst())
		if limiter.WaitN(l.p.ctx, portion) != nil {
			return false
		}
		n -= portion
	}
	return true
}
