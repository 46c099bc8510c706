package store

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/query"
)

// Timestamp is a cluster time.
type Timestamp struct{ T, I uint32 }

// Compare orders timestamps.
func (t Timestamp) Compare(u Timestamp) int {
	return cmp.Or(cmp.Compare(t.T, u.T), cmp.Compare(t.I, u.I))
}

// Position is a place in the oplog: the entries of one transaction share a
// timestamp and differ in the index.
type Position struct {
	At    Timestamp
	Index uint32
}

// Compare orders positions.
func (p Position) Compare(q Position) int {
	return cmp.Or(p.At.Compare(q.At), cmp.Compare(p.Index, q.Index))
}

// Kind is what an oplog entry did; the names are those of change streams.
type Kind string

// The kinds of oplog entries.
const (
	Inserted        Kind = "insert"
	Updated         Kind = "update"
	Replaced        Kind = "replace"
	Deleted         Kind = "delete"
	Created         Kind = "create"
	Dropped         Kind = "drop"
	Renamed         Kind = "rename"
	DatabaseDropped Kind = "dropDatabase"
	Modified        Kind = "modify"
	IndexesCreated  Kind = "createIndexes"
	IndexesDropped  Kind = "dropIndexes"
)

// Entry is one change, as it is kept in the oplog. It must not be changed.
type Entry struct {
	Position
	Wall      time.Time
	Kind      Kind
	NS        Namespace
	To        Namespace // of a rename
	UUID      [16]byte
	Key       D // {_id: ...}
	Before    D
	After     D
	Changes   *query.Description
	Session   D     // lsid, in a transaction
	TxnNumber int64 // in a transaction
	PrePost   bool  // changeStreamPreAndPostImages was on

	record     int64
	targetUUID [16]byte // of what a rename dropped
	droppedTo  bool
}

func (e *Entry) size() int64 { return int64(len(e.Before)+len(e.After)) + 256 }

// oplog keeps the last entries, within bounds.
type oplog struct {
	entries  []*Entry
	bytes    int64
	maxCount int
	maxBytes int64
	lost     Position // the last position that fell off
	changed  chan struct{}
}

func (o *oplog) append(e *Entry) {
	o.entries = append(o.entries, e)
	o.bytes += e.size()
	n := 0
	for len(o.entries)-n > o.maxCount || o.bytes > o.maxBytes && len(o.entries)-n > 1 {
		o.lost = o.entries[n].Position
		o.bytes -= o.entries[n].size()
		o.entries[n] = nil
		n++
	}
	o.entries = o.entries[n:]
	close(o.changed)
	o.changed = make(chan struct{})
}

// after is the index of the first entry behind a position.
func (o *oplog) after(p Position) int {
	return sort.Search(len(o.entries), func(i int) bool { return o.entries[i].Compare(p) > 0 })
}

// Read gives up to limit entries after a position; ok is false if entries after
// it have fallen off. changed is closed when there is more to read.
func (e *Engine) Read(p Position, limit int) (entries []*Entry, changed <-chan struct{}, ok bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if p.Compare(e.log.lost) < 0 {
		return nil, nil, false
	}
	i := e.log.after(p)
	// A copy, because the oplog clears what falls off its beginning.
	return slices.Clone(e.log.entries[i:min(len(e.log.entries), i+limit)]), e.log.changed, true
}

// At is the entry at a position, if it is still there.
func (e *Engine) At(p Position) (*Entry, bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	i := e.log.after(p) - 1
	if i < 0 || e.log.entries[i].Position != p {
		return nil, false
	}
	return e.log.entries[i], true
}
