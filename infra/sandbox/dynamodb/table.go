package dynamodb

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/btree"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"
)

// table is a table with its indexes and its stream. mu guards everything below it; items are
// immutable, so what was read under the lock may be used after it.
type table struct {
	name    string
	id      string
	arn     string
	created time.Time
	keys    keys

	mu          sync.RWMutex
	description tableSettings
	items       *tree
	bytes       int
	indexes     []*index
	stream      *stream // nil unless enabled
	expiry      *expiry // nil unless a time to live is set
	nextExpiry  atomic.Int64
}

// index is a secondary index. Its entries are of the projected attributes.
type index struct {
	name       string
	keys       keys
	projection string
	nonKey     []string
	projected  []string // all projected names; nil for ALL
	items      *tree
	bytes      int
}

// entryOf is the index's entry of an item of the table, or nil if it has none.
func (ix *index) entryOf(e *entry) *entry {
	if e == nil {
		return nil
	}
	out, ok := ix.keys.place(e.item)
	if !ok {
		return nil
	}
	out.tie, out.size = e.identity(), e.size
	if ix.projected != nil {
		out.item = e.item.Only(ix.projected)
		out.size = out.item.Size()
	}
	return out
}

// replace moves the index from the old to the new entry and returns the write units it cost:
// nothing if the entry is the same, else one write for each entry removed or put, but one for a
// change in place.
func (ix *index) replace(old, updated *entry) float64 {
	if old != nil && updated != nil && attribute.EqualItems(old.item, updated.item) {
		if ix.projected == nil {
			ix.items.ReplaceOrInsert(updated)
		}
		return 0
	}
	moved := old == nil || updated == nil || old.before(updated) || updated.before(old)
	units := 0.0
	if old != nil {
		ix.bytes -= old.size
		if moved {
			ix.items.Delete(old)
			units += writeUnits(old.size)
		}
	}
	if updated != nil {
		ix.bytes += updated.size
		ix.items.ReplaceOrInsert(updated)
		if moved {
			units += writeUnits(updated.size)
		} else {
			units += writeUnits(max(old.size, updated.size))
		}
	}
	return units
}

func (t *table) indexNamed(name string) *index {
	for _, ix := range t.indexes {
		if ix.name == name {
			return ix
		}
	}
	return nil
}

// find returns the stored entry with the key, or nil.
func (t *table) find(key *entry) *entry {
	e, _ := t.items.Get(key)
	return e
}

// write replaces an entry (nil: there is none) by another (nil: none shall be), in the table, its
// indexes, its expiry and its stream, and adds what it cost to used.
func (t *table) write(now time.Time, old, updated *entry, by writer, used *usage) {
	size := 0
	if old != nil {
		size = old.size
		t.bytes -= old.size
		if updated == nil {
			t.items.Delete(old)
		}
	}
	if updated != nil {
		size = max(size, updated.size)
		t.bytes += updated.size
		t.items.ReplaceOrInsert(updated)
	}
	used.write(t, writeUnits(size))
	for _, ix := range t.indexes {
		used.units += ix.replace(ix.entryOf(old), ix.entryOf(updated))
	}
	if t.expiry != nil {
		t.expiry.replace(old, updated)
		t.nextExpiry.Store(t.expiry.next())
	}
	if t.stream != nil {
		t.stream.add(now, t.keys, old, updated, by)
	}
}

// writer says who changed an item, for the stream.
type writer bool

const (
	byClient writer = false
	byExpiry writer = true
)

// expiry is the index of a time to live: the items in the order in which they expire.
type expiry struct {
	attribute string
	order     *btree.BTreeG[expiring]
}

type expiring struct {
	at int64 // epoch seconds
	e  *entry
}

const (
	never       = int64(1)<<62 - 1
	oldestAlive = 5 * 365 * 24 * time.Hour // items that expired longer ago are left alone, as documented
)

func newExpiry(name string, items *tree) *expiry {
	x := &expiry{attribute: name, order: btree.NewG(32, func(a, b expiring) bool {
		if a.at != b.at {
			return a.at < b.at
		}
		return a.e.before(b.e)
	})}
	items.Ascend(func(e *entry) bool {
		x.replace(nil, e)
		return true
	})
	return x
}

func (x *expiry) of(e *entry) (expiring, bool) {
	if e == nil {
		return expiring{}, false
	}
	v, ok := e.item.Get(x.attribute)
	if !ok || v.Kind() != attribute.N {
		return expiring{}, false
	}
	at, ok := wholeSeconds(v.Text())
	return expiring{at, e}, ok
}

func (x *expiry) replace(old, updated *entry) {
	if gone, ok := x.of(old); ok {
		x.order.Delete(gone)
	}
	if added, ok := x.of(updated); ok {
		x.order.ReplaceOrInsert(added)
	}
}

func (x *expiry) next() int64 {
	first, ok := x.order.Min()
	if !ok {
		return never
	}
	return first.at
}

// expire deletes what has expired, at the first request after that; the real service takes up to
// days, so callers must not rely on either.
func (t *table) expire(now time.Time) {
	if t.nextExpiry.Load() >= now.Unix() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.expiry != nil {
		first, ok := t.expiry.order.Min()
		if !ok || first.at >= now.Unix() {
			return
		}
		if now.Sub(time.Unix(first.at, 0)) > oldestAlive {
			t.expiry.order.Delete(first)
			t.nextExpiry.Store(t.expiry.next())
			continue
		}
		t.write(now, t.find(first.e), nil, byExpiry, &usage{})
	}
}
