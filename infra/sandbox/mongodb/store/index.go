package store

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"

	"github.com/google/btree"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/query"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// IndexSpec is a declared index.
type IndexSpec struct {
	Name    string
	Key     D
	Unique  bool
	Sparse  bool
	Raw     D // as listIndexes shows it
	parts   []part
	partial *query.Filter
}

type part struct {
	path value.Path
	desc bool
}

func idIndex() IndexSpec {
	key := newDocument()
	key.add("_id", value.Int32(1))
	spec := newDocument()
	spec.add("v", value.Int32(2))
	spec.add("key", value.Document(key.end()))
	spec.add("name", value.String("_id_"))
	x, _ := ParseIndex(spec.end())
	x.Unique = true
	return x
}

// ParseIndex reads one element of createIndexes. TTL (expireAfterSeconds) is
// accepted and shown, but nothing expires.
func ParseIndex(d D) (IndexSpec, error) {
	key, ok := value.Field(d, "key").DocumentOK()
	if !ok || len(key) <= 5 {
		return IndexSpec{}, failure.New(failure.CannotCreateIndex, "Index keys must be a non-empty document")
	}
	x := IndexSpec{Key: key}
	x.Name, _ = value.Field(d, "name").StringValueOK()
	x.Unique = value.Truthy(value.Field(d, "unique"))
	x.Sparse = value.Truthy(value.Field(d, "sparse"))
	if x.Name == "" {
		return x, failure.New(failure.FailedToParse, "The 'name' field is a required property of an index specification")
	}
	if v := value.Field(d, "partialFilterExpression"); v.Type == bsoncore.TypeEmbeddedDocument {
		f, err := query.CompileFilter(v.Data)
		if err != nil {
			return x, err
		}
		x.partial = f
	}
	if !value.Missing(value.Field(d, "collation")) {
		return x, failure.Unsupported("collation of an index")
	}
	it := value.Elements(key)
	for it.Next() {
		p, err := parsePart(string(it.Key), it.Value)
		if err != nil {
			return x, err
		}
		x.parts = append(x.parts, p)
	}
	x.Raw = shownIndex(d)
	return x, nil
}

func parsePart(key string, v V) (part, error) {
	if s, ok := v.StringValueOK(); ok {
		return part{}, failure.Unsupported("index of kind %q", s)
	}
	f, ok := value.Float(v)
	if !ok || f == 0 {
		return part{}, failure.New(failure.CannotCreateIndex, "Values in v:2 index key pattern must be numbers other than 0. Field %s", key)
	}
	if key == "" || strings.HasPrefix(key, "$") || strings.Contains(key, "$**") {
		return part{}, failure.New(failure.CannotCreateIndex, "Index key contains an illegal field name: '%s'", key)
	}
	return part{value.ParsePath(key), f < 0}, nil
}

func shownIndex(d D) D {
	b := newDocument()
	b.add("v", value.Int32(2))
	it := value.Elements(d)
	for it.Next() {
		if string(it.Key) != "v" && string(it.Key) != "ns" && string(it.Key) != "background" {
			b.add(string(it.Key), it.Value)
		}
	}
	return b.end()
}

// entry is a place in an index: a full key with its record, or (edge not 0) the
// place before (-1) or after (+1) everything that begins with the keys.
type entry struct {
	keys []V
	rec  *record
	edge int
}

type index struct {
	IndexSpec
	tree     *btree.BTreeG[entry]
	multikey bool
}

func newIndex(spec IndexSpec) *index {
	x := &index{IndexSpec: spec}
	x.tree = btree.NewG(32, func(a, b entry) bool { return spec.compare(a, b) < 0 })
	return x
}

func (x *index) clone() *index {
	n := *x
	n.tree = x.tree.Clone()
	return &n
}

func (s *IndexSpec) compare(a, b entry) int {
	for i := range min(len(a.keys), len(b.keys)) {
		c := value.Compare(a.keys[i], b.keys[i])
		if s.parts[i].desc {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	if a.edge != b.edge {
		return cmp.Compare(a.edge, b.edge)
	}
	if a.rec == nil || b.rec == nil {
		return 0
	}
	return cmp.Compare(a.rec.id, b.rec.id)
}

// keys calls fn with each key that a document has in the index.
func (x *index) keys(d D, fn func([]V)) {
	if x.partial != nil && !x.partial.Matches(d) {
		return
	}
	lists := make([][]V, len(x.parts))
	exists := false
	for i, p := range x.parts {
		if value.Keys(d, p.path, func(v V) { lists[i] = append(lists[i], v) }) {
			x.multikey = true
		}
		exists = exists || !x.Sparse || value.Walk(d, p.path, func(v V, _ bool) bool { return !value.Missing(v) })
	}
	if exists {
		combine(lists, nil, fn)
	}
}

// maxKeys is how many keys one document may have in one index.
const maxKeys = 100_000

// check refuses documents with arrays in two fields of the index, as MongoDB
// does, because the keys would be all their pairs.
func (x *index) check(d D) error {
	root, keys := "", 1
	for _, p := range x.parts {
		n := 0
		value.Keys(d, p.path, func(V) { n++ })
		if n > 1 && root != "" && root != p.path[0] {
			return failure.New(failure.Code(171), "cannot index parallel arrays [%s] [%s]", p.path[0], root)
		}
		if n > 1 {
			root = p.path[0]
		}
		if keys *= n; keys > maxKeys {
			return failure.New(failure.Code(171), "the document has too many keys for index %s of the sandbox", x.Name)
		}
	}
	return nil
}

func combine(lists [][]V, prefix []V, fn func([]V)) {
	if len(prefix) == len(lists) {
		fn(prefix)
		return
	}
	for _, v := range lists[len(prefix)] {
		combine(lists, append(prefix[:len(prefix):len(prefix)], v), fn)
	}
}

func (x *index) add(r *record) {
	x.keys(r.doc, func(keys []V) { x.tree.ReplaceOrInsert(entry{keys: keys, rec: r}) })
}

func (x *index) drop(r *record) {
	x.keys(r.doc, func(keys []V) { x.tree.Delete(entry{keys: keys, rec: r}) })
}

// span visits the entries that begin with the keys.
func (x *index) span(keys []V, fn func(entry) bool) {
	x.tree.AscendRange(entry{keys: keys, edge: -1}, entry{keys: keys, edge: 1}, fn)
}

// build fills a new index.
func (c *contents) build(spec IndexSpec, ns string) error {
	x := newIndex(spec)
	var err error
	c.records.Ascend(func(r *record) bool {
		if err = x.check(r.doc); err != nil {
			return false
		}
		if spec.Unique {
			x.keys(r.doc, func(keys []V) {
				x.span(keys, func(e entry) bool {
					if e.rec.id != r.id {
						err = duplicate(x, keys, ns)
					}
					return false
				})
			})
		}
		x.add(r)
		return err == nil
	})
	if err == nil {
		c.indexes = append(c.indexes, x)
	}
	return err
}

// createIndex adds an index unless it is there; it says whether it was added.
func (c *contents) createIndex(spec IndexSpec, ns string) (bool, error) {
	for _, x := range c.indexes {
		sameKey := bytes.Equal(normalKey(x.Key), normalKey(spec.Key))
		switch {
		case x.Name == spec.Name && !sameKey:
			return false, failure.New(failure.IndexKeySpecsConflict, "An existing index has the same name as the requested index but another key: %s", spec.Name)
		case sameKey && x.Name == "_id_":
			return false, nil
		case sameKey && (x.Unique != spec.Unique || x.Sparse != spec.Sparse):
			code := failure.IndexOptionsConflict
			if x.Name == spec.Name {
				code = failure.IndexKeySpecsConflict
			}
			return false, failure.New(code, "An equivalent index already exists with other options: %s", x.Name)
		case sameKey && x.Name != spec.Name:
			return false, failure.New(failure.IndexOptionsConflict, "Index already exists with a different name: %s", x.Name)
		case sameKey:
			return false, nil
		}
	}
	return true, c.build(spec, ns)
}

// normalKey makes key patterns comparable whatever type their numbers have.
func normalKey(d D) []byte {
	var out []byte
	it := value.Elements(d)
	for it.Next() {
		f, _ := value.Float(it.Value)
		out = fmt.Appendf(out, "%s\x00%v\x00", it.Key, f)
	}
	return out
}
