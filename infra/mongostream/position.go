package mongostream

import (
	"fmt"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Position is a place in a change stream before which everything is acknowledged.
type Position struct {
	// Start is where the stream begins, that time included, while there is no Token.
	Start bson.Timestamp
	// Token is the resume token of the last change or heartbeat.
	Token bson.Raw
	// Invalidated says that the token is that of an invalidation, behind which only
	// a new stream can start.
	Invalidated bool
	// At is the cluster time up to which everything is acknowledged, and Index the
	// number of the last change of that time, -1 for none.
	At    bson.Timestamp
	Index int
	// State is the progress of an [Interleaver].
	State bson.Raw
	// CaughtUp is when the stream held no further changes before the position. It is a
	// time of this process' clock, or of the server's where changes keep coming.
	CaughtUp time.Time
	// Changes counts the changes up to the position.
	Changes int64
}

// String names the position in messages.
func (p Position) String() string {
	at := tokenTime(p.Token)
	switch {
	case p.Token == nil:
		at = p.Start
	case at.IsZero():
		return "behind the token " + shorten(p.Token.String())
	}
	return fmt.Sprintf("behind %d.%d", at.T, at.I)
}

// isZero reports whether nothing was stored yet.
func (p Position) isZero() bool { return p.Token == nil && p.Start.IsZero() }

// advanceTo moves a position behind a change.
func advanceTo(c *Change) func(*Position) {
	return func(p *Position) {
		p.Token, p.At, p.Index, p.Invalidated = c.Token, c.ClusterTime, c.Index, c.Operation == "invalidate"
		p.CaughtUp = laterOf(p.CaughtUp, c.Wall)
		p.Changes++
	}
}

// advanceToHeartbeat moves a position to the end of a stream that held no further changes at asked.
func advanceToHeartbeat(token bson.Raw, asked time.Time) func(*Position) {
	at := tokenTime(token)
	return func(p *Position) {
		if at.After(p.At) {
			p.At, p.Index = at, -1
		}
		p.Token, p.Invalidated, p.CaughtUp = token, false, laterOf(p.CaughtUp, asked)
	}
}

func laterOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// progress is the position up to which everything is acknowledged.
type progress struct {
	mu           sync.Mutex
	position     Position
	dirty        bool // it moved by more than a heartbeat since it was stored
	acknowledged int64
}

func (p *progress) get() Position {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.position
}

func (p *progress) advance(it *item) {
	p.mu.Lock()
	defer p.mu.Unlock()
	it.advance(&p.position)
	if !it.heartbeat {
		p.dirty = true
		p.acknowledged++
	}
}

func (p *progress) isDirty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dirty
}

// count is the number of changes and chunks acknowledged.
func (p *progress) count() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acknowledged
}

// toSave returns the position and marks it as stored; markUnsaved reverts that.
func (p *progress) toSave() Position {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dirty = false
	return p.position
}

func (p *progress) markUnsaved() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dirty = true
}
