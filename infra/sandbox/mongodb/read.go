package mongodb

import (
	"errors"
	"slices"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/query"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/store"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// when reads the read concern: at which instant a read looks, and whether the
// answer must tell.
func (r *request) when() (w store.When, snapshot bool, err error) {
	w.Txn = r.txn
	rc := r.document("readConcern")
	level, _ := value.Field(rc, "level").StringValueOK()
	switch level {
	case "", "local", "majority", "available", "linearizable", "snapshot":
	default:
		return w, false, failure.New(failure.FailedToParse, "unknown readConcern level '%s'", level)
	}
	t, i, given := value.Field(rc, "atClusterTime").TimestampOK()
	if given {
		if level != "snapshot" {
			return w, false, failure.New(failure.InvalidOptions, "atClusterTime field can be set only if readConcern level is snapshot")
		}
		w.At = store.Timestamp{T: t, I: i}
	}
	return w, level == "snapshot" && r.txn == nil, nil
}

// found is what a read gave.
type found struct {
	docs []D
	at   store.Timestamp
	from store.Info // the collection they are of
}

// read runs a pipeline over a collection, or over a view by putting the view's
// pipeline before it. A query that the pipeline begins with goes to the indexes.
func (r *request) read(w store.When, ns store.Namespace, q store.Query, rest query.Pipeline) (found, error) {
	for depth := 0; depth < 40; depth++ {
		if err := r.enterCollection(ns); err != nil {
			return found{}, err
		}
		docs, at, err := r.engine.Find(w, ns, q)
		if errors.Is(err, store.ErrView) {
			f, err := r.readView(w, ns, q, rest)
			if errors.Is(err, errNoView) {
				continue // it has become a collection in between
			}
			return f, err
		}
		if err != nil {
			return found{}, err
		}
		from, _ := r.engine.Lookup(ns)
		docs, err = rest.Run(docs)
		return found{docs, at, from}, err
	}
	return found{}, failure.New(failure.ViewDepthLimitExceeded, "View %s is too deep", ns)
}

// enterCollection takes the lock that a read needs, and looks whether the
// collection is the expected one if it is the command's own.
func (r *request) enterCollection(ns store.Namespace) error {
	if err := r.lock(false, ns); err != nil || ns != r.target() {
		return err
	}
	return r.expected(ns, expectedUUID)
}

var errNoView = errors.New("no longer a view")

func (r *request) readView(w store.When, ns store.Namespace, q store.Query, rest query.Pipeline) (found, error) {
	i, ok := r.engine.Lookup(ns)
	r.releaseLocks() // what is below is locked by itself
	if !ok || i.ViewOn == "" {
		return found{}, errNoView
	}
	if err := r.aggregates(); err != nil {
		return found{}, err
	}
	p, err := query.CompilePipeline(i.Pipeline)
	if err != nil {
		return found{}, err
	}
	below := store.Namespace{DB: ns.DB, Coll: i.ViewOn}
	if len(p) == 0 {
		return r.read(w, below, q, rest)
	}
	f, err := r.read(w, below, everything, p)
	if err != nil {
		return f, err
	}
	if f.docs, err = rest.Run(apply(q, f.docs)); err != nil {
		return found{}, err
	}
	return f, nil
}

// aggregates refuses a find on a view that is no aggregation.
func (r *request) aggregates() error {
	limit, _ := value.Integer(r.field("limit"))
	switch natural := !value.Missing(value.Field(r.document("sort"), "$natural")) || !value.Missing(value.Field(r.document("hint"), "$natural")); {
	case r.name != "find":
	case natural:
		return failure.New(failure.InvalidPipelineOperator, "$natural sort cannot be set in a find on a view")
	case value.Truthy(r.field("singleBatch")) && limit != 1:
		return failure.New(failure.InvalidPipelineOperator, "Option singleBatch not supported in aggregation.")
	}
	return nil
}

// apply is a query on documents that have no index.
func apply(q store.Query, docs []D) []D {
	var kept []D
	for _, d := range docs {
		if q.Filter.Matches(d) {
			kept = append(kept, d)
		}
	}
	if len(q.Order) > 0 {
		kept = q.Order.Sort(kept, 0)
	}
	kept = kept[min(q.Skip, len(kept)):]
	if q.Limit > 0 {
		kept = kept[:min(q.Limit, len(kept))]
	}
	return kept
}

var everything = func() store.Query {
	f, _ := query.CompileFilter(emptyDocument)
	return store.Query{Filter: f}
}()

func find(r *request, out *reply) error {
	ns, err := r.namespace()
	if err != nil {
		return err
	}
	if err := refused(r.body, "collation", "min", "max", "returnKey", "showRecordId", "tailable"); err != nil {
		return err
	}
	q, p, err := r.query()
	if err != nil {
		return err
	}
	w, snapshot, err := r.when()
	if err != nil {
		return err
	}
	f, err := r.read(w, ns, q, nil)
	if err != nil {
		return err
	}
	if p != nil {
		f.docs = slices.Clone(f.docs)
		for i, d := range f.docs {
			f.docs[i] = p.Apply(d)
		}
	}
	return r.openCursor(out, ns, f, snapshot, r.batchSize(r.body))
}

func (r *request) query() (store.Query, *query.Projection, error) {
	f, err := query.CompileFilter(r.document("filter"))
	if err != nil {
		return store.Query{}, nil, err
	}
	q := store.Query{Filter: f}
	if q.Order, err = r.order(); err != nil {
		return q, nil, err
	}
	if q.Skip, err = r.natural("skip"); err != nil {
		return q, nil, err
	}
	if q.Limit, err = r.natural("limit"); err != nil {
		return q, nil, err
	}
	p, err := query.CompileProjection(r.document("projection"))
	return q, p, err
}

// order reads the sort; {$natural: 1} is the order without one.
func (r *request) order() (query.Order, error) {
	d := r.document("sort")
	if v := value.Field(d, "$natural"); !value.Missing(v) {
		if n, _ := value.Integer(v); n != 1 {
			return nil, failure.Unsupported("sort by $natural: -1")
		}
		return nil, nil
	}
	return query.CompileOrder(d)
}

func (r *request) natural(name string) (int, error) {
	v := r.field(name)
	if value.Missing(v) || v.Type == bsoncore.TypeNull {
		return 0, nil
	}
	n, ok := value.Integer(v)
	if !ok || n < 0 {
		return 0, failure.New(failure.Code(51024), "BSON field '%s' value must be >= 0, actual value '%s'", name, v)
	}
	return int(min(n, 1<<31)), nil
}

func count(r *request, out *reply) error {
	ns, err := r.namespace()
	if err != nil {
		return err
	}
	if err := refused(r.body, "collation"); err != nil {
		return err
	}
	f, err := query.CompileFilter(r.document("query"))
	if err != nil {
		return err
	}
	q := store.Query{Filter: f}
	if q.Skip, err = r.natural("skip"); err != nil {
		return err
	}
	if q.Limit, err = r.natural("limit"); err != nil {
		return err
	}
	if i, ok := r.engine.Lookup(ns); ok && i.ViewOn == "" && f.Everything() && r.txn == nil && q.Skip == 0 && q.Limit == 0 {
		out.int32("n", i.Count)
		return nil
	}
	w, _, err := r.when()
	if err != nil {
		return err
	}
	docs, err := r.read(w, ns, q, nil)
	out.int32("n", len(docs.docs))
	return err
}
