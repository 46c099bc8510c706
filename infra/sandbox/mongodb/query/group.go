package query

import (
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// group is as much of $group as drivers count documents with: one group of all,
// and sums of a constant.
func group(v V) (func([]D) ([]D, error), error) {
	d, err := document(v, "$group")
	if err != nil {
		return nil, err
	}
	if value.Missing(value.Field(d, "_id")) {
		return nil, failure.New(failure.Code(15955), "a group specification must include an _id")
	}
	type sum struct {
		name string
		of   int64
	}
	var sums []sum
	for it := value.Elements(d); it.Next(); {
		if string(it.Key) == "_id" {
			if !value.IsNumber(it.Value) && it.Value.Type != bsoncore.TypeNull {
				return nil, failure.Unsupported("$group by %s", it.Value)
			}
			continue
		}
		n, ok := value.Integer(value.Field(it.Value.Data, "$sum"))
		if !ok {
			return nil, failure.Unsupported("group operator %s", it.Value)
		}
		sums = append(sums, sum{string(it.Key), n})
	}
	return func(docs []D) ([]D, error) {
		if len(docs) == 0 {
			return nil, nil
		}
		at, out := bsoncore.AppendDocumentStart(nil)
		out = bsoncore.AppendValueElement(out, "_id", value.Field(d, "_id"))
		for _, s := range sums {
			out = bsoncore.AppendInt32Element(out, s.name, int32(s.of*int64(len(docs))))
		}
		out, _ = bsoncore.AppendDocumentEnd(out, at)
		return []D{out}, nil
	}, nil
}
