package query

import (
	"slices"

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
	"$unset":       simple(unset),
	"$inc":         arithmetic(value.Add),
	"$mul":         arithmetic(value.Mul),
	"$min":         simple(func(u *updating, p value.Path, v V) error { return extreme(u, p, v, -1) }),
	"$max":         simple(func(u *updating, p value.Path, v V) error { return extreme(u, p, v, 1) }),
	"$currentDate": currentDate,
	"$rename":      rename,
	"$push":        push,
	"$addToSet":    addToSet,
	"$pop":         pop,
	"$pull":        pull,
	"$pullAll":     pullAll,
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

func arithmetic(op value.Arithmetic) compiler {
	return func(name string, path value.Path, v V) ([]operation, error) {
		if !value.IsNumber(v) {
			return nil, failure.New(failure.TypeMismatch, "Cannot %s with non-numeric argument: {%s: %s}", map[value.Arithmetic]string{value.Add: "increment", value.Mul: "multiply"}[op], path, v)
		}
		return simple(func(u *updating, p value.Path, v V) error { return calculate(u, p, v, op, name) })(name, path, v)
	}
}

func calculate(u *updating, p value.Path, v V, op value.Arithmetic, name string) error {
	old := u.find(p)
	if old == nil {
		if op == value.Mul {
			v, _ = value.Calculate(value.Mul, v, value.Int32(0))
		}
		return u.put(p, value.NewNode(v))
	}
	if !value.IsNumber(old.Value()) {
		return failure.New(failure.TypeMismatch, "Cannot apply %s to a value of non-numeric type. The field '%s' has type %s", name, p, old.Type())
	}
	sum, ok := value.Calculate(op, old.Value(), v)
	if !ok {
		return failure.New(failure.BadValue, "Failed to apply %s operations to current value (%s) of the field '%s': overflow", name, old.Value(), p)
	}
	return u.set(p, sum)
}

func extreme(u *updating, p value.Path, v V, sign int) error {
	if old := u.find(p); old != nil && value.Compare(v, old.Value())*sign <= 0 {
		return nil
	}
	return u.put(p, value.NewNode(v))
}

func currentDate(name string, path value.Path, v V) ([]operation, error) {
	kind := "date"
	if v.Type == bsoncore.TypeEmbeddedDocument {
		kind, _ = value.Field(v.Data, "$type").StringValueOK()
	} else if v.Type != bsoncore.TypeBoolean {
		return nil, failure.New(failure.BadValue, "%s is not a valid type for $currentDate. Please use a boolean ('true') or a $type expression ({$type: 'timestamp/date'}).", v.Type)
	}
	if kind != "date" && kind != "timestamp" {
		return nil, failure.New(failure.BadValue, "The '$type' string field is required to be 'date' or 'timestamp'")
	}
	return []operation{{path, name, func(u *updating, p value.Path) error {
		now := V{Type: bsoncore.TypeDateTime, Data: bsoncore.AppendDateTime(nil, u.at.Now.UnixMilli())}
		if kind == "timestamp" {
			now = V{Type: bsoncore.TypeTimestamp, Data: bsoncore.AppendTimestamp(nil, u.at.T, u.at.I)}
		}
		return u.put(p, value.NewNode(now))
	}}}, nil
}

// rename is two operations, so that both paths take part in finding conflicts.
func rename(name string, path value.Path, v V) ([]operation, error) {
	to, ok := v.StringValueOK()
	if !ok {
		return nil, failure.New(failure.BadValue, "The 'to' field for $rename must be a string: %s: %s", path, v)
	}
	target, err := updatePath(to)
	if err != nil {
		return nil, err
	}
	var moved *value.Node
	take := func(u *updating) error {
		moved = u.find(path)
		return unset(u, path, V{})
	}
	give := func(u *updating) error {
		if moved == nil {
			return nil
		}
		return u.put(target, moved)
	}
	first, second := take, give
	if slices.CompareFunc(path, target, comparePart) > 0 {
		// The target is applied first, so it looks ahead at the source.
		first = func(u *updating) error { moved = u.find(path); return give(u) }
		second = func(u *updating) error { return unset(u, path, V{}) }
		return []operation{
			{target, name, func(u *updating, _ value.Path) error { return first(u) }},
			{path, name, func(u *updating, _ value.Path) error { return second(u) }},
		}, nil
	}
	return []operation{
		{path, name, func(u *updating, _ value.Path) error { return first(u) }},
		{target, name, func(u *updating, _ value.Path) error { return second(u) }},
	}, nil
}
