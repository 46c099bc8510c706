package mongodb

import (
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/query"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/store"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// notOptions are fields of any command, which are no options of a collection.
var notOptions = map[string]bool{
	"create": true, "collMod": true, "lsid": true, "writeConcern": true, "comment": true,
	"txnNumber": true, "autocommit": true, "startTransaction": true, "readConcern": true,
	"maxTimeMS": true, "apiVersion": true, "apiStrict": true, "apiDeprecationErrors": true,
}

func (r *request) options() D {
	b := newReply()
	it := value.Elements(r.body)
	for it.Next() {
		if key := string(it.Key); !notOptions[key] && !strings.HasPrefix(key, "$") {
			b.add(key, it.Value)
		}
	}
	return b.document()
}

func create(r *request, _ *reply) error {
	ns, err := r.namespace()
	if err != nil {
		return err
	}
	if err := refused(r.body, "collation"); err != nil {
		return err
	}
	return r.engine.Create(ns, r.options())
}

func collMod(r *request, _ *reply) error {
	ns, err := r.namespace()
	if err != nil {
		return err
	}
	if err := refused(r.body, "index"); err != nil {
		return err
	}
	return r.engine.Modify(ns, r.options())
}

func drop(r *request, out *reply) error {
	ns, err := r.namespace()
	if err != nil {
		return err
	}
	if i, ok := r.engine.Drop(ns); ok {
		out.int32("nIndexesWas", len(i.Indexes))
	}
	out.string("ns", ns.String())
	return nil
}

func dropDatabase(r *request, out *reply) error {
	r.engine.DropDatabase(r.db)
	out.string("dropped", r.db)
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
	if r.db != "admin" {
		return failure.New(failure.Code(13), "renameCollection may only be run against the admin database.")
	}
	from, err := splitNamespace(r.arg)
	if err != nil {
		return err
	}
	to, err := splitNamespace(r.field("to"))
	if err != nil {
		return err
	}
	return r.engine.Rename(from, to, value.Truthy(r.field("dropTarget")))
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

func listDatabases(r *request, out *reply) error {
	f, err := query.CompileFilter(r.document("filter"))
	if err != nil {
		return err
	}
	var list []V
	total := int64(0)
	for _, name := range r.engine.Databases() {
		size := int64(0)
		for _, i := range r.engine.Collections(name) {
			size += i.Bytes
		}
		b := newReply()
		b.string("name", name)
		if !value.Truthy(r.field("nameOnly")) {
			b.out = bsoncore.AppendInt64Element(b.out, "sizeOnDisk", size)
			b.bool("empty", false)
		}
		if d := b.document(); f.Matches(d) {
			list = append(list, value.Document(d))
			total += size
		}
	}
	out.add("databases", value.Array(list...))
	if !value.Truthy(r.field("nameOnly")) {
		out.out = bsoncore.AppendInt64Element(out.out, "totalSize", total)
	}
	return nil
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
	wanted, err := indexMatcher(r.field("index"))
	if err != nil {
		return err
	}
	before, dropped, err := r.engine.DropIndexes(ns, wanted)
	if err != nil {
		return err
	}
	if name, ok := r.field("index").StringValueOK(); dropped == 0 && !(ok && name == "*") {
		return failure.New(failure.IndexNotFound, "index not found with name or key [%s]", r.field("index"))
	}
	out.int32("nIndexesWas", before)
	return nil
}

func indexMatcher(v V) (func(name string, key D) bool, error) {
	names := []V{v}
	switch v.Type {
	case bsoncore.TypeEmbeddedDocument:
		return func(_ string, key D) bool { return value.CompareDocuments(v.Data, key) == 0 }, nil
	case bsoncore.TypeArray:
		names, _ = v.Array().Values()
	}
	wanted := map[string]bool{}
	for _, n := range names {
		s, ok := n.StringValueOK()
		if !ok {
			return nil, failure.New(failure.TypeMismatch, "dropIndexes: index must be a string, an array of strings or an object")
		}
		if s == "_id_" {
			return nil, failure.New(failure.InvalidOptions, "cannot drop _id index")
		}
		wanted[s] = true
	}
	return func(name string, _ D) bool { return wanted["*"] || wanted[name] }, nil
}
