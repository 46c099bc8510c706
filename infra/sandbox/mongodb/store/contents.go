package store

import (
	"github.com/google/btree"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// record is one version of a document. It never changes: an update makes
// another record with the same id.
type record struct {
	id  int64 // place in natural order
	doc D
}

// contents are the documents of a collection with their indexes. A clone is
// cheap and independent (the trees copy on write), which is what snapshots and
// transactions are made of.
type contents struct {
	records *btree.BTreeG[*record]
	indexes []*index // the first is _id_
	next    int64
}

func newContents() *contents {
	c := &contents{records: btree.NewG(32, func(a, b *record) bool { return a.id < b.id })}
	c.indexes = []*index{newIndex(idIndex())}
	return c
}

// clone needs the engine's write lock; using the clone does not.
func (c *contents) clone() *contents {
	n := &contents{records: c.records.Clone(), next: c.next}
	for _, x := range c.indexes {
		n.indexes = append(n.indexes, x.clone())
	}
	return n
}

// byID finds a document by its _id.
func (c *contents) byID(id V) *record {
	var found *record
	c.indexes[0].span([]V{id}, func(e entry) bool { found = e.rec; return false })
	return found
}

func (c *contents) insert(d D, ns string) (*record, error) {
	r := &record{c.next, d}
	if err := c.checkUnique(r, nil, ns); err != nil {
		return nil, err
	}
	c.next++
	c.put(r)
	return r, nil
}

func (c *contents) put(r *record) {
	c.records.ReplaceOrInsert(r)
	c.next = max(c.next, r.id+1)
	for _, x := range c.indexes {
		x.add(r)
	}
}

func (c *contents) remove(r *record) {
	c.records.Delete(r)
	for _, x := range c.indexes {
		x.drop(r)
	}
}

func (c *contents) replace(old *record, d D, ns string) (*record, error) {
	r := &record{old.id, d}
	if err := c.checkUnique(r, old, ns); err != nil {
		return nil, err
	}
	c.swap(old, r)
	return r, nil
}

func (c *contents) swap(old, r *record) {
	c.remove(old)
	c.put(r)
}

// checkUnique says whether the record may come in, in place of old or anew.
func (c *contents) checkUnique(r, old *record, ns string) error {
	for _, x := range c.indexes {
		if len(x.parts) > 1 {
			if err := x.check(r.doc); err != nil {
				return err
			}
		}
		if !x.Unique {
			continue
		}
		var err error
		x.keys(r.doc, func(keys []V) {
			x.span(keys, func(e entry) bool {
				if e.rec.id != r.id || old == nil {
					err = duplicate(x, keys, ns)
				}
				return err == nil
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func duplicate(x *index, keys []V, ns string) error {
	pattern, shown := D(x.Key), newDocument()
	for i, p := range x.parts {
		shown.add(p.path.String(), keys[i])
	}
	kv := shown.end()
	e := failure.New(failure.DuplicateKey, "E11000 duplicate key error collection: %s index: %s dup key: %s", ns, x.Name, kv)
	e.Extra = elements("keyPattern", value.Document(pattern), "keyValue", value.Document(kv))
	return e
}
