package mongodb

import (
	"encoding/hex"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/query"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/store"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// sinks stand at the end of a pipeline and take its documents.
var sinks = map[string]func(r *request, argument V) (func(docs []D) error, error){
	"$out": (*request).out,
}

// sink takes the stage that ends a pipeline off it, if there is one.
func (r *request) sink(list []V) (finish func(docs []D) error, rest []V, err error) {
	if len(list) == 0 {
		return nil, list, nil
	}
	name, argument, err := query.StageOf(list[len(list)-1])
	if err != nil || sinks[name] == nil {
		return nil, list, err
	}
	if r.txn != nil {
		return nil, nil, failure.New(failure.OperationNotSupportedInTxn, "%s cannot be used in a transaction", name)
	}
	finish, err = sinks[name](r, argument)
	return finish, list[:len(list)-1], err
}

// out puts a new collection in the place of the target: as MongoDB does, a
// temporary one with the target's options and indexes is filled and then renamed
// onto it.
func (r *request) out(argument V) (func(docs []D) error, error) {
	to := store.Namespace{DB: r.db}
	if name, ok := argument.StringValueOK(); ok {
		to.Coll = name
	} else {
		to.DB, _ = value.Field(argument.Data, "db").StringValueOK()
		to.Coll, _ = value.Field(argument.Data, "coll").StringValueOK()
	}
	id := bson.NewObjectID()
	temporary := store.Namespace{DB: to.DB, Coll: "tmp.agg_out." + hex.EncodeToString(id[:])}
	return func(docs []D) error {
		r.releaseLocks() // what was read is no longer held
		if err := r.fill(temporary, to, docs); err != nil {
			r.engine.Drop(temporary)
			return err
		}
		if err := r.lock(true, temporary, to); err != nil {
			r.engine.Drop(temporary)
			return err
		}
		return r.engine.Rename(temporary, to, true)
	}, store.CheckName(to)
}

// fill makes a collection like another and inserts documents.
func (r *request) fill(ns, like store.Namespace, docs []D) error {
	i, ok := r.engine.Lookup(like)
	if ok && i.ViewOn != "" {
		return failure.New(failure.CommandNotSupportedOnView, "Namespace %s is a view, not a collection", like)
	}
	if i.Options == nil {
		i.Options = emptyDocument
	}
	if err := r.engine.Create(nil, ns, i.Options); err != nil {
		return err
	}
	var specs []store.IndexSpec
	for _, d := range i.Indexes {
		s, err := store.ParseIndex(d)
		if err != nil {
			return err
		}
		specs = append(specs, s)
	}
	if _, _, _, err := r.engine.CreateIndexes(ns, specs); err != nil {
		return err
	}
	for _, d := range docs {
		if err := r.engine.Insert(nil, ns, d); err != nil {
			return err
		}
	}
	return nil
}
