package query

import (
	"strings"

	"github.com/google/btree"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// accumulator gathers the values of one field of a group.
type accumulator interface {
	add(v V) error
	result() V
}

var accumulators = map[string]func() accumulator{
	"$sum":      func() accumulator { return &sum{total: value.Int32(0)} },
	"$avg":      func() accumulator { return &average{sum{total: value.Int32(0)}, 0} },
	"$min":      func() accumulator { return &best{sign: -1, at: value.Null} },
	"$max":      func() accumulator { return &best{sign: 1, at: value.Null} },
	"$first":    func() accumulator { return &edge{first: true} },
	"$last":     func() accumulator { return &edge{} },
	"$push":     func() accumulator { return &list{} },
	"$addToSet": func() accumulator { return &list{set: true} },
	"$count":    func() accumulator { return &sum{total: value.Int32(0), counts: true} },
}

type sum struct {
	total  V
	counts bool
}

func (s *sum) add(v V) error {
	if s.counts {
		v = value.Int32(1)
	}
	if !value.IsNumber(v) {
		return nil
	}
	var err error
	s.total, err = compute(value.Add, s.total, v, "$sum")
	return err
}

func (s *sum) result() V { return s.total }

type average struct {
	sum
	n int
}

func (a *average) add(v V) error {
	if value.IsNumber(v) {
		a.n++
	}
	return a.sum.add(v)
}

func (a *average) result() V {
	if a.n == 0 {
		return value.Null
	}
	f, _ := value.Float(a.total)
	return value.Double(f / float64(a.n))
}

type best struct {
	sign int
	at   V
}

func (b *best) add(v V) error {
	if !nothing(v) && (b.at.Type == bsoncore.TypeNull || value.Compare(v, b.at)*b.sign > 0) {
		b.at = v
	}
	return nil
}

func (b *best) result() V { return b.at }

type edge struct {
	first, seen bool
	at          V
}

func (e *edge) add(v V) error {
	if !e.first || !e.seen {
		e.at, e.seen = v, true
	}
	return nil
}

func (e *edge) result() V {
	if value.Missing(e.at) {
		return value.Null
	}
	return e.at
}

type list struct {
	set    bool
	values []V
	known  *btree.BTreeG[V]
}

func (l *list) add(v V) error {
	if value.Missing(v) {
		return nil
	}
	if l.set {
		if l.known == nil {
			l.known = btree.NewG(16, func(a, b V) bool { return value.Compare(a, b) < 0 })
		}
		if _, there := l.known.ReplaceOrInsert(v); there {
			return nil
		}
	}
	l.values = append(l.values, v)
	return nil
}

func (l *list) result() V { return value.Array(l.values...) }

type groupField struct {
	name string
	make func() accumulator
	from Expression
}

type bucket struct {
	key    V
	fields []accumulator
}

func group(v V) (func([]D, Source) ([]D, error), error) {
	d, err := document(v, "$group")
	if err != nil {
		return nil, err
	}
	var id Expression
	var fields []groupField
	it := value.Elements(d)
	for it.Next() {
		if string(it.Key) == "_id" {
			if id, err = CompileExpression(it.Value); err != nil {
				return nil, err
			}
			continue
		}
		f, err := compileGroupField(string(it.Key), it.Value)
		if err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	if id == nil {
		return nil, failure.New(failure.Code(15955), "a group specification must include an _id")
	}
	return func(docs []D, _ Source) ([]D, error) { return runGroup(id, fields, docs) }, nil
}

func compileGroupField(name string, v V) (groupField, error) {
	if strings.Contains(name, ".") {
		return groupField{}, failure.New(failure.Code(40235), "The field name '%s' cannot contain '.'", name)
	}
	if !isOperators(v) {
		return groupField{}, failure.New(failure.Code(40234), "The field '%s' must be an accumulator object", name)
	}
	it := value.Elements(v.Data)
	it.Next()
	make, known := accumulators[string(it.Key)]
	if !known {
		return groupField{}, failure.New(failure.Code(15952), "unknown group operator '%s' (the sandbox knows a part of MongoDB's)", it.Key)
	}
	argument := it.Value
	if string(it.Key) == "$count" {
		argument = value.Int32(1)
	}
	from, err := CompileExpression(argument)
	return groupField{name, make, from}, err
}

func runGroup(id Expression, fields []groupField, docs []D) ([]D, error) {
	index := btree.NewG(16, func(a, b *bucket) bool { return value.Compare(a.key, b.key) < 0 })
	var order []*bucket
	for _, d := range docs {
		key, err := id(d)
		if err != nil {
			return nil, err
		}
		if value.Missing(key) {
			key = value.Null
		}
		b, there := index.Get(&bucket{key: key})
		if !there {
			b = &bucket{key: key}
			for _, f := range fields {
				b.fields = append(b.fields, f.make())
			}
			index.ReplaceOrInsert(b)
			order = append(order, b)
		}
		for i, f := range fields {
			v, err := f.from(d)
			if err == nil {
				err = b.fields[i].add(v)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return emit(order, fields), nil
}

func emit(buckets []*bucket, fields []groupField) []D {
	out := make([]D, len(buckets))
	for i, b := range buckets {
		at, d := bsoncore.AppendDocumentStart(nil)
		d = bsoncore.AppendValueElement(d, "_id", b.key)
		for j, f := range fields {
			d = bsoncore.AppendValueElement(d, f.name, b.fields[j].result())
		}
		out[i], _ = bsoncore.AppendDocumentEnd(d, at)
	}
	return out
}

func unwind(v V) (func([]D, Source) ([]D, error), error) {
	path, keepEmpty, indexName := v, false, ""
	if v.Type == bsoncore.TypeEmbeddedDocument {
		path = value.Field(v.Data, "path")
		keepEmpty = value.Truthy(value.Field(v.Data, "preserveNullAndEmptyArrays"))
		indexName, _ = value.Field(v.Data, "includeArrayIndex").StringValueOK()
	}
	s, ok := path.StringValueOK()
	if !ok || len(s) < 2 || s[0] != '$' {
		return nil, failure.New(failure.Code(28818), "path option to $unwind stage should be prefixed with a '$'")
	}
	at := value.ParsePath(s[1:])
	return func(docs []D, _ Source) ([]D, error) {
		var out []D
		for _, d := range docs {
			out = append(out, unwound(d, at, keepEmpty, indexName)...)
		}
		return out, nil
	}, nil
}

func unwound(d D, at value.Path, keepEmpty bool, indexName string) []D {
	v := value.Lookup(d, at)
	build := func(item V, i V) D {
		root := value.NewNode(value.Document(d))
		addField(root, at, item)
		if indexName != "" {
			addField(root, value.ParsePath(indexName), i)
		}
		return root.Value().Data
	}
	switch {
	case v.Type == bsoncore.TypeArray && len(items(v)) > 0:
		var out []D
		for i, item := range items(v) {
			out = append(out, build(item, value.Int64(int64(i))))
		}
		return out
	case v.Type == bsoncore.TypeArray && keepEmpty:
		return []D{build(V{}, value.Null)}
	case v.Type != bsoncore.TypeArray && (keepEmpty || !nothing(v)):
		return []D{build(v, value.Null)}
	}
	return nil
}

func lookup(v V) (func([]D, Source) ([]D, error), error) {
	d, err := document(v, "$lookup")
	if err != nil {
		return nil, err
	}
	part := func(name string) string { s, _ := value.Field(d, name).StringValueOK(); return s }
	from, local, foreign, as := part("from"), part("localField"), part("foreignField"), part("as")
	if !value.Missing(value.Field(d, "pipeline")) || !value.Missing(value.Field(d, "let")) {
		return nil, failure.Unsupported("$lookup with let or pipeline")
	}
	if from == "" || local == "" || foreign == "" || as == "" {
		return nil, failure.New(failure.FailedToParse, "$lookup requires both or neither of 'localField' and 'foreignField' to be specified, and 'from' and 'as'")
	}
	return func(docs []D, source Source) ([]D, error) {
		if source == nil {
			return nil, failure.Unsupported("$lookup in this place")
		}
		others, err := source(from)
		if err != nil {
			return nil, err
		}
		return join(docs, value.ParsePath(local), value.ParsePath(as), newForeign(others, value.ParsePath(foreign))), nil
	}, nil
}

type foreignKey struct {
	key V
	at  int
}

// newForeign indexes the other side of a $lookup.
func newForeign(docs []D, path value.Path) func(V) []D {
	tree := btree.NewG(16, func(a, b foreignKey) bool {
		c := value.Compare(a.key, b.key)
		return c < 0 || c == 0 && a.at < b.at
	})
	for i, d := range docs {
		value.Keys(d, path, func(v V) { tree.ReplaceOrInsert(foreignKey{v, i}) })
	}
	return func(v V) []D {
		var found []D
		tree.AscendGreaterOrEqual(foreignKey{v, -1}, func(k foreignKey) bool {
			if !value.Equal(k.key, v) {
				return false
			}
			found = append(found, docs[k.at])
			return true
		})
		return found
	}
}

func join(docs []D, local, as value.Path, foreign func(V) []D) []D {
	out := make([]D, len(docs))
	for i, d := range docs {
		var matches []V
		seen := map[*byte]bool{}
		value.Keys(d, local, func(v V) {
			for _, m := range foreign(v) {
				if !seen[&m[0]] {
					seen[&m[0]] = true
					matches = append(matches, value.Document(m))
				}
			}
		})
		root := value.NewNode(value.Document(d))
		addField(root, as, value.Array(matches...))
		out[i] = root.Value().Data
	}
	return out
}
