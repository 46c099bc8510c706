package query

import (
	"math"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

func fold(name string, op value.Arithmetic) func([]V) (V, error) {
	return func(a []V) (V, error) {
		sum := value.Int32(0)
		if op == value.Mul {
			sum = value.Int32(1)
		}
		for _, v := range a {
			if nothing(v) {
				return value.Null, nil
			}
			next, err := compute(op, sum, v, name)
			if err != nil {
				return V{}, err
			}
			sum = next
		}
		return sum, nil
	}
}

// compute is arithmetic on numbers and, for +, a date with milliseconds.
func compute(op value.Arithmetic, a, b V, name string) (V, error) {
	da, dateA := a.DateTimeOK()
	db, dateB := b.DateTimeOK()
	date := func(ms int64) V {
		return V{Type: bsoncore.TypeDateTime, Data: bsoncore.AppendDateTime(nil, ms)}
	}
	nb, _ := value.Float(b)
	na, _ := value.Float(a)
	switch {
	case dateA && value.IsNumber(b) && op == value.Add:
		return date(da + int64(nb)), nil
	case dateB && value.IsNumber(a) && op == value.Add:
		return date(db + int64(na)), nil
	}
	r, ok := value.Calculate(op, a, b)
	if ok {
		return r, nil
	}
	if value.IsNumber(a) && value.IsNumber(b) {
		r, _ = value.Calculate(op, value.Double(na), b) // integers beyond 64 bits become a double
		return r, nil
	}
	return V{}, failure.New(failure.TypeMismatch, "%s only supports numeric or date types, not %s", name, b.Type)
}

func remainder(a []V) (V, error) {
	if nothing(a[0]) || nothing(a[1]) {
		return value.Null, nil
	}
	x, okx := value.Integer(a[0])
	y, oky := value.Integer(a[1])
	fx, numx := value.Float(a[0])
	fy, numy := value.Float(a[1])
	switch {
	case !numx || !numy:
		return V{}, failure.New(failure.Code(16611), "$mod only supports numeric types, not %s and %s", a[0].Type, a[1].Type)
	case fy == 0:
		return V{}, failure.New(failure.Code(16610), "can't $mod by zero")
	case okx && oky && a[0].Type == bsoncore.TypeInt32 && a[1].Type == bsoncore.TypeInt32:
		return value.Int32(int32(x % y)), nil
	case okx && oky && a[0].Type != bsoncore.TypeDouble && a[1].Type != bsoncore.TypeDouble:
		return value.Int64(x % y), nil
	}
	return value.Double(math.Mod(fx, fy)), nil
}
