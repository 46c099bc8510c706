package value

import (
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// Path is a dotted path, split.
type Path []string

// ParsePath splits a dotted path.
func ParsePath(s string) Path { return strings.Split(s, ".") }

// String joins the path again.
func (p Path) String() string { return strings.Join(p, ".") }

// Field is the value of a top-level field, or missing.
func Field(d D, key string) V {
	it := Elements(d)
	for it.Next() {
		if string(it.Key) == key {
			return it.Value
		}
	}
	return V{}
}

// Index is a path component read as an array index. "01" is a field name.
func Index(s string) (int, bool) {
	if s == "" || len(s) > 9 || (len(s) > 1 && s[0] == '0') {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0
}

// Lookup is the value at a path through embedded documents and numeric array
// indexes, without looking into the elements of arrays.
func Lookup(d D, p Path) V {
	v := Document(d)
	for _, key := range p {
		switch v.Type {
		case bsoncore.TypeEmbeddedDocument:
			v = Field(v.Data, key)
		case bsoncore.TypeArray:
			if _, ok := Index(key); !ok {
				return V{}
			}
			v = Field(v.Data, key)
		default:
			return V{}
		}
	}
	return v
}

// Walk calls fn with every value that a query's path reaches: through the
// elements of arrays on the way, with a missing value where an embedded
// document lacks the field, and with nothing for elements of arrays that are no
// documents. The last value is given whole, also if it is an array; then expand
// says whether its elements count as well, which they do not where the path
// ended in an array index. Walk stops and returns true when fn does.
//
// This is the rule by which {"a.b": null} matches {a: 5} and {a: [{}]} but not
// {a: [5]}.
func Walk(d D, p Path, fn func(v V, expand bool) bool) bool {
	v := Field(d, p[0])
	if len(p) == 1 {
		return fn(v, true)
	}
	switch v.Type {
	case bsoncore.TypeEmbeddedDocument:
		return Walk(v.Data, p[1:], fn)
	case bsoncore.TypeArray:
		return walkArray(v.Data, p[1:], fn)
	}
	return fn(V{}, true)
}

func walkArray(array D, p Path, fn func(V, bool) bool) bool {
	if _, ok := Index(p[0]); ok {
		if at := Field(array, p[0]); !Missing(at) {
			if walkIndexed(at, p[1:], fn) {
				return true
			}
		}
	}
	it := Elements(array)
	for it.Next() {
		if it.Value.Type == bsoncore.TypeEmbeddedDocument && Walk(it.Value.Data, p, fn) {
			return true
		}
	}
	return false
}

func walkIndexed(v V, p Path, fn func(V, bool) bool) bool {
	if len(p) == 0 {
		return fn(v, false)
	}
	switch v.Type {
	case bsoncore.TypeEmbeddedDocument:
		return Walk(v.Data, p, fn)
	case bsoncore.TypeArray:
		return walkArray(v.Data, p, fn)
	}
	return fn(V{}, true)
}

// Keys calls fn with what an index stores for a path: every value that Walk
// finds, arrays taken apart into their elements, missing as null, and undefined
// for an empty array. multikey says whether an array was on the way.
func Keys(d D, p Path, fn func(V)) (multikey bool) {
	found := false
	emit := func(v V) { found = true; fn(v) }
	Walk(d, p, func(v V, _ bool) bool {
		switch v.Type {
		case 0:
			emit(Null)
		case bsoncore.TypeArray:
			multikey = true
			it, any := Elements(v.Data), false
			for it.Next() {
				any = true
				emit(it.Value)
			}
			if !any {
				emit(V{Type: bsoncore.TypeUndefined})
			}
		default:
			emit(v)
		}
		return false
	})
	if !found {
		emit(Null)
	}
	return multikey || throughArray(d, p)
}

func throughArray(d D, p Path) bool {
	for i := range len(p) - 1 {
		v := Field(d, p[i])
		if v.Type == bsoncore.TypeArray {
			return true
		}
		if v.Type != bsoncore.TypeEmbeddedDocument {
			return false
		}
		d = v.Data
	}
	return false
}
