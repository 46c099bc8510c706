package query

import (
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// add is $add.
func add(a []V) (V, error) {
	sum := value.Int32(0)
	for _, v := range a {
		if nothing(v) {
			return value.Null, nil
		}
		next, err := compute(sum, v, "$add")
		if err != nil {
			return V{}, err
		}
		sum = next
	}
	return sum, nil
}

// compute adds numbers, or milliseconds to a date.
func compute(a, b V, name string) (V, error) {
	da, dateA := a.DateTimeOK()
	db, dateB := b.DateTimeOK()
	date := func(ms int64) V {
		return V{Type: bsoncore.TypeDateTime, Data: bsoncore.AppendDateTime(nil, ms)}
	}
	nb, _ := value.Float(b)
	na, _ := value.Float(a)
	switch {
	case a.Type == bsoncore.TypeDecimal128 || b.Type == bsoncore.TypeDecimal128:
		return V{}, failure.Unsupported("%s of a Decimal128", name)
	case dateA && value.IsNumber(b):
		return date(da + int64(nb)), nil
	case dateB && value.IsNumber(a):
		return date(db + int64(na)), nil
	}
	r, ok := value.Add(a, b)
	if ok {
		return r, nil
	}
	if value.IsNumber(a) && value.IsNumber(b) {
		r, _ = value.Add(value.Double(na), b) // integers beyond 64 bits become a double
		return r, nil
	}
	return V{}, failure.New(failure.TypeMismatch, "%s only supports numeric or date types, not %s", name, b.Type)
}
