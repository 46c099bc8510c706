package streams

import (
	"context"
	"sync"
	"time"
)

// lane is the part of a shard whose records are handed over one batch after
// the other.
type lane struct {
	limit int // how many records may wait before the reader has to

	mu      sync.Mutex
	waiting []Record      // read, not yet done with; the batch under way included
	done    string        // the last sequence number that was done with
	sealed  bool          // nothing more will come
	changed chan struct{} // closed and replaced at every change
}

func newLane(limit int) *lane { return &lane{limit: limit, changed: make(chan struct{})} }

// notify wakes all who wait for a change; mu is held.
func (l *lane) notify() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// push adds records, all at once, when there is room for any.
func (l *lane) push(ctx context.Context, records []Record) error {
	for {
		l.mu.Lock()
		if len(l.waiting) < l.limit {
			l.waiting = append(l.waiting, l.undone(records)...)
			l.notify()
			l.mu.Unlock()
			return nil
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// undone leaves out what was done with before reading began again.
func (l *lane) undone(records []Record) []Record {
	for len(records) > 0 && l.done != "" && !less(l.done, records[0].Sequence) {
		records = records[1:]
	}
	return records
}

// seal says that nothing more will be pushed.
func (l *lane) seal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sealed = true
	l.notify()
}

// gather waits for the next batch: until it is full by number or size, the
// window since its first record has passed, or nothing more will come. It
// returns nothing when the lane is at its end.
func (l *lane) gather(ctx context.Context, size int, window time.Duration) ([]Record, error) {
	var expired <-chan time.Time
	for {
		l.mu.Lock()
		n := fits(l.waiting, size)
		full := n > 0 && (n == size || n < len(l.waiting) || l.sealed || window == 0 || len(l.waiting) >= l.limit)
		batch, sealed, changed := l.waiting[:n:n], l.sealed, l.changed
		l.mu.Unlock()
		if full || (sealed && n == 0) {
			return batch, nil
		}
		if n > 0 && expired == nil {
			timer := time.NewTimer(window)
			defer timer.Stop()
			expired = timer.C
		}
		select {
		case <-changed:
		case <-expired:
			return batch, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// advance is done with the first n records that wait.
func (l *lane) advance(n int) {
	if n == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done = l.waiting[n-1].Sequence
	l.waiting = append([]Record(nil), l.waiting[n:]...)
	l.notify()
}

// oldest returns the sequence number of the first record not done with.
func (l *lane) oldest() (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		return "", false
	}
	return l.waiting[0].Sequence, true
}

// reopen forgets what waits, before reading begins again.
func (l *lane) reopen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting, l.sealed = nil, false
}
