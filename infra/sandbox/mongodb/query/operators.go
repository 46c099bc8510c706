package query

import (
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

type compiler func(name string, path value.Path, v V) ([]operation, error)

// operators are the update operators that work on scalars and fields; those of
// arrays are in arrays.go.
var operators = map[string]compiler{
	"$set": simple(func(u *updating, p value.Path, v V) error { return u.set(p, v) }),
	"$setOnInsert": simple(func(u *updating, p value.Path, v V) error {
		if !u.inserting {
			return nil
		}
		return u.set(p, v)
	}),
	"$unset": simple(unset),
	"$inc":   increment,
	"$push":  push,
	"$pull":  pull,
}

func simple(apply func(u *updating, p value.Path, v V) error) compiler {
	return func(name string, path value.Path, v V) ([]operation, error) {
		return []operation{{path, name, func(u *updating, p value.Path) error { return apply(u, p, v) }}}, nil
	}
}

func unset(u *updating, p value.Path, _ V) error {
	parent := u.root
	if len(p) > 1 {
		parent = u.find(p[:len(p)-1])
	}
	if parent == nil || !parent.IsDocument() && !parent.IsArray() {
		return nil
	}
	if parent.Remove(p[len(p)-1]) {
		u.touch(p)
	}
	return nil
}

func increment(name string, path value.Path, v V) ([]operation, error) {
	if !value.IsNumber(v) {
		return nil, failure.New(failure.TypeMismatch, "Cannot increment with non-numeric argument: {%s: %s}", path, v)
	}
	return simple(func(u *updating, p value.Path, v V) error { return calculate(u, p, v, name) })(name, path, v)
}

func calculate(u *updating, p value.Path, v V, name string) error {
	old := u.find(p)
	if old == nil {
		return u.put(p, value.NewNode(v))
	}
	if !value.IsNumber(old.Value()) {
		return failure.New(failure.TypeMismatch, "Cannot apply %s to a value of non-numeric type. The field '%s' has type %s", name, p, old.Type())
	}
	if old.Type() == bsoncore.TypeDecimal128 || v.Type == bsoncore.TypeDecimal128 {
		return failure.Unsupported("%s of a Decimal128", name)
	}
	sum, ok := value.Add(old.Value(), v)
	if !ok {
		return failure.New(failure.BadValue, "Failed to apply %s operations to current value (%s) of the field '%s': overflow", name, old.Value(), p)
	}
	return u.set(p, sum)
}
