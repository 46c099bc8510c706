package follow

import (
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/publishers"
)

// position is a place in the stream before which everything is settled.
type position struct {
	start bson.Timestamp // where the stream begins, while there is no token
	token bson.Raw
	at    bson.Timestamp
	index int  // of the last change of that time
	after bool // the token is an invalidation's
	state bson.Raw
	seen  time.Time // the stream held nothing more before it at this time, by our clock
}

func (row *checkpoint) position() position {
	p := position{start: row.Start, token: row.Token, at: row.ClusterTime, index: row.N, after: row.After, state: row.State}
	if p.token == nil {
		p.index = -1
	}
	return p
}

func (p position) fresh() bool { return p.token == nil && p.start == (bson.Timestamp{}) }

// item is a part of the stream on its way: a change, a chunk or a heartbeat.
type item struct {
	change   *Change // nil for others
	receipts []publishers.Receipt
	move     func(*position) // to what is settled when this is
	flushed  chan struct{}   // closed instead, when all before is settled
	idle     bool            // a heartbeat, which is not worth a save
}

// progress is the position as far as it is settled.
type progress struct {
	mu       sync.Mutex
	position position
	dirty    bool // it moved by more than a heartbeat since it was stored
	settled  int64
}

func (p *progress) get() position {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.position
}

func (p *progress) move(it *item) {
	p.mu.Lock()
	defer p.mu.Unlock()
	it.move(&p.position)
	if !it.idle {
		p.dirty = true
		p.settled++
	}
}

func (p *progress) isDirty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dirty
}

// count says how many changes and chunks are settled.
func (p *progress) count() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.settled
}

// toSave is the position, which then counts as stored; unsaved takes that back.
func (p *progress) toSave() position {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dirty = false
	return p.position
}

func (p *progress) unsaved() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dirty = true
}

// moveTo is the position behind a change.
func moveTo(c *Change) func(*position) {
	return func(p *position) {
		p.token, p.at, p.index, p.after = c.Token, c.ClusterTime, c.Index, c.Operation == "invalidate"
		p.seen = later(p.seen, c.Wall)
	}
}

// beat is the position of a stream that held nothing more at seen.
func beat(token bson.Raw, seen time.Time) func(*position) {
	at := tokenTime(token)
	return func(p *position) {
		if at.After(p.at) {
			p.at, p.index = at, -1
		}
		p.token, p.after, p.seen = token, false, later(p.seen, seen)
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
