// Package query compiles and runs what MongoDB's commands are asked with:
// filters, sorts, projections, updates, expressions and pipelines.
//
// Caveats: there are no collations, no $where, $expr or $text, no geography, and of
// the operators only those that Banyan uses (see the sandbox's README); regular
// expressions are Go's RE2, so look-around and back-references are refused; the
// positional operators $, $[] and $[name] are not implemented. What is refused
// is refused with a clear error, never ignored.
package query

import (
	"cmp"
	"regexp"
	"slices"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// V and D are raw BSON values and documents.
type (
	V = value.V
	D = value.D
)

// Filter is a compiled query. It is immutable and safe for concurrent use.
type Filter struct {
	root condition
}

// condition decides about a whole document.
type condition interface{ holds(d D) bool }

// predicate decides about one value that a path reached; whole arrays included.
// expand says whether the elements of an array count as values too.
type predicate interface{ test(v V, expand bool) bool }

type (
	all   []condition
	some  []condition
	none  []condition
	not   struct{ condition }
	field struct {
		path value.Path
		predicate
	}
)

func (c all) holds(d D) bool {
	return !slices.ContainsFunc(c, func(c condition) bool { return !c.holds(d) })
}
func (c some) holds(d D) bool {
	return slices.ContainsFunc(c, func(c condition) bool { return c.holds(d) })
}
func (c none) holds(d D) bool  { return !some(c).holds(d) }
func (c not) holds(d D) bool   { return !c.condition.holds(d) }
func (c field) holds(d D) bool { return value.Walk(d, c.path, c.test) }

// CompileFilter reads a query document.
func CompileFilter(d D) (*Filter, error) {
	root, err := compileAll(d)
	if err != nil {
		return nil, err
	}
	return &Filter{root}, nil
}

// Matches says whether a document fulfils the filter.
func (f *Filter) Matches(d D) bool { return f.root.holds(d) }

// Everything says that the filter has no condition.
func (f *Filter) Everything() bool { c, ok := f.root.(all); return ok && len(c) == 0 }

func compileAll(d D) (all, error) {
	conditions := all{}
	it := value.Elements(d)
	for it.Next() {
		c, err := compileElement(string(it.Key), it.Value)
		if err != nil {
			return nil, err
		}
		if group, ok := c.(all); ok {
			conditions = append(conditions, group...)
			continue
		}
		conditions = append(conditions, c)
	}
	return conditions, nil
}

func compileElement(key string, v V) (condition, error) {
	if len(key) == 0 || key[0] != '$' {
		return compileField(value.ParsePath(key), v)
	}
	switch key {
	case "$and", "$or", "$nor":
		return compileLogic(key, v)
	case "$comment":
		return all{}, nil
	case "$expr", "$where", "$text", "$jsonSchema", "$sampleRate", "$alwaysTrue", "$alwaysFalse":
		return nil, failure.Unsupported("query operator %s", key)
	}
	return nil, failure.New(failure.BadValue, "unknown top level operator: %s. If you have a field name that starts with a '$' symbol, "+
		"consider using $getField or $setField.", key)
}

func compileLogic(key string, v V) (condition, error) {
	if v.Type != bsoncore.TypeArray {
		return nil, failure.New(failure.BadValue, "%s must be an array", key)
	}
	var parts []condition
	it := value.Elements(v.Data)
	for it.Next() {
		if it.Value.Type != bsoncore.TypeEmbeddedDocument {
			return nil, failure.New(failure.BadValue, "$or/$and/$nor entries need to be full objects")
		}
		part, err := compileAll(it.Value.Data)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return nil, failure.New(failure.BadValue, "$and/$or/$nor must be a nonempty array")
	}
	switch key {
	case "$or":
		return some(parts), nil
	case "$nor":
		return none(parts), nil
	}
	var flat all
	for _, p := range parts {
		flat = append(flat, p.(all)...)
	}
	return flat, nil
}

func isOperators(v V) bool {
	if v.Type != bsoncore.TypeEmbeddedDocument {
		return false
	}
	it := value.Elements(v.Data)
	return it.Next() && len(it.Key) > 0 && it.Key[0] == '$' &&
		string(it.Key) != "$ref" && string(it.Key) != "$id" && string(it.Key) != "$db"
}

func compileField(path value.Path, v V) (condition, error) {
	switch {
	case v.Type == bsoncore.TypeRegex:
		p, err := compileRegex(v, "")
		return field{path, p}, err
	case isOperators(v):
		return compileOperators(path, v.Data)
	}
	return field{path, comparison{op: "$eq", to: v}}, nil
}

func compileOperators(path value.Path, d D) (condition, error) {
	conditions := all{}
	it := value.Elements(d)
	for it.Next() {
		key := string(it.Key)
		if key == "$options" {
			continue // read by $regex
		}
		var c condition
		var err error
		if key == "$regex" {
			var p predicate
			options, _ := value.Field(d, "$options").StringValueOK()
			p, err = compileRegex(it.Value, options)
			c = field{path, p}
		} else {
			c, err = compileOperator(path, key, it.Value)
		}
		if err != nil {
			return nil, err
		}
		conditions = append(conditions, c)
	}
	return conditions, nil
}

func compileOperator(path value.Path, key string, v V) (condition, error) {
	switch key {
	case "$eq", "$gt", "$gte", "$lt", "$lte":
		if v.Type == bsoncore.TypeRegex && key != "$eq" {
			return nil, failure.New(failure.BadValue, "Can't have RegEx as arg to predicate over field '%s'.", path)
		}
		return field{path, comparison{op: key, to: v}}, nil
	case "$ne":
		return not{field{path, comparison{op: "$eq", to: v}}}, nil
	case "$in", "$nin":
		p, err := compileIn(key, v)
		if key == "$nin" {
			return not{field{path, p}}, err
		}
		return field{path, p}, err
	case "$exists":
		if value.Truthy(v) {
			return field{path, present{}}, nil
		}
		return not{field{path, present{}}}, nil
	case "$not":
		return compileNot(path, v)
	}
	p, err := compilePredicate(key, v)
	return field{path, p}, err
}

func compileNot(path value.Path, v V) (condition, error) {
	if v.Type == bsoncore.TypeRegex {
		p, err := compileRegex(v, "")
		return not{field{path, p}}, err
	}
	if !isOperators(v) {
		return nil, failure.New(failure.BadValue, "$not needs a regex or a document")
	}
	c, err := compileOperators(path, v.Data)
	return not{c}, err
}

func compilePredicate(key string, v V) (predicate, error) {
	switch key {
	case "$type":
		return compileType(v)
	case "$size":
		n, ok := value.Integer(v)
		if !ok || n < 0 {
			return nil, failure.New(failure.BadValue, "Failed to parse $size. Expected a non-negative integer")
		}
		return length(n), nil
	case "$elemMatch":
		return compileElemMatch(v)
	}
	if key == "$all" || key == "$mod" || key == "$near" || key == "$geoWithin" || key == "$geoIntersects" || key == "$nearSphere" ||
		key == "$bitsAllSet" || key == "$bitsAnySet" || key == "$bitsAllClear" || key == "$bitsAnyClear" {
		return nil, failure.Unsupported("query operator %s", key)
	}
	return nil, failure.New(failure.BadValue, "unknown operator: %s", key)
}

func compileRegex(v V, options string) (predicate, error) {
	var pattern string
	switch v.Type {
	case bsoncore.TypeRegex:
		p, o := v.Regex()
		pattern = p
		options = cmp.Or(options, o)
	case bsoncore.TypeString:
		pattern = v.StringValue()
	default:
		return nil, failure.New(failure.BadValue, "$regex has to be a string")
	}
	flags := ""
	for _, o := range options {
		switch o {
		case 'i', 'm', 's':
			flags += string(o)
		case 'u':
		default:
			return nil, failure.Unsupported("regular expression option %q", o)
		}
	}
	source := pattern
	if flags != "" {
		pattern = "(?" + flags + ")" + pattern
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, failure.New(failure.Code(51091), "Regular expression is invalid for the sandbox (it knows RE2 only): %v", err)
	}
	return matching{re, bsoncore.AppendRegex(nil, source, options)}, nil
}
