package query

import (
	"strings"

	"github.com/google/btree"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// sum is the accumulator of $sum; other accumulators are not implemented.
type sum struct{ total V }

func (s *sum) add(v V) error {
	if !value.IsNumber(v) {
		return nil
	}
	var err error
	s.total, err = compute(s.total, v, "$sum")
	return err
}

type groupField struct {
	name string
	from Expression
}

type bucket struct {
	key    V
	fields []sum
}

func group(v V) (func([]D) ([]D, error), error) {
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
	return func(docs []D) ([]D, error) { return runGroup(id, fields, docs) }, nil
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
	if string(it.Key) != "$sum" {
		return groupField{}, failure.Unsupported("group operator %s", it.Key)
	}
	from, err := CompileExpression(it.Value)
	return groupField{name, from}, err
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
			for range fields {
				b.fields = append(b.fields, sum{value.Int32(0)})
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
			d = bsoncore.AppendValueElement(d, f.name, b.fields[j].total)
		}
		out[i], _ = bsoncore.AppendDocumentEnd(d, at)
	}
	return out
}
