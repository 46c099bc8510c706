package mongodb

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/query"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/store"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// collectionOptions are those of create and collMod, but for what the sandbox
// refuses by name.
var collectionOptions = map[string]bool{
	"viewOn": true, "pipeline": true, "collation": true, "validator": true, "validationLevel": true, "validationAction": true,
	"changeStreamPreAndPostImages": true, "timeseries": true, "clusteredIndex": true, "encryptedFields": true, "capped": true,
	"size": true, "max": true, "index": true,
}

// generic are fields that any command may have.
var generic = map[string]bool{
	"lsid": true, "writeConcern": true, "comment": true, "txnNumber": true, "autocommit": true, "startTransaction": true, "readConcern": true,
	"maxTimeMS": true, "apiVersion": true, "apiStrict": true, "apiDeprecationErrors": true, expectedUUID: true,
}

// options are the command's own fields.
func (r *request) options() (D, error) {
	b := newReply()
	for it := value.Elements(r.body); it.Next(); {
		switch key := string(it.Key); {
		case key == r.name || generic[key] || strings.HasPrefix(key, "$"):
		case !collectionOptions[key]:
			return nil, failure.New(failure.IDLUnknownField, "BSON field '%s.%s' is an unknown field, or not implemented by the sandbox.", r.name, key)
		default:
			b.add(key, it.Value)
		}
	}
	return b.document(), nil
}

func create(r *request, _ *reply) error {
	ns, err := r.namespace()
	if err != nil {
		return err
	}
	if err := refused(r.body, "collation"); err != nil {
		return err
	}
	if err := r.lock(false, ns); err != nil {
		return err
	}
	options, err := r.options()
	if err != nil {
		return err
	}
	return r.engine.Create(r.txn, ns, options)
}

func collMod(r *request, out *reply) error {
	ns, err := r.namespace()
	if err != nil {
		return err
	}
	if err := r.change(ns); err != nil {
		return err
	}
	options, err := r.options()
	if err != nil {
		return err
	}
	if i, ok := value.Field(options, "index").DocumentOK(); ok {
		return r.modifyIndex(ns, i, options, out)
	}
	return r.engine.Modify(ns, options)
}

func (r *request) modifyIndex(ns store.Namespace, index, options D, out *reply) error {
	name, named := value.Field(index, "name").StringValueOK()
	seconds := value.Field(index, "expireAfterSeconds")
	fields, _ := index.Elements()
	if all, _ := options.Elements(); !named || len(all) > 1 || len(fields) != 2 || !value.IsNumber(seconds) {
		return failure.Unsupported("collMod of an index but for expireAfterSeconds alone, by its name")
	}
	before, err := r.engine.ExpireAfter(ns, name, seconds)
	if err == nil && !value.Missing(before) {
		out.add("expireAfterSeconds_old", before)
	}
	if err == nil {
		out.add("expireAfterSeconds_new", seconds)
	}
	return err
}

// change takes the lock that a change of a collection as a whole needs, and looks
// whether it is the expected one. A change of a view waits for nobody: reads hold
// the view only until they know what is below.
func (r *request) change(ns store.Namespace) error {
	i, _ := r.engine.Lookup(ns)
	if err := r.lock(i.ViewOn == "", ns); err != nil {
		return err
	}
	return r.expected(ns, expectedUUID)
}

func drop(r *request, out *reply) error {
	ns, err := r.namespace()
	if err != nil {
		return err
	}
	if err := r.change(ns); err != nil {
		return err
	}
	i, ok := r.engine.Drop(ns)
	if ok {
		out.int32("nIndexesWas", len(i.Indexes))
	}
	out.string("ns", ns.String())
	return nil
}

func dropDatabase(r *request, out *reply) error {
	var names []store.Namespace
	for _, i := range r.engine.Collections(r.db) {
		names = append(names, i.NS)
	}
	if err := r.lock(true, names...); err != nil {
		return err
	}
	out.string("dropped", r.db)
	r.engine.DropDatabase(r.db)
	return nil
}

func splitNamespace(v V) (store.Namespace, error) {
	s, _ := v.StringValueOK()
	db, coll, ok := strings.Cut(s, ".")
	if !ok {
		return store.Namespace{}, failure.New(failure.InvalidNamespace, "Invalid namespace specified '%s'", s)
	}
	return store.Namespace{DB: db, Coll: coll}, nil
}

func renameCollection(r *request, _ *reply) error {
	if err := r.adminOnly(); err != nil {
		return err
	}
	from, err := splitNamespace(r.arg)
	if err != nil {
		return err
	}
	to, err := splitNamespace(r.field("to"))
	if err != nil {
		return err
	}
	if err := r.lock(true, from, to); err != nil {
		return err
	}
	if err := r.expectedToRename(from, to); err != nil {
		return err
	}
	return r.engine.Rename(from, to, value.Truthy(r.field("dropTarget")))
}

// expectedToRename looks at the UUIDs of a rename: dropTarget may be the
// target's.
func (r *request) expectedToRename(from, to store.Namespace) error {
	_, _, byUUID := r.field("dropTarget").BinaryOK()
	if from.DB != to.DB && (byUUID || !value.Missing(r.field(expectedUUID))) {
		return failure.New(failure.InvalidOptions, "Cannot provide an expected collection UUID when renaming between databases")
	}
	if err := r.expected(from, expectedUUID); err != nil || !byUUID {
		return err
	}
	return r.expected(to, "dropTarget")
}

func listCollections(r *request, out *reply) error {
	f, err := query.CompileFilter(r.document("filter"))
	if err != nil {
		return err
	}
	var docs []D
	for _, i := range r.engine.Collections(r.db) {
		if d := shownCollection(i, value.Truthy(r.field("nameOnly"))); f.Matches(shownCollection(i, false)) {
			docs = append(docs, d)
		}
	}
	return r.openCursor(out, store.Namespace{DB: r.db, Coll: "$cmd.listCollections"}, found{docs: docs}, false, r.batchSize(r.document("cursor")))
}

func shownCollection(i store.Info, nameOnly bool) D {
	b := newReply()
	b.string("name", i.NS.Coll)
	b.string("type", map[bool]string{false: "collection", true: "view"}[i.ViewOn != ""])
	if nameOnly {
		return b.document()
	}
	b.add("options", value.Document(i.Options))
	info := newReply()
	info.bool("readOnly", i.ViewOn != "")
	if i.ViewOn == "" {
		info.out = bsoncore.AppendBinaryElement(info.out, "uuid", 4, i.UUID[:])
	}
	b.add("info", value.Document(info.document()))
	if i.ViewOn == "" {
		b.add("idIndex", value.Document(i.Indexes[0]))
	}
	return b.document()
}

func createIndexes(r *request, out *reply) error {
	ns, err := r.namespace()
	if err != nil {
		return err
	}
	list, err := r.list("indexes")
	if err != nil {
		return err
	}
	var specs []store.IndexSpec
	for _, d := range list {
		s, err := store.ParseIndex(d)
		if err != nil {
			return err
		}
		specs = append(specs, s)
	}
	if err := r.change(ns); err != nil {
		return err
	}
	before, after, created, err := r.engine.CreateIndexes(ns, specs)
	if err != nil {
		return err
	}
	out.int32("numIndexesBefore", before)
	out.int32("numIndexesAfter", after)
	out.bool("createdCollectionAutomatically", created)
	if before == after {
		out.string("note", "all indexes already exist")
	}
	return nil
}

func listIndexes(r *request, out *reply) error {
	ns, err := r.namespace()
	if err != nil {
		return err
	}
	i, ok := r.engine.Lookup(ns)
	if !ok {
		return failure.New(failure.NamespaceNotFound, "ns does not exist: %s", ns)
	}
	if i.ViewOn != "" {
		return failure.New(failure.CommandNotSupportedOnView, "Namespace %s is a view, not a collection", ns)
	}
	return r.openCursor(out, ns, found{docs: i.Indexes}, false, r.batchSize(r.document("cursor")))
}

func dropIndexes(r *request, out *reply) error {
	ns, err := r.namespace()
	if err != nil {
		return err
	}
	name, ok := r.field("index").StringValueOK()
	if !ok || name == "_id_" {
		return failure.New(failure.InvalidOptions, "cannot drop _id index, and not implemented by the sandbox other than by one name")
	}
	if err := r.change(ns); err != nil {
		return err
	}
	before, dropped, err := r.engine.DropIndexes(ns, func(index string) bool { return name == "*" || name == index })
	if err != nil {
		return err
	}
	if dropped == 0 && name != "*" {
		return failure.New(failure.IndexNotFound, "index not found with name or key [%s]", name)
	}
	out.int32("nIndexesWas", before)
	return nil
}
