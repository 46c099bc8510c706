package mongodb

import (
	"cmp"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/query"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/store"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/stream"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// allCollections stands in for the name where an aggregation is about a whole
// database ({aggregate: 1}).
const allCollections = "$cmd.aggregate"

func aggregate(r *request, out *reply) error {
	if err := refused(r.body, "collation", "explain", "bypassDocumentValidation"); err != nil {
		return err
	}
	if _, ok := r.field("cursor").DocumentOK(); !ok {
		return failure.New(failure.FailedToParse, "The 'cursor' option is required, except for aggregate with the explain argument")
	}
	pipeline := r.field("pipeline")
	stages, ok := pipeline.ArrayOK()
	if !ok {
		return failure.New(failure.TypeMismatch, "'pipeline' option must be specified as an array")
	}
	list, _ := stages.Values()
	ns, err := r.aggregated()
	if err != nil {
		return err
	}
	if ns.Coll == profileCollection {
		r.server.profiler.mu.Lock()
		entries := r.server.profiler.of(ns.DB).entries
		r.server.profiler.mu.Unlock()
		return r.made(ns, entries, pipeline, out)
	}
	if len(list) > 0 {
		name, argument, err := query.StageOf(list[0])
		if err != nil {
			return err
		}
		if first := sources[name]; first != nil {
			return first(r, ns, argument, value.Array(list[1:]...), out)
		}
	}
	if ns.Coll == "" {
		return failure.New(failure.InvalidNamespace, "{aggregate: 1} is not valid for this pipeline; a collection must be named")
	}
	return r.aggregateCollection(ns, list, out)
}

func (r *request) aggregated() (store.Namespace, error) {
	if n, ok := value.Integer(r.arg); ok && n == 1 {
		return store.Namespace{DB: r.db}, nil
	}
	return r.namespace()
}

// source stages stand at the beginning and make documents themselves.
type sourceStage func(r *request, ns store.Namespace, argument, rest V, out *reply) error

var sources = map[string]sourceStage{
	"$changeStream": (*request).changeStream,
	"$currentOp":    (*request).currentOpStage,
}

func (r *request) aggregateCollection(ns store.Namespace, list []V, out *reply) error {
	q, rest, err := leading(list)
	if err != nil {
		return err
	}
	finish, rest, err := r.sink(rest)
	if err != nil {
		return err
	}
	p, err := query.CompilePipeline(value.Array(rest...))
	if err != nil {
		return err
	}
	w, snapshot, err := r.when()
	if err != nil {
		return err
	}
	f, err := r.read(w, ns, q, p)
	if err != nil {
		return err
	}
	if finish != nil {
		if err := finish(f.docs); err != nil {
			return err
		}
		f.docs = nil
	}
	return r.openCursor(out, ns, f, snapshot, r.batchSize(r.document("cursor")))
}

// leading takes $match and $limit off the beginning of a pipeline, in that order,
// as a query that indexes can help with.
func leading(list []V) (store.Query, []V, error) {
	q := everything
	for _, step := range []string{"$match", "$limit"} {
		if len(list) == 0 {
			break
		}
		name, argument, err := query.StageOf(list[0])
		if err != nil {
			return q, nil, err
		}
		if name != step {
			continue
		}
		took, err := takeInto(&q, name, argument)
		if err != nil || !took {
			return q, list, err
		}
		list = list[1:]
	}
	return q, list, nil
}

func takeInto(q *store.Query, name string, argument V) (took bool, err error) {
	if name == "$match" {
		d, ok := argument.DocumentOK()
		if !ok {
			return false, nil // the stage itself says what is wrong
		}
		q.Filter, err = query.CompileFilter(d)
		return true, err
	}
	n, ok := value.Integer(argument)
	if !ok || n < 1 || n > 1<<31 {
		return false, nil
	}
	q.Limit = int(n)
	return true, nil
}

func (r *request) changeStream(ns store.Namespace, argument, rest V, out *reply) error {
	options, ok := argument.DocumentOK()
	if !ok {
		return failure.New(failure.Code(50808), "$changeStream stage expects a document as argument")
	}
	if r.txn != nil {
		return failure.New(failure.OperationNotSupportedInTxn, "$changeStream is not allowed in a transaction")
	}
	if i, ok := r.engine.Lookup(ns); ok && i.ViewOn != "" {
		return failure.New(failure.CommandNotSupportedOnView, "$changeStream is not supported on views: %s", ns)
	}
	s, err := stream.Open(r.engine, ns, options, rest)
	if err != nil {
		return err
	}
	ns.Coll = cmp.Or(ns.Coll, allCollections)
	c := &cursor{ns: ns, stream: s}
	first, _, err := s.Next(r.batchSize(r.document("cursor")))
	if err != nil {
		return err
	}
	if !s.Over() {
		if err := r.server.cursors.add(c, r.engine.Wall()); err != nil {
			return err
		}
	}
	c.write(out, "firstBatch", first)
	return nil
}

// made answers with documents that a source stage made.
func (r *request) made(ns store.Namespace, docs []D, rest V, out *reply) error {
	p, err := query.CompilePipeline(rest)
	if err != nil {
		return err
	}
	if docs, err = p.Run(docs); err != nil {
		return err
	}
	ns.Coll = cmp.Or(ns.Coll, allCollections)
	return r.openCursor(out, ns, found{docs: docs}, false, r.batchSize(r.document("cursor")))
}
