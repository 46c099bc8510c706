package store

import (
	"errors"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/query"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// target is where a write goes: the collection itself, or its copy in a
// transaction.
type target struct {
	engine *Engine
	coll   *Collection
	data   *contents
	txn    *Txn
}

// target needs the write lock. It is nil if the collection is missing and is
// not to be made.
func (e *Engine) target(ns Namespace, txn *Txn, create bool) (*target, error) {
	c, err := e.writable(ns, txn, create)
	if err != nil || c == nil {
		return nil, err
	}
	t := &target{e, c, c.data, txn}
	if txn != nil {
		t.data, err = txn.contents(e, c)
	}
	return t, err
}

func (t *target) log(entry *Entry) {
	entry.NS, entry.UUID, entry.PrePost = t.coll.NS, t.coll.UUID, t.coll.prePost
	if t.txn != nil {
		t.txn.writes = append(t.txn.writes, entry)
		return
	}
	t.engine.record(entry)
}

// Insert stores a copy of a document; an _id is made if it has none.
func (e *Engine) Insert(txn *Txn, ns Namespace, d D) error {
	d, err := prepare(d)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	t, err := e.target(ns, txn, true)
	if err != nil {
		return err
	}
	return t.insert(d)
}

func (t *target) insert(d D) error {
	if err := t.coll.admit(d, nil); err != nil {
		return err
	}
	if err := t.touch(value.Field(d, "_id"), nil, d); err != nil {
		return err
	}
	if _, err := t.data.insert(d, t.coll.NS.String()); err != nil {
		return err
	}
	t.log(&Entry{Kind: Inserted, Key: idOf(d), After: d})
	return nil
}

// prepare copies a document and puts its _id first.
func prepare(d D) (D, error) {
	if len(d) > value.MaxDocumentSize {
		return nil, failure.New(failure.BSONObjectTooLarge, "object to insert too large. size in bytes: %d, max size: %d", len(d), value.MaxDocumentSize)
	}
	if err := value.Validate(d, value.MaxStoredDepth); err != nil {
		return nil, failure.New(failure.Overflow, "cannot insert document because it exceeds %d levels of nesting", value.MaxStoredDepth)
	}
	id := value.Field(d, "_id")
	if value.Missing(id) {
		return query.PrependID(d, newID()), nil
	}
	if err := checkID(id); err != nil {
		return nil, err
	}
	return slices.Clone(query.WithFirstID(d)), nil
}

func newID() V {
	return V{Type: bsoncore.TypeObjectID, Data: bsoncore.AppendObjectID(nil, bson.NewObjectID())}
}

func checkID(id V) error {
	switch id.Type {
	case bsoncore.TypeArray, bsoncore.TypeRegex, bsoncore.TypeUndefined:
		return failure.New(failure.Code(53), "The '_id' value cannot be of type %s", id.Type)
	case bsoncore.TypeEmbeddedDocument:
		for it := value.Elements(id.Data); it.Next(); {
			if len(it.Key) > 0 && it.Key[0] == '$' {
				return failure.New(failure.DollarPrefixedFieldName, "_id fields may not contain '$'-prefixed fields: %s is not valid for storage.", it.Key)
			}
		}
	}
	return nil
}

// admit asks the validator about a document and what it was before.
func (c *Collection) admit(d, before D) error {
	if c.validator == nil || c.validator.Matches(d) || c.moderate && before != nil && !c.validator.Matches(before) {
		return nil
	}
	f := failure.New(failure.DocumentValidationFailure, "Document failed validation")
	info := newDocument()
	info.add("failingDocumentId", value.Field(d, "_id"))
	f.Extra = bsoncore.AppendDocumentElement(nil, "errInfo", info.end())
	return f
}

// Change is an update to carry out.
type Change struct {
	Query
	Update *query.Update
	Multi  bool
	Upsert bool
}

// Outcome is what an update or a delete did.
type Outcome struct {
	Matched, Modified int
	Upserted          V // the _id; missing if nothing was inserted
	Before, After     D // of the last document
}

// Update changes the documents that match, at one instant. Without Multi it is
// the first in order.
func (e *Engine) Update(txn *Txn, ns Namespace, ch Change) (Outcome, error) {
	if ch.Multi && ch.Update.Replaces() {
		return Outcome{}, failure.New(failure.FailedToParse, "multi update is not supported for replacement-style update")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	t, err := e.target(ns, txn, ch.Upsert)
	if err != nil || t == nil {
		return Outcome{}, err
	}
	if !ch.Multi {
		ch.Limit = 1
	}
	var out Outcome
	found := t.data.find(ch.Query, t.data.choose(ch.Query))
	if err := t.free(found); err != nil {
		return out, err
	}
	for _, r := range found {
		if err := t.update(r, ch.Update, &out); err != nil {
			return out, err
		}
	}
	if out.Matched == 0 && ch.Upsert {
		err = t.upsert(ch, &out)
	}
	return out, err
}

func (t *target) update(r *record, u *query.Update, out *Outcome) error {
	result, err := u.Apply(r.doc, false)
	if err != nil {
		return err
	}
	out.Matched++
	out.Before, out.After = r.doc, r.doc
	if !result.Modified {
		return nil
	}
	after := D(slices.Clone(result.After))
	if err := t.replaceable(r, after); err != nil {
		return err
	}
	if _, err := t.data.replace(r, after, t.coll.NS.String()); err != nil {
		return err
	}
	out.Modified++
	out.After = after
	entry := &Entry{Kind: Updated, Key: idOf(after), Before: r.doc, After: after, Changes: result.Changes}
	if result.Changes == nil {
		entry.Kind = Replaced
	}
	t.log(entry)
	return nil
}

func (t *target) replaceable(r *record, after D) error {
	if len(after) > value.MaxDocumentSize {
		return failure.New(failure.Code(17419), "Resulting document after update is larger than %d", value.MaxDocumentSize)
	}
	if err := value.Validate(after, value.MaxStoredDepth); err != nil {
		return failure.New(failure.Overflow, "the update makes a document of more than %d levels of nesting", value.MaxStoredDepth)
	}
	if err := t.coll.admit(after, r.doc); err != nil {
		return err
	}
	return t.touch(value.Field(after, "_id"), r, after)
}

func (t *target) upsert(ch Change, out *Outcome) error {
	seed, err := query.Seed(ch.Filter, ch.Update)
	if err != nil {
		return err
	}
	result, err := ch.Update.Apply(seed, true)
	if err != nil {
		return err
	}
	d, err := prepare(result.After)
	if err != nil {
		return err
	}
	if err := t.insert(d); err != nil {
		return err
	}
	out.Upserted, out.After = value.Field(d, "_id"), d
	return nil
}

// Delete removes the documents that match; Limit is in the query.
func (e *Engine) Delete(txn *Txn, ns Namespace, q Query) (Outcome, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t, err := e.target(ns, txn, false)
	if err != nil || t == nil {
		return Outcome{}, err
	}
	var out Outcome
	found := t.data.find(q, t.data.choose(q))
	if err := t.free(found); err != nil {
		return out, err
	}
	for _, r := range found {
		if err := t.touch(value.Field(r.doc, "_id"), r, r.doc); err != nil {
			return out, err
		}
		t.data.remove(r)
		t.log(&Entry{Kind: Deleted, Key: idOf(r.doc), Before: r.doc, record: r.id})
		out.Matched++
		out.Before = r.doc
	}
	return out, nil
}

// When says at which instant a read looks.
type When struct {
	Txn *Txn
	At  Timestamp // not zero: as of this cluster time
}

// ErrView is wrapped by what Find answers for a view: callers resolve it first.
var ErrView = errors.New("is a view")

// Find gives the documents that match, all as of one instant, and that instant.
func (e *Engine) Find(w When, ns Namespace, q Query) ([]D, Timestamp, error) {
	if w.Txn == nil && w.At == (Timestamp{}) {
		if docs, at, done, err := e.findNow(ns, q); done {
			return docs, at, err
		}
	}
	data, at, err := e.frozen(w, ns)
	if err != nil || data == nil {
		return nil, at, err
	}
	return documents(data.find(q, data.choose(q))), at, nil
}

// findNow answers what an index bounds, under the read lock.
func (e *Engine) findNow(ns Namespace, q Query) (docs []D, at Timestamp, done bool, err error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	c, ok := e.collection(ns)
	switch {
	case !ok:
		return nil, e.clock, true, nil
	case c.ViewOn != "":
		return nil, e.clock, true, ErrView
	}
	p := c.data.choose(q)
	if !p.short(q) && c.data.records.Len() > smallCollection {
		return nil, e.clock, false, nil
	}
	return documents(c.data.find(q, p)), e.clock, true, nil
}

// smallCollection is what may be scanned while holding up writers.
const smallCollection = 1000

// frozen gives contents that do not change while they are read.
func (e *Engine) frozen(w When, ns Namespace) (*contents, Timestamp, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, ok := e.collection(ns)
	switch {
	case ok && c.ViewOn != "":
		return nil, e.clock, ErrView
	case !ok && w.Txn != nil && w.Txn.created[ns] != nil:
		return w.Txn.data[w.Txn.created[ns].UUID], w.Txn.at, nil
	case !ok && w.At != (Timestamp{}):
		return nil, w.At, e.reachable(w.At)
	case !ok:
		return nil, e.clock, nil
	case w.Txn != nil:
		data, err := w.Txn.contents(e, c)
		return data, w.Txn.at, err
	case w.At != (Timestamp{}):
		data, err := e.asOf(c, w.At)
		return data, w.At, err
	}
	return c.data.clone(), e.clock, nil
}

func documents(records []*record) []D {
	docs := make([]D, len(records))
	for i, r := range records {
		docs[i] = r.doc
	}
	return docs
}
