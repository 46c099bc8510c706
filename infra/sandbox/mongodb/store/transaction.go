package store

import (
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// Txn is a transaction: it reads the state as of its first use with its own
// writes over it, and its writes come into force at one instant when it
// commits, or not at all. It must be used by one goroutine at a time.
type Txn struct {
	at      Timestamp
	data    map[[16]byte]*contents
	touched map[touchKey]*record
	writes  []*Entry
	session D
	number  int64
}

type touchKey struct {
	coll [16]byte
	id   string
}

// Begin starts a transaction of a session, at the present instant.
func (e *Engine) Begin(session D, number int64) *Txn {
	return &Txn{
		at: e.Now(), data: map[[16]byte]*contents{}, touched: map[touchKey]*record{},
		session: session, number: number,
	}
}

// contents is the transaction's own copy of a collection.
func (t *Txn) contents(e *Engine, c *Collection) (*contents, error) {
	if data, ok := t.data[c.UUID]; ok {
		return data, nil
	}
	var data *contents
	if c.since.Compare(t.at) > 0 {
		data = newContentsLike(c.data) // made after the transaction began: empty for it
	} else {
		past, err := e.asOf(c, t.at)
		if err != nil {
			return nil, err
		}
		data = past.clone()
	}
	t.data[c.UUID] = data
	return data, nil
}

func newContentsLike(c *contents) *contents {
	n := newContents()
	for _, x := range c.indexes[1:] {
		n.indexes = append(n.indexes, newIndex(x.IndexSpec))
	}
	return n
}

// touch notes what the transaction found before its first write to a document,
// and refuses a write to one that has changed since.
func (t *target) touch(id V, found *record) error {
	if t.txn == nil {
		return nil
	}
	key := touchKey{t.coll.UUID, string([]byte{byte(id.Type)}) + string(id.Data)}
	if _, again := t.txn.touched[key]; again {
		return nil
	}
	if t.coll.data.byID(id) != found {
		if found == nil && t.data.byID(id) != nil {
			return nil // a duplicate that the transaction itself can see
		}
		return conflict()
	}
	t.txn.touched[key] = found
	return nil
}

func conflict() error {
	return failure.New(failure.WriteConflict, "Caused by :: Write conflict during plan execution and yielding is disabled. :: Please "+
		"retry your operation or multi-document transaction.").
		WithLabels("TransientTransactionError")
}

// Commit brings the writes into force. It fails with WriteConflict, and changes
// nothing, if a document it wrote has changed since it began.
func (e *Engine) Commit(t *Txn) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(t.writes) == 0 {
		return nil
	}
	merged := map[*Collection]*contents{}
	for _, w := range t.writes {
		c, ok := e.byID[w.UUID]
		if !ok || c.NS != w.NS {
			return conflict()
		}
		if merged[c] == nil {
			merged[c] = c.data.clone()
		}
		if !t.current(c, w) || !merged[c].apply(w) {
			return conflict()
		}
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
	found, ok := t.touched[touchKey{c.UUID, string([]byte{byte(id.Type)}) + string(id.Data)}]
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
	at, wall := e.tick(), e.cfg.Now()
	for i, w := range t.writes {
		w.Position = Position{At: at, Index: uint32(i)}
		w.Wall, w.Session, w.TxnNumber = wall, t.session, t.number
		e.log.append(w)
	}
}
