package archive

import (
	"container/heap"
	"context"
	"errors"
	"io"
	"slices"
)

// Cursor gives records in the order of their sequence numbers. Not safe for concurrent use.
type Cursor interface {
	// Next returns the next record, or io.EOF.
	Next(context.Context) (Record, error)
}

// ErrDifferent is returned where two records with the same sequence number are not the
// same record.
var ErrDifferent = errors.New("two different records with one sequence number")

// Merge gives the records of several cursors in the order of their sequence numbers, each
// once, though several have it. For one partition key that is the order of the stream, also
// across a reshard: the sequence numbers of a shard are greater than those of its parents. It
// holds one record of each cursor.
type Merge struct {
	fresh []Cursor // nothing was read of them yet
	heads heads
	last  Record
}

// NewMerge merges cursors.
func NewMerge(cursors ...Cursor) *Merge { return &Merge{fresh: cursors} }

// Add adds a cursor whose records are not before those that were given already.
func (m *Merge) Add(c Cursor) { m.fresh = append(m.fresh, c) }

// Next returns the next record, or io.EOF.
func (m *Merge) Next(ctx context.Context) (Record, error) {
	if err := m.advance(ctx); err != nil {
		return Record{}, err
	}
	if len(m.heads) == 0 {
		return Record{}, io.EOF
	}
	m.last = m.heads[0].record
	m.drop()
	return m.last, nil
}

// advance leaves the next record at the top of the heap, behind what was given already.
func (m *Merge) advance(ctx context.Context) error {
	for {
		if err := m.begin(ctx); err != nil {
			return err
		}
		if len(m.heads) == 0 || m.heads[0].record.Sequence != m.last.Sequence {
			return nil
		}
		if !isSame(m.heads[0].record, m.last) {
			return &differentError{m.last}
		}
		m.drop()
	}
}

// drop lets the cursor at the top read its next record.
func (m *Merge) drop() { m.Add(heap.Pop(&m.heads).(head).cursor) }

type differentError struct{ record Record }

func (e *differentError) Error() string {
	return e.record.Shard + " " + e.record.Sequence + ": " + ErrDifferent.Error() + ": are there two streams in the archive?"
}

func (e *differentError) Unwrap() error { return ErrDifferent }

// first is the sequence number, padded, of the next record; "" after the last.
func (m *Merge) first(ctx context.Context) (string, error) {
	if err := m.advance(ctx); err != nil || len(m.heads) == 0 {
		return "", err
	}
	return m.heads[0].key, nil
}

// begin reads the first record of the cursors that have none in the heap.
func (m *Merge) begin(ctx context.Context) error {
	for len(m.fresh) > 0 {
		c := m.fresh[0]
		r, err := c.Next(ctx)
		if err != nil && err != io.EOF {
			return err
		}
		m.fresh = m.fresh[1:]
		if err == nil {
			heap.Push(&m.heads, head{pad(r.Sequence), r, c})
		}
	}
	return nil
}

func isSame(a, b Record) bool {
	return a.Shard == b.Shard && a.Arrived.Equal(b.Arrived) &&
		slices.EqualFunc(a.Events, b.Events, func(a, b Event) bool { return a.Key == b.Key && string(a.Raw) == string(b.Raw) })
}

type head struct {
	key    string
	record Record
	cursor Cursor
}

type heads []head

func (h heads) Len() int           { return len(h) }
func (h heads) Less(i, j int) bool { return h[i].key < h[j].key }
func (h heads) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *heads) Push(x any)        { *h = append(*h, x.(head)) }
func (h *heads) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
