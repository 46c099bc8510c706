package query

import (
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// Expression is a compiled aggregation expression. Evaluating gives a missing
// value for a field that is not there.
type Expression func(d D) (V, error)

// CompileExpression reads an expression: a field path, a literal or an operator.
func CompileExpression(v V) (Expression, error) {
	switch v.Type {
	case bsoncore.TypeString:
		if s := v.StringValue(); strings.HasPrefix(s, "$") {
			return compilePath(s)
		}
	case bsoncore.TypeEmbeddedDocument:
		if isOperators(v) {
			return compileCall(v.Data)
		}
		return nil, failure.Unsupported("an object as an expression")
	case bsoncore.TypeArray:
		return nil, failure.Unsupported("an array as an expression")
	}
	return literal(v), nil
}

func literal(v V) Expression { return func(D) (V, error) { return v, nil } }

func compilePath(s string) (Expression, error) {
	if !strings.HasPrefix(s, "$$") {
		return fieldPath(s[1:])
	}
	name, rest, _ := strings.Cut(s[2:], ".")
	switch name {
	case "ROOT", "CURRENT":
		if rest != "" {
			return fieldPath(rest)
		}
		return func(d D) (V, error) { return value.Document(d), nil }, nil
	case "REMOVE":
		return literal(V{}), nil
	case "NOW":
		now := bsoncore.AppendDateTime(nil, time.Now().UnixMilli())
		return literal(V{Type: bsoncore.TypeDateTime, Data: now}), nil
	}
	return nil, failure.Unsupported("variable $$%s", name)
}

func fieldPath(s string) (Expression, error) {
	path := value.ParsePath(s)
	if slices.Contains(path, "") {
		return nil, failure.New(failure.Code(40353), "FieldPath must not end with a '.' or contain an empty field name: '%s'", s)
	}
	return func(d D) (V, error) { return reach(value.Document(d), path), nil }, nil
}

// reach follows a path as expressions do: over an array it gives the array of
// what the elements have.
func reach(v V, path value.Path) V {
	for i, key := range path {
		switch v.Type {
		case bsoncore.TypeEmbeddedDocument:
			v = value.Field(v.Data, key)
		case bsoncore.TypeArray:
			var list []V
			for _, item := range items(v) {
				if found := reach(item, path[i:]); !value.Missing(found) {
					list = append(list, found)
				}
			}
			return value.Array(list...)
		default:
			return V{}
		}
	}
	return v
}

func compileEach(list []V) ([]Expression, error) {
	parts := make([]Expression, len(list))
	for i, item := range list {
		e, err := CompileExpression(item)
		if err != nil {
			return nil, err
		}
		parts[i] = e
	}
	return parts, nil
}

func evaluate(parts []Expression, d D) ([]V, error) {
	list := make([]V, len(parts))
	for i, e := range parts {
		v, err := e(d)
		if err != nil {
			return nil, err
		}
		list[i] = v
	}
	return list, nil
}

// call is an operator on evaluated arguments, with how many it takes (max 0: any
// number).
type call struct {
	min, max int
	apply    func(args []V) (V, error)
}

func compileCall(d D) (Expression, error) {
	it := value.Elements(d)
	it.Next()
	name, argument := string(it.Key), it.Value
	if it.Next() {
		return nil, failure.New(failure.Code(15983), "An object representing an expression must have exactly one field: %s", d)
	}
	if name == "$literal" {
		return literal(argument), nil
	}
	if name == "$cond" && argument.Type == bsoncore.TypeEmbeddedDocument {
		argument = value.Array(value.Field(argument.Data, "if"), value.Field(argument.Data, "then"), value.Field(argument.Data, "else"))
	}
	c, known := calls[name]
	if !known {
		return nil, failure.New(failure.InvalidPipelineOperator, "Unrecognized expression, or not implemented by the sandbox: '%s'", name)
	}
	list := []V{argument}
	if argument.Type == bsoncore.TypeArray {
		list = items(argument)
	}
	if len(list) < c.min || c.max > 0 && len(list) > c.max {
		return nil, failure.New(failure.Code(16020), "Expression %s takes from %d to %d arguments. %d were passed in.", name, c.min, c.max, len(list))
	}
	parts, err := compileEach(list)
	return func(d D) (V, error) {
		args, err := evaluate(parts, d)
		if err != nil {
			return V{}, err
		}
		return c.apply(args)
	}, err
}

func ordering(accept func(c int) bool) call {
	return call{2, 2, func(a []V) (V, error) { return value.Bool(accept(value.Compare(a[0], a[1]))), nil }}
}

var calls = map[string]call{
	"$eq":  ordering(func(c int) bool { return c == 0 }),
	"$ne":  ordering(func(c int) bool { return c != 0 }),
	"$gt":  ordering(func(c int) bool { return c > 0 }),
	"$gte": ordering(func(c int) bool { return c >= 0 }),
	"$lt":  ordering(func(c int) bool { return c < 0 }),
	"$lte": ordering(func(c int) bool { return c <= 0 }),
	"$and": {0, 0, func(a []V) (V, error) {
		return value.Bool(!slices.ContainsFunc(a, func(v V) bool { return !value.Truthy(v) })), nil
	}},
	"$or":     {0, 0, func(a []V) (V, error) { return value.Bool(slices.ContainsFunc(a, value.Truthy)), nil }},
	"$not":    {1, 1, func(a []V) (V, error) { return value.Bool(!value.Truthy(a[0])), nil }},
	"$cond":   {3, 3, cond},
	"$ifNull": {2, 0, ifNull},
	"$add":    {0, 0, add},
}

func nothing(v V) bool {
	return value.Missing(v) || v.Type == bsoncore.TypeNull || v.Type == bsoncore.TypeUndefined
}

func cond(a []V) (V, error) {
	if value.Truthy(a[0]) {
		return a[1], nil
	}
	return a[2], nil
}

func ifNull(a []V) (V, error) {
	for _, v := range a[:len(a)-1] {
		if !nothing(v) {
			return v, nil
		}
	}
	return a[len(a)-1], nil
}
