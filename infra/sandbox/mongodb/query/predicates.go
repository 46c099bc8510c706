package query

import (
	"math"
	"regexp"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// each tests a value, and if it is an array its elements.
func each(v V, expand bool, test func(V) bool) bool {
	if test(v) {
		return true
	}
	if !expand || v.Type != bsoncore.TypeArray {
		return false
	}
	it := value.Elements(v.Data)
	for it.Next() {
		if test(it.Value) {
			return true
		}
	}
	return false
}

type comparison struct {
	op string
	to V
}

func (c comparison) test(v V, expand bool) bool { return each(v, expand, c.one) }

func (c comparison) one(v V) bool {
	if value.Missing(v) || v.Type == bsoncore.TypeUndefined {
		if c.to.Type == bsoncore.TypeNull {
			return c.op == "$eq" || c.op == "$gte" || c.op == "$lte"
		}
		if value.Missing(v) {
			return false
		}
	}
	if value.Class(v.Type) != value.Class(c.to.Type) && !unbounded(c.to) {
		return false
	}
	if isNaN(v) != isNaN(c.to) && value.IsNumber(c.to) {
		return false // NaN is in order with nothing but itself
	}
	n := value.Compare(v, c.to)
	switch c.op {
	case "$eq":
		return n == 0
	case "$gt":
		return n > 0
	case "$gte":
		return n >= 0
	case "$lt":
		return n < 0
	}
	return n <= 0
}

func unbounded(v V) bool { return v.Type == bsoncore.TypeMinKey || v.Type == bsoncore.TypeMaxKey }

func isNaN(v V) bool {
	if v.Type != bsoncore.TypeDouble && v.Type != bsoncore.TypeDecimal128 {
		return false
	}
	f, ok := value.Float(v)
	return ok && math.IsNaN(f)
}

// in is $in: its values sorted, for a list may be long.
type in struct {
	values   []V
	patterns []predicate
	null     bool
}

func compileIn(key string, v V) (in, error) {
	if v.Type != bsoncore.TypeArray {
		return in{}, failure.New(failure.BadValue, "%s needs an array", key)
	}
	var p in
	it := value.Elements(v.Data)
	for it.Next() {
		if isOperators(it.Value) {
			return p, failure.New(failure.BadValue, "cannot nest $ under %s", key)
		}
		if it.Value.Type == bsoncore.TypeRegex {
			re, err := compileRegex(it.Value, "")
			if err != nil {
				return p, err
			}
			p.patterns = append(p.patterns, re)
			continue
		}
		p.null = p.null || it.Value.Type == bsoncore.TypeNull
		p.values = append(p.values, it.Value)
	}
	slices.SortFunc(p.values, value.Compare)
	p.values = slices.CompactFunc(p.values, value.Equal)
	return p, nil
}

func (p in) test(v V, expand bool) bool { return each(v, expand, p.one) }

func (p in) one(v V) bool {
	if value.Missing(v) || v.Type == bsoncore.TypeUndefined {
		if p.null || value.Missing(v) {
			return p.null
		}
	}
	if _, found := slices.BinarySearchFunc(p.values, v, value.Compare); found {
		return true
	}
	return slices.ContainsFunc(p.patterns, func(re predicate) bool { return re.test(v, false) })
}

type present struct{}

func (present) test(v V, _ bool) bool { return !value.Missing(v) }

type matching struct {
	*regexp.Regexp
	source []byte
}

func (p matching) test(v V, expand bool) bool { return each(v, expand, p.one) }

func (p matching) one(v V) bool {
	switch v.Type {
	case bsoncore.TypeString:
		return p.MatchString(v.StringValue())
	case bsoncore.TypeSymbol:
		return p.MatchString(v.Symbol())
	case bsoncore.TypeRegex:
		return string(v.Data) == string(p.source)
	}
	return false
}

type length int64

func (n length) test(v V, _ bool) bool {
	if v.Type != bsoncore.TypeArray {
		return false
	}
	count := int64(0)
	it := value.Elements(v.Data)
	for it.Next() {
		count++
	}
	return count == int64(n)
}

// types is a set of type numbers; number stands for all four.
type types map[bsoncore.Type]bool

var typeNames = map[string]bsoncore.Type{
	"double": bsoncore.TypeDouble, "string": bsoncore.TypeString, "object": bsoncore.TypeEmbeddedDocument,
	"array": bsoncore.TypeArray, "binData": bsoncore.TypeBinary, "undefined": bsoncore.TypeUndefined,
	"objectId": bsoncore.TypeObjectID, "bool": bsoncore.TypeBoolean, "date": bsoncore.TypeDateTime,
	"null": bsoncore.TypeNull, "regex": bsoncore.TypeRegex, "dbPointer": bsoncore.TypeDBPointer,
	"javascript": bsoncore.TypeJavaScript, "symbol": bsoncore.TypeSymbol,
	"javascriptWithScope": bsoncore.TypeCodeWithScope, "int": bsoncore.TypeInt32,
	"timestamp": bsoncore.TypeTimestamp, "long": bsoncore.TypeInt64, "decimal": bsoncore.TypeDecimal128,
	"minKey": bsoncore.TypeMinKey, "maxKey": bsoncore.TypeMaxKey,
}

func compileType(v V) (predicate, error) {
	set := types{}
	items := []V{v}
	if v.Type == bsoncore.TypeArray {
		items, _ = bsoncore.Array(v.Data).Values()
	}
	for _, item := range items {
		if err := set.add(item); err != nil {
			return nil, err
		}
	}
	if len(set) == 0 {
		return nil, failure.New(failure.FailedToParse, "$type must match at least one type")
	}
	return set, nil
}

func (p types) add(v V) error {
	if name, ok := v.StringValueOK(); ok {
		if name == "number" {
			for _, n := range []string{"double", "int", "long", "decimal"} {
				p[typeNames[n]] = true
			}
			return nil
		}
		t, known := typeNames[name]
		if !known {
			return failure.New(failure.BadValue, "Unknown type name alias: %s", name)
		}
		p[t] = true
		return nil
	}
	n, ok := value.Integer(v)
	if n == -1 {
		n = int64(bsoncore.TypeMinKey)
	}
	if !ok || n < 1 || n > 255 || (n > 19 && n != 127 && n != 255) {
		return failure.New(failure.BadValue, "Invalid numerical type code: %v", v)
	}
	p[bsoncore.Type(n)] = true
	return nil
}

func (p types) test(v V, expand bool) bool {
	return each(v, expand, func(v V) bool { return p[v.Type] })
}

// element is $elemMatch.
type element struct {
	condition
	wrap bool // conditions on the element itself, not on its fields
}

func compileElemMatch(v V) (predicate, error) {
	if v.Type != bsoncore.TypeEmbeddedDocument {
		return nil, failure.New(failure.BadValue, "$elemMatch needs an Object")
	}
	it := value.Elements(v.Data)
	if it.Next() && strings.HasPrefix(string(it.Key), "$") && !slices.Contains([]string{"$and", "$or", "$nor", "$expr"}, string(it.Key)) {
		c, err := compileOperators(value.Path{""}, v.Data)
		return element{c, true}, err
	}
	c, err := compileAll(v.Data)
	return element{c, false}, err
}

func (p element) test(v V, _ bool) bool {
	if v.Type != bsoncore.TypeArray {
		return false
	}
	it := value.Elements(v.Data)
	for it.Next() {
		switch {
		case p.wrap && it.Value.Type == bsoncore.TypeArray:
			// An element that is an array must not be taken apart once more.
			if p.holds(bsoncore.BuildDocument(nil, bsoncore.AppendValueElement(nil, "", value.Array(it.Value)))) {
				return true
			}
		case p.wrap:
			if p.holds(bsoncore.BuildDocument(nil, bsoncore.AppendValueElement(nil, "", it.Value))) {
				return true
			}
		case it.Value.Type == bsoncore.TypeEmbeddedDocument || it.Value.Type == bsoncore.TypeArray:
			if p.holds(it.Value.Data) {
				return true
			}
		}
	}
	return false
}
