package store

import (
	"encoding/binary"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// Txn is a transaction: it reads the state as of its first use with its own
// writes over it, and its writes come into force at one instant when it
// commits, or not at all. It must be used by one goroutine at a time.
type Txn struct {
	at      Timestamp
	data    map[[16]byte]*contents
	created map[Namespace]*Collection
	touched map[touchKey]*record
	claimed []touchKey
	writes  []*Entry
	session D
	number  int64
	over    chan struct{}
}

// touchKey is a key of a unique index, that of _id among them.
type touchKey struct {
	coll  [16]byte
	index string
	key   string
}

func keyOf(c *Collection, x *index, keys []V) touchKey {
	var key []byte
	for _, v := range keys {
		if n, ok := value.Integer(v); ok { // 1, 1.0 and NumberLong(1) are one key
			v = value.Int64(n)
		}
		key = append(binary.AppendUvarint(append(key, byte(v.Type)), uint64(len(v.Data))), v.Data...)
	}
	return touchKey{c.UUID, x.Name, string(key)}
}

// Pending is the answer to a write that would change what an open transaction
// has changed: it must be tried again when Over is closed.
type Pending struct{ Over <-chan struct{} }

// Error says what is waited for.
func (*Pending) Error() string { return "an open transaction has changed the document" }

// Begin starts a transaction of a session, at the present instant. It must be
// ended by Finish.
func (e *Engine) Begin(session D, number int64) *Txn {
	return &Txn{
		at: e.Now(), data: map[[16]byte]*contents{}, created: map[Namespace]*Collection{}, touched: map[touchKey]*record{},
		session: session, number: number, over: make(chan struct{}),
	}
}

// Finish ends a transaction, committed or not; its writes are no longer pending.
func (e *Engine) Finish(t *Txn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, k := range t.claimed {
		delete(e.pending, k)
	}
	close(t.over)
}

// create makes a collection that nobody else sees.
func (t *Txn) create(c *Collection) *Collection {
	c.UUID, c.data = newUUID(), newContents()
	t.created[c.NS], t.data[c.UUID] = c, newContents()
	return c
}

// contents is the transaction's own copy of a collection.
func (t *Txn) contents(e *Engine, c *Collection) (*contents, error) {
	if data, ok := t.data[c.UUID]; ok {
		return data, nil
	}
	if c.since.Compare(t.at) > 0 {
		return nil, failure.New(failure.SnapshotUnavailable, "Unable to read from a snapshot due to pending collection catalog changes; please retry "+
			"the operation. Collection %s had another name or did not exist when the transaction began.", c.NS).WithLabels("TransientTransactionError")
	}
	past, err := e.asOf(c, t.at)
	if err != nil {
		return nil, err
	}
	data := past.clone()
	t.data[c.UUID] = data
	return data, nil
}

// touch notes what the transaction found before its first write to a document,
// and refuses a write to one that has changed since or that another has changed.
func (t *target) touch(id V, found *record, d D) error {
	claims, err := t.claims(d)
	if err != nil || t.txn == nil {
		return err
	}
	key := keyOf(t.coll, t.data.indexes[0], []V{id})
	if _, again := t.txn.touched[key]; !again {
		if t.coll.data.byID(id) != found {
			if found == nil && t.data.byID(id) != nil {
				return nil // a duplicate that the transaction itself can see
			}
			return conflict()
		}
		t.txn.touched[key] = found
	}
	for _, k := range claims {
		t.engine.pending[k] = t.txn
	}
	t.txn.claimed = append(t.txn.claimed, claims...)
	return nil
}

// claims are the unique keys of a document, none of which another transaction may
// have taken.
func (t *target) claims(d D) (claims []touchKey, err error) {
	if t.txn == nil && len(t.engine.pending) == 0 {
		return nil, nil
	}
	for _, x := range t.data.indexes {
		if x.Unique {
			x.keys(d, func(keys []V) { claims = append(claims, keyOf(t.coll, x, keys)) })
		}
	}
	for _, k := range claims {
		switch holder := t.engine.pending[k]; {
		case holder == nil || holder == t.txn:
		case t.txn == nil:
			return nil, &Pending{holder.over}
		default:
			return nil, conflict()
		}
	}
	return claims, nil
}

// free says whether all of the documents can be written, before any is.
func (t *target) free(found []*record) error {
	for _, r := range found {
		if _, err := t.claims(r.doc); err != nil {
			return err
		}
	}
	return nil
}

func conflict() error {
	return failure.New(failure.WriteConflict, "Caused by :: Write conflict during plan execution and yielding is disabled. :: Please "+
		"retry your operation or multi-document transaction.").
		WithLabels("TransientTransactionError")
}

// Commit brings the writes into force. It fails with WriteConflict, and changes
// nothing, if a document it wrote has changed since it began, or somebody else has
// made a collection that it makes.
func (e *Engine) Commit(t *Txn) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	merged := map[*Collection]*contents{}
	for ns, c := range t.created {
		if _, exists := e.collection(ns); exists {
			return conflict()
		}
		merged[c] = newContents()
	}
	for _, w := range t.writes {
		c := t.created[w.NS]
		if c == nil {
			c = e.byID[w.UUID]
		}
		if c == nil || c.NS != w.NS {
			return conflict()
		}
		if merged[c] == nil {
			merged[c] = c.data.clone()
		}
		if !t.current(c, w) || !merged[c].apply(w) {
			return conflict()
		}
	}
	for _, c := range t.created {
		e.install(c)
		e.record(&Entry{Kind: Created, NS: c.NS, UUID: c.UUID})
		c.since = e.clock
	}
	for c, data := range merged {
		c.data = data
	}
	e.publish(t)
	return nil
}

// current says that nobody else has changed the document of a write.
func (t *Txn) current(c *Collection, w *Entry) bool {
	id := value.Field(w.Key, "_id")
	found, ok := t.touched[keyOf(c, c.data.indexes[0], []V{id})]
	return ok && c.data.byID(id) == found
}

func (c *contents) apply(w *Entry) bool {
	r := c.byID(value.Field(w.Key, "_id"))
	switch w.Kind {
	case Inserted:
		_, err := c.insert(w.After, w.NS.String())
		return err == nil
	case Deleted:
		if r != nil {
			w.record = r.id
			c.remove(r)
		}
		return r != nil
	}
	if r == nil {
		return false
	}
	_, err := c.replace(r, w.After, w.NS.String())
	return err == nil
}

// publish writes the transaction to the oplog, at one cluster time.
func (e *Engine) publish(t *Txn) {
	if len(t.writes) == 0 {
		return
	}
	at, wall := e.tick(), e.cfg.Now()
	for i, w := range t.writes {
		w.Position = Position{At: at, Index: uint32(i)}
		w.Wall, w.Session, w.TxnNumber = wall, t.session, t.number
		e.log.append(w)
	}
}
