package migrate

import (
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
)

// tracker knows up to where the change stream is applied. Changes complete in
// any order; the position moves over them in the stream's order only, and a
// heartbeat waits its turn like a change. (gh-ost#1684: a heartbeat that moved
// the position past unapplied events lost them at the next resume.)
type tracker struct {
	mu       sync.Mutex
	queue    []*pending
	room     *sync.Cond
	most     int
	closed   bool
	position position
	passed   func() // called, without the lock, when a marker was passed
}

// pending is one event on its way.
type pending struct {
	token  bson.Raw
	at     stamp.ClusterTime
	marker string
	seen   time.Time // for heartbeats: the stream held nothing more at this time
	done   bool
}

// position is a place in the change stream before which everything is applied.
type position struct {
	token    bson.Raw
	applied  stamp.ClusterTime
	caughtUp time.Time
	events   int64
	markers  []string // the last ones passed
}

// keptMarkers is how many passed markers are remembered.
const keptMarkers = 32

func newTracker(from position, most int, passed func()) *tracker {
	t := &tracker{position: from, most: most, passed: passed}
	t.room = sync.NewCond(&t.mu)
	return t
}

// add queues an event, waiting while too many are unapplied. False after close.
func (t *tracker) add(p *pending) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.queue) >= t.most && !t.closed {
		t.room.Wait()
	}
	t.queue = append(t.queue, p)
	return !t.closed
}

// heartbeat notes that the stream held nothing more at seen, and stands at token.
func (t *tracker) heartbeat(token bson.Raw, at stamp.ClusterTime, seen time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &pending{token: token, at: at, seen: seen, done: true}
	if n := len(t.queue); n > 0 && !t.queue[n-1].seen.IsZero() {
		t.queue[n-1] = p // heartbeats in a row are one
	} else {
		t.queue = append(t.queue, p)
	}
	t.advance()
}

// complete notes that an event is applied.
func (t *tracker) complete(p *pending) {
	t.mu.Lock()
	p.done = true
	marked := t.advance()
	t.mu.Unlock()
	if marked {
		t.passed()
	}
}

func (t *tracker) advance() (marked bool) {
	for len(t.queue) > 0 && t.queue[0].done {
		p := t.queue[0]
		t.queue[0] = nil
		t.queue = t.queue[1:]
		t.position.token = p.token
		t.position.applied = max(t.position.applied, p.at)
		if p.seen.IsZero() {
			t.position.events++
		} else {
			t.position.caughtUp = p.seen
		}
		if p.marker != "" {
			t.position.markers = append(t.position.markers, p.marker)
			t.position.markers = t.position.markers[max(0, len(t.position.markers)-keptMarkers):]
			marked = true
		}
	}
	t.room.Broadcast()
	return marked
}

func (t *tracker) current() position {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.position
	p.markers = append([]string{}, p.markers...)
	return p
}

func (t *tracker) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.room.Broadcast()
}

// unapplied reports whether anything read is still on its way.
func (t *tracker) unapplied() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.queue) > 0
}
