package mongodb

import (
	"context"
	"errors"
	"slices"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/query"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/store"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// maxWrites is how many statements one write command may have.
const maxWrites = 100_000

// list is a field that may come as an array or as a document sequence.
func (r *request) list(name string) ([]D, error) {
	docs, ok := r.message.Sections[name]
	if !ok {
		it := value.Elements(value.Field(r.body, name).Data)
		for it.Next() {
			if it.Value.Type != bsoncore.TypeEmbeddedDocument {
				return nil, failure.New(failure.TypeMismatch, "BSON field '%s.%s.%s' is the wrong type '%s', expected type 'object'", r.name, name, it.Key, it.Value.Type)
			}
			docs = append(docs, it.Value.Data)
		}
	}
	if len(docs) == 0 || len(docs) > maxWrites {
		return nil, failure.New(failure.InvalidLength, "Write batch sizes must be between 1 and %d. Got %d operations.", maxWrites, len(docs))
	}
	return docs, nil
}

func (r *request) field(name string) V { return value.Field(r.body, name) }

func (r *request) document(name string) D {
	d, _ := r.field(name).DocumentOK()
	if d == nil {
		return emptyDocument
	}
	return d
}

var emptyDocument = bsoncore.BuildDocument(nil)

// namespace is the target, whose name must be there.
func (r *request) namespace() (store.Namespace, error) {
	ns := r.target()
	if _, ok := r.arg.StringValueOK(); !ok && r.name != "getMore" {
		return ns, failure.New(failure.InvalidNamespace, "collection name has invalid type %s", r.arg.Type)
	}
	return ns, store.CheckName(ns)
}

// batch is a write command under way.
type batch struct {
	*request
	ordered        bool
	n, modified    int
	upserted       []V
	failed         []V
	retried        []V
	statementIDs   []V
	firstStatement int32
	mismatch       error // no statement may be carried out
}

// batch begins a write command, with a lock on the collection. That it is not the
// expected one is an error of each statement, as MongoDB answers it.
func (r *request) batch(ns store.Namespace) (*batch, error) {
	if err := refused(r.body, "bypassDocumentValidation"); err != nil {
		return nil, err
	}
	if err := r.lock(false, ns); err != nil {
		return nil, err
	}
	b := &batch{request: r, ordered: true}
	if b.mismatch = r.expected(ns, expectedUUID); b.mismatch != nil && asFailure(b.mismatch).Code != failure.CollectionUUIDMismatch {
		return nil, b.mismatch
	}
	if v := r.field("ordered"); !value.Missing(v) {
		b.ordered = value.Truthy(v)
	}
	if ids, ok := r.field("stmtIds").ArrayOK(); ok {
		b.statementIDs, _ = ids.Values()
	}
	first, _ := value.Integer(r.field("stmtId"))
	b.firstStatement = int32(first)
	return b, nil
}

func (b *batch) statementID(i int) int32 {
	if i < len(b.statementIDs) {
		n, _ := value.Integer(b.statementIDs[i])
		return int32(n)
	}
	return b.firstStatement + int32(i)
}

// retryable says whether results are to be remembered.
func (r *request) retryable() bool { return r.session != nil && r.txn == nil }

// settled carries out a write, again and again if transactions that are open have
// changed the same documents.
func (r *request) settled(write func() error) error {
	for {
		err := write()
		var pending *store.Pending
		if !errors.As(err, &pending) {
			return err
		}
		select {
		case <-pending.Over:
		case <-r.ctx.Done():
			return context.Cause(r.ctx)
		}
	}
}

// each carries out statements, or replays those that were carried out before.
func (b *batch) each(count int, do func(i int) (statement, error)) error {
	for i := range count {
		id := b.statementID(i)
		if b.retryable() {
			if s, again := b.session.replies[id]; again {
				b.retried = append(b.retried, value.Int32(id))
				b.count(i, s)
				continue
			}
		}
		s, err := statement{}, b.mismatch
		if err == nil {
			err = b.settled(func() error { s, err = do(i); return err })
		}
		if err == nil && b.retryable() {
			b.session.replies[id] = s
		}
		b.count(i, s)
		if err != nil && b.txn != nil {
			b.abandon()
			f := asFailure(err)
			if len(f.Labels) > 0 {
				return err
			}
		}
		if err != nil {
			b.fail(i, err)
			if b.ordered || b.txn != nil {
				break
			}
		}
	}
	return nil
}

func (b *batch) count(i int, s statement) {
	b.n += s.n
	b.modified += s.modified
	if !value.Missing(s.upserted) {
		b.upserted = append(b.upserted, value.Document(bsoncore.BuildDocument(nil,
			bsoncore.AppendInt32Element(nil, "index", int32(i)),
			bsoncore.AppendValueElement(nil, "_id", s.upserted))))
	}
}

func (b *batch) fail(i int, err error) {
	b.refused = err
	f := asFailure(err)
	d := newReply()
	d.int32("index", i)
	d.int32("code", int(f.Code))
	d.out = append(d.out, f.Extra...)
	d.string("errmsg", f.Message)
	b.failed = append(b.failed, value.Document(d.document()))
}

func (b *batch) report(out *reply) {
	out.int32("n", b.n)
	if len(b.upserted) > 0 {
		out.add("upserted", value.Array(b.upserted...))
	}
	if len(b.failed) > 0 {
		out.add("writeErrors", value.Array(b.failed...))
	}
	if len(b.retried) > 0 {
		out.add("retriedStmtIds", value.Array(b.retried...))
	}
}

func insert(r *request, out *reply) error {
	ns, err := r.namespace()
	if err != nil {
		return err
	}
	docs, err := r.list("documents")
	if err != nil {
		return err
	}
	b, err := r.batch(ns)
	if err != nil {
		return err
	}
	err = b.each(len(docs), func(i int) (statement, error) {
		if err := r.engine.Insert(r.txn, ns, docs[i]); err != nil {
			return statement{}, err
		}
		return statement{n: 1}, nil
	})
	b.report(out)
	return err
}

func update(r *request, out *reply) error {
	ns, err := r.namespace()
	if err != nil {
		return err
	}
	updates, err := r.list("updates")
	if err != nil {
		return err
	}
	b, err := r.batch(ns)
	if err != nil {
		return err
	}
	err = b.each(len(updates), func(i int) (statement, error) {
		ch, err := readChange(updates[i])
		if err != nil {
			return statement{}, err
		}
		if ch.Multi && r.retryable() {
			return statement{}, failure.New(failure.InvalidOptions, "Cannot use retryable writes with multi=true")
		}
		done, err := r.engine.Update(r.txn, ns, ch)
		s := statement{n: done.Matched, modified: done.Modified, upserted: done.Upserted}
		if !value.Missing(done.Upserted) {
			s.n = 1
		}
		return s, err
	})
	b.report(out)
	out.int32("nModified", b.modified)
	return err
}

// refused are options that would change what a command means; leaving them out
// silently would be a lie. Given as false or empty they mean nothing.
func refused(d D, names ...string) error {
	for _, name := range names {
		v := value.Field(d, name)
		if locale, _ := value.Field(v.Data, "locale").StringValueOK(); v.Type == bsoncore.TypeEmbeddedDocument && locale == "simple" {
			continue // a collation that is none
		}
		empty := (v.Type == bsoncore.TypeArray || v.Type == bsoncore.TypeEmbeddedDocument) && len(v.Data) == 5
		if value.Truthy(v) && !empty {
			return failure.Unsupported("option %s", name)
		}
	}
	return nil
}

func readChange(d D) (store.Change, error) {
	if err := refused(d, "arrayFilters", "collation", "c"); err != nil {
		return store.Change{}, err
	}
	filter, _ := value.Field(d, "q").DocumentOK()
	f, err := query.CompileFilter(filter)
	if err != nil {
		return store.Change{}, err
	}
	u, err := query.CompileUpdate(value.Field(d, "u"))
	if err != nil {
		return store.Change{}, err
	}
	order, _ := value.Field(d, "sort").DocumentOK()
	o, err := query.CompileOrder(order)
	ch := store.Change{Query: store.Query{Filter: f, Order: o}, Update: u}
	ch.Multi = value.Truthy(value.Field(d, "multi"))
	ch.Upsert = value.Truthy(value.Field(d, "upsert"))
	return ch, err
}

func remove(r *request, out *reply) error {
	ns, err := r.namespace()
	if err != nil {
		return err
	}
	deletes, err := r.list("deletes")
	if err != nil {
		return err
	}
	b, err := r.batch(ns)
	if err != nil {
		return err
	}
	err = b.each(len(deletes), func(i int) (statement, error) {
		q, err := readDelete(deletes[i])
		if err != nil {
			return statement{}, err
		}
		if q.Limit == 0 && r.retryable() {
			return statement{}, failure.New(failure.InvalidOptions, "Cannot use retryable writes with limit=0")
		}
		done, err := r.engine.Delete(r.txn, ns, q)
		return statement{n: done.Matched}, err
	})
	b.report(out)
	return err
}

func readDelete(d D) (store.Query, error) {
	if err := refused(d, "collation"); err != nil {
		return store.Query{}, err
	}
	filter, _ := value.Field(d, "q").DocumentOK()
	f, err := query.CompileFilter(filter)
	if err != nil {
		return store.Query{}, err
	}
	limit, ok := value.Integer(value.Field(d, "limit"))
	if !ok || limit != 0 && limit != 1 {
		return store.Query{}, failure.New(failure.FailedToParse, "The limit field in delete objects must be 0 or 1. Got %d", limit)
	}
	return store.Query{Filter: f, Limit: int(limit)}, nil
}

func findAndModify(r *request, out *reply) error {
	ns, err := r.namespace()
	if err != nil {
		return err
	}
	if r.retryable() {
		if s, again := r.session.replies[0]; again {
			out.out = append(out.out, s.reply...)
			out.int32("retriedStmtId", 0)
			return nil
		}
	}
	if err := r.lock(false, ns); err != nil {
		return err
	}
	body := newReply()
	if err := r.settled(func() error { return r.findAndModify(ns, body) }); err != nil {
		return err
	}
	fields := slices.Clone(body.out[4:])
	if r.retryable() {
		r.session.replies[0] = statement{reply: fields}
	}
	out.out = append(out.out, fields...)
	return nil
}

func (r *request) findAndModify(ns store.Namespace, out *reply) error {
	if err := refused(r.body, "arrayFilters", "collation", "bypassDocumentValidation"); err != nil {
		return err
	}
	f, err := query.CompileFilter(r.document("query"))
	if err != nil {
		return err
	}
	o, err := query.CompileOrder(r.document("sort"))
	if err != nil {
		return err
	}
	p, err := query.CompileProjection(r.document("fields"))
	if err != nil {
		return err
	}
	q := store.Query{Filter: f, Order: o, Limit: 1}
	if value.Truthy(r.field("remove")) {
		return r.findAndRemove(ns, q, p, out)
	}
	return r.findAndUpdate(ns, q, p, out)
}

func (r *request) findAndRemove(ns store.Namespace, q store.Query, p *query.Projection, out *reply) error {
	if !value.Missing(r.field("update")) || value.Truthy(r.field("new")) || value.Truthy(r.field("upsert")) {
		return failure.New(failure.FailedToParse, "Cannot specify update, new or upsert together with remove=true")
	}
	done, err := r.engine.Delete(r.txn, ns, q)
	if err != nil {
		return err
	}
	out.add("lastErrorObject", value.Document(bsoncore.BuildDocument(nil, bsoncore.AppendInt32Element(nil, "n", int32(done.Matched)))))
	appendProjected(out, done.Before, p)
	return nil
}

func appendProjected(out *reply, d D, p *query.Projection) {
	if d == nil {
		out.add("value", value.Null)
	} else {
		out.add("value", value.Document(p.Apply(d)))
	}
}

func (r *request) findAndUpdate(ns store.Namespace, q store.Query, p *query.Projection, out *reply) error {
	u, err := query.CompileUpdate(r.field("update"))
	if err != nil {
		return err
	}
	done, err := r.engine.Update(r.txn, ns, store.Change{Query: q, Update: u, Upsert: value.Truthy(r.field("upsert"))})
	if err != nil {
		return err
	}
	last := newReply()
	inserted := !value.Missing(done.Upserted)
	last.int32("n", done.Matched+map[bool]int{true: 1}[inserted])
	last.bool("updatedExisting", done.Matched > 0)
	if inserted {
		last.add("upserted", done.Upserted)
	}
	out.add("lastErrorObject", value.Document(last.document()))
	if value.Truthy(r.field("new")) {
		done.Before = done.After
	}
	appendProjected(out, done.Before, p)
	return nil
}
