package store

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/query"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// CheckName refuses names that MongoDB refuses.
func CheckName(ns Namespace) error {
	if ns.DB == "" || len(ns.DB) > 63 || strings.ContainsAny(ns.DB, "/\\. \"$\x00") {
		return failure.New(failure.InvalidNamespace, "Invalid database name: '%s'", ns.DB)
	}
	if ns.Coll == "" || strings.ContainsAny(ns.Coll, "$\x00") || strings.HasPrefix(ns.Coll, ".") || len(ns.String()) > 255 {
		return failure.New(failure.InvalidNamespace, "Invalid collection name: '%s'", ns.Coll)
	}
	return nil
}

// Info is what there is to know about a collection or view.
type Info struct {
	NS       Namespace
	UUID     [16]byte
	Options  D
	ViewOn   string
	Pipeline V
	Count    int
	Indexes  []D
	PrePost  bool
}

func (c *Collection) info() Info {
	i := Info{NS: c.NS, UUID: c.UUID, Options: c.Options, ViewOn: c.ViewOn, Pipeline: c.Pipeline, PrePost: c.prePost}
	if c.data != nil {
		i.Count = c.data.records.Len()
		for _, x := range c.data.indexes {
			i.Indexes = append(i.Indexes, x.Raw)
		}
	}
	return i
}

// Lookup finds a collection or view.
func (e *Engine) Lookup(ns Namespace) (Info, bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	c, ok := e.collection(ns)
	if !ok {
		return Info{}, false
	}
	return c.info(), true
}

// Expect fails unless the collection of a name has the UUID. A view has none.
func (e *Engine) Expect(ns Namespace, id [16]byte) error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	holder := e.byID[id]
	if holder != nil && holder.ViewOn != "" {
		holder = nil
	}
	if holder != nil && holder.NS == ns {
		return nil
	}
	actual := value.Null
	if holder != nil && holder.NS.DB == ns.DB {
		actual = value.String(holder.NS.Coll)
	}
	f := failure.New(failure.CollectionUUIDMismatch, "Collection UUID does not match that specified")
	f.Extra = elements("db", value.String(ns.DB), "collectionUUID",
		V{Type: bsoncore.TypeBinary, Data: bsoncore.AppendBinary(nil, bson.TypeBinaryUUID, id[:])})
	f.Extra = append(f.Extra, elements("expectedCollection", value.String(ns.Coll), "actualCollection", actual)...)
	return f
}

// Named is the present name of a collection; ok is false if it is gone.
func (e *Engine) Named(id [16]byte) (ns Namespace, ok bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	c, ok := e.byID[id]
	if ok {
		ns = c.NS
	}
	return ns, ok
}

// Collections lists a database, by name.
func (e *Engine) Collections(db string) []Info {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var list []Info
	for _, name := range slices.Sorted(maps.Keys(e.dbs[db])) {
		list = append(list, e.dbs[db][name].info())
	}
	return list
}

// Create makes a collection or a view from the options of the create command; in
// a transaction, if there is one, where it can be no view.
func (e *Engine) Create(txn *Txn, ns Namespace, options D) error {
	if err := CheckName(ns); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if c, ok := e.collection(ns); ok {
		if slices.Equal(c.Options, options) {
			return nil // creating the same again is allowed
		}
		return failure.New(failure.NamespaceExists, "namespace %s already exists, but with different options", ns)
	}
	if on, ok := value.Field(options, "viewOn").StringValueOK(); ok && txn != nil {
		return failure.New(failure.OperationNotSupportedInTxn, "Cannot create a view in a multi-document transaction.")
	} else if ok {
		return e.createView(ns, on, options)
	}
	settings := &Collection{}
	if err := settings.configure(options); err != nil {
		return err
	}
	if txn != nil {
		settings.NS, settings.Options = ns, options
		txn.create(settings)
		return nil
	}
	c := e.create(ns, options)
	c.prePost, c.validator, c.moderate = settings.prePost, settings.validator, settings.moderate
	return nil
}

// maxViewDepth is how many views may stand on each other.
const maxViewDepth = 20

func (e *Engine) createView(ns Namespace, on string, options D) error {
	pipeline := value.Field(options, "pipeline")
	if value.Missing(pipeline) {
		pipeline = value.Array()
	}
	if _, err := query.CompilePipeline(pipeline); err != nil {
		return err
	}
	for depth, name := 0, on; name != ""; depth++ {
		if name == ns.Coll || depth == maxViewDepth {
			return failure.New(failure.ViewDepthLimitExceeded, "View %s would stand on itself or on too many others", ns)
		}
		below, ok := e.collection(Namespace{ns.DB, name})
		if !ok {
			break
		}
		name = below.ViewOn
	}
	c := &Collection{NS: ns, UUID: newUUID(), Options: options, ViewOn: on, Pipeline: pipeline}
	e.install(c)
	e.tick() // a view is no collection: change streams do not tell of it
	return nil
}

// configure reads the options that change how a collection behaves.
func (c *Collection) configure(options D) error {
	if v := value.Field(options, "changeStreamPreAndPostImages"); v.Type == bsoncore.TypeEmbeddedDocument {
		c.prePost = value.Truthy(value.Field(v.Data, "enabled"))
	}
	for _, name := range []string{"timeseries", "clusteredIndex", "encryptedFields", "capped"} {
		if v := value.Field(options, name); !value.Missing(v) && value.Truthy(v) {
			return failure.Unsupported("collection option %s", name)
		}
	}
	return c.validate(options)
}

func (c *Collection) validate(options D) error {
	level, _ := value.Field(options, "validationLevel").StringValueOK()
	action, _ := value.Field(options, "validationAction").StringValueOK()
	d, _ := value.Field(options, "validator").DocumentOK()
	f, err := query.CompileFilter(d)
	if err != nil {
		return err
	}
	c.validator, c.moderate = f, level == "moderate"
	if f.Everything() || level == "off" || action == "warn" {
		c.validator = nil
	}
	return nil
}

// Modify is collMod: the given options replace those of the same name.
func (e *Engine) Modify(ns Namespace, options D) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, ok := e.collection(ns)
	if !ok {
		return missing(ns)
	}
	root := value.NewNode(value.Document(c.Options))
	it := value.Elements(options)
	for it.Next() {
		key := string(it.Key)
		if view := key == "viewOn" || key == "pipeline"; view != (c.ViewOn != "") {
			return failure.New(failure.InvalidOptions, "option not supported on a %s: %s", map[bool]string{true: "collection", false: "view"}[view], key)
		}
		root.Put(key, value.NewNode(it.Value))
	}
	if c.ViewOn != "" {
		delete(e.dbs[ns.DB], ns.Coll)
		merged := root.Value().Data
		on, _ := value.Field(merged, "viewOn").StringValueOK()
		if err := e.createView(ns, on, merged); err != nil {
			e.dbs[ns.DB][ns.Coll] = c
			return err
		}
		return nil
	}
	merged := root.Value().Data
	if err := c.configure(merged); err != nil {
		return err
	}
	c.Options = merged
	e.record(&Entry{Kind: Modified, NS: ns, UUID: c.UUID})
	return nil
}

// ExpireAfter is collMod of an index: the documents would be removed so many
// seconds after the time in the index's field. It gives the time before; missing
// if the index was none of that kind.
func (e *Engine) ExpireAfter(ns Namespace, name string, seconds V) (before V, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := e.writable(ns, nil, false)
	if err != nil || c == nil {
		return V{}, cmp.Or(err, missing(ns))
	}
	for i, x := range c.data.indexes[1:] {
		if x.Name != name {
			continue
		}
		raw := value.NewNode(value.Document(x.Raw))
		raw.Put("expireAfterSeconds", value.NewNode(seconds))
		changed := *x
		changed.Raw = raw.Value().Data
		c.data.indexes = slices.Clone(c.data.indexes)
		c.data.indexes[i+1] = &changed
		e.record(&Entry{Kind: Modified, NS: ns, UUID: c.UUID})
		return value.Field(x.Raw, "expireAfterSeconds"), nil
	}
	return V{}, failure.New(failure.IndexNotFound, "cannot find index for ns %s", ns)
}

func missing(ns Namespace) error {
	return failure.New(failure.NamespaceNotFound, "ns does not exist: %s", ns)
}

// Drop removes a collection or view; info is what it was.
func (e *Engine) Drop(ns Namespace) (i Info, existed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, ok := e.collection(ns)
	if !ok {
		return Info{}, false
	}
	i = c.info()
	e.discard(c)
	return i, true
}

func (e *Engine) discard(c *Collection) {
	e.uninstall(c)
	if c.ViewOn != "" {
		e.tick()
		return
	}
	e.record(&Entry{Kind: Dropped, NS: c.NS, UUID: c.UUID})
}

func (e *Engine) uninstall(c *Collection) {
	delete(e.dbs[c.NS.DB], c.NS.Coll)
	delete(e.byID, c.UUID)
	if len(e.dbs[c.NS.DB]) == 0 {
		delete(e.dbs, c.NS.DB)
	}
}

// DropDatabase removes a database with all it has.
func (e *Engine) DropDatabase(db string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.dbs[db]; !ok {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(e.dbs[db])) {
		e.discard(e.dbs[db][name])
	}
	e.record(&Entry{Kind: DatabaseDropped, NS: Namespace{DB: db}})
}

// Rename gives a collection another name at one instant between writes: each
// write finds either the old name or the new one.
func (e *Engine) Rename(from, to Namespace, dropTarget bool) error {
	if err := CheckName(to); err != nil {
		return err
	}
	if from.DB != to.DB {
		return failure.Unsupported("renaming from one database to another, which makes a new collection")
	}
	if from == to {
		return failure.New(failure.Code(20), "Can't rename a collection to itself")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	c, ok := e.collection(from)
	if !ok {
		return failure.New(failure.NamespaceNotFound, "Source collection %s does not exist", from)
	}
	if c.ViewOn != "" {
		return failure.New(failure.CommandNotSupportedOnView, "cannot rename view: %s", from)
	}
	entry := &Entry{Kind: Renamed, NS: from, To: to, UUID: c.UUID}
	if target, ok := e.collection(to); ok {
		if !dropTarget || target.ViewOn != "" {
			return failure.New(failure.NamespaceExists, "target namespace exists: %s", to)
		}
		e.uninstall(target)
		entry.targetUUID, entry.droppedTo = target.UUID, true
	}
	e.uninstall(c)
	c.NS = to
	e.install(c)
	e.record(entry)
	c.since = e.clock
	return nil
}

// DroppedTarget is what a rename dropped, if it did.
func (e *Entry) DroppedTarget() ([16]byte, bool) { return e.targetUUID, e.droppedTo }

// CreateIndexes adds indexes, all or none, and makes the collection if needed.
func (e *Engine) CreateIndexes(ns Namespace, specs []IndexSpec) (before, after int, created bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, existed := e.collection(ns)
	c, err := e.writable(ns, nil, true)
	if err != nil {
		return 0, 0, false, err
	}
	old := c.data.indexes
	added := false
	for _, s := range specs {
		more, err := c.data.createIndex(s, ns.String())
		if err != nil {
			c.data.indexes = old
			return 0, 0, false, err
		}
		added = added || more
	}
	c.snapshots = nil
	if added {
		e.record(&Entry{Kind: IndexesCreated, NS: ns, UUID: c.UUID})
	}
	return len(old), len(c.data.indexes), !existed, nil
}

// DropIndexes removes indexes by the test, never that of _id. It says how many
// there were and how many went.
func (e *Engine) DropIndexes(ns Namespace, unwanted func(name string) bool) (before, dropped int, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := e.writable(ns, nil, false)
	if err != nil {
		return 0, 0, err
	}
	if c == nil {
		return 0, 0, failure.New(failure.NamespaceNotFound, "ns not found %s", ns)
	}
	before = len(c.data.indexes)
	kept := []*index{c.data.indexes[0]}
	for _, x := range c.data.indexes[1:] {
		if !unwanted(x.Name) {
			kept = append(kept, x)
		}
	}
	c.data.indexes = kept
	if len(kept) != before {
		c.snapshots = nil
		e.record(&Entry{Kind: IndexesDropped, NS: ns, UUID: c.UUID})
	}
	return before, before - len(kept), nil
}
