// Package value orders, walks, checks and changes BSON values for the sandbox's
// MongoDB.
//
// Caveats: strings compare by their bytes (no collations), and comparing a
// Decimal128 with a double compares their exact values, where a server first
// rounds the double to fifteen digits. Values are raw BSON throughout
// (bsoncore.Value), so that a document which nobody changes is never re-encoded
// and every type, also deprecated ones, comes back byte for byte.
package value

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// V is a raw BSON value; the zero V (type 0) stands for "missing".
type V = bsoncore.Value

// D is a raw BSON document.
type D = bsoncore.Document

// Null is the BSON null.
var Null = V{Type: bsoncore.TypeNull}

// Missing says that there is no value.
func Missing(v V) bool { return v.Type == 0 }

// Class is the place of a type in MongoDB's order between types; all numbers
// share one class, and strings share one with symbols.
func Class(t bsoncore.Type) int {
	switch t {
	case bsoncore.TypeMinKey:
		return -1
	case 0, bsoncore.TypeUndefined:
		return 0
	case bsoncore.TypeNull:
		return 5
	case bsoncore.TypeDouble, bsoncore.TypeInt32, bsoncore.TypeInt64, bsoncore.TypeDecimal128:
		return 10
	case bsoncore.TypeString, bsoncore.TypeSymbol:
		return 15
	case bsoncore.TypeEmbeddedDocument:
		return 20
	case bsoncore.TypeArray:
		return 25
	case bsoncore.TypeBinary:
		return 30
	case bsoncore.TypeObjectID:
		return 35
	case bsoncore.TypeBoolean:
		return 40
	case bsoncore.TypeDateTime:
		return 45
	case bsoncore.TypeTimestamp:
		return 47
	case bsoncore.TypeRegex:
		return 50
	case bsoncore.TypeDBPointer:
		return 55
	case bsoncore.TypeJavaScript:
		return 60
	case bsoncore.TypeCodeWithScope:
		return 65
	default: // MaxKey
		return 127
	}
}

// Compare orders two values as MongoDB sorts them: by class, then by value. The
// rule is the page "Comparison/Sort Order" of MongoDB's manual. A missing value
// sorts with undefined; callers that sort documents replace it with Null.
// Both values must be valid BSON.
func Compare(a, b V) int {
	ca, cb := Class(a.Type), Class(b.Type)
	if ca != cb {
		return cmp.Compare(ca, cb)
	}
	switch ca {
	case 10:
		return compareNumbers(a, b)
	case 15:
		return bytes.Compare(text(a), text(b))
	case 20, 25:
		return CompareDocuments(a.Data, b.Data)
	case 30:
		return compareBinary(a.Data, b.Data)
	case 35, 40:
		return bytes.Compare(a.Data, b.Data)
	case 45:
		return cmp.Compare(int64(binary.LittleEndian.Uint64(a.Data)), int64(binary.LittleEndian.Uint64(b.Data)))
	case 47:
		return cmp.Compare(binary.LittleEndian.Uint64(a.Data), binary.LittleEndian.Uint64(b.Data))
	case 50:
		return bytes.Compare(a.Data, b.Data)
	case 55:
		return compareSized(a.Data, b.Data)
	case 60:
		return bytes.Compare(text(a), text(b))
	case 65:
		return compareCode(a, b)
	}
	return 0
}

// Equal is Compare == 0.
func Equal(a, b V) bool { return Compare(a, b) == 0 }

// Identical says that two values are the same bytes of the same type: 1 and 1.0
// are equal but not identical.
func Identical(a, b V) bool { return a.Type == b.Type && bytes.Equal(a.Data, b.Data) }

func text(v V) []byte {
	if len(v.Data) < 5 {
		return nil
	}
	return v.Data[4 : len(v.Data)-1]
}

func compareBinary(a, b []byte) int {
	if len(a) != len(b) {
		return cmp.Compare(len(a), len(b))
	}
	return bytes.Compare(a[4:], b[4:]) // subtype, then bytes
}

func compareSized(a, b []byte) int {
	if len(a) != len(b) {
		return cmp.Compare(len(a), len(b))
	}
	return bytes.Compare(a, b)
}

func compareCode(a, b V) int {
	ca, sa, _ := a.CodeWithScopeOK()
	cb, sb, _ := b.CodeWithScopeOK()
	if c := cmp.Compare(ca, cb); c != 0 {
		return c
	}
	return CompareDocuments(sa, sb)
}

// CompareDocuments orders two documents (or arrays) field by field: by the
// class of the values, then by name, then by value; the one that ends first is
// the smaller.
func CompareDocuments(a, b D) int {
	ia, ib := Elements(a), Elements(b)
	for {
		oka, okb := ia.Next(), ib.Next()
		switch {
		case !oka && !okb:
			return 0
		case !oka:
			return -1
		case !okb:
			return 1
		}
		if c := cmp.Compare(Class(ia.Value.Type), Class(ib.Value.Type)); c != 0 {
			return c
		}
		if c := bytes.Compare(ia.Key, ib.Key); c != 0 {
			return c
		}
		if c := Compare(ia.Value, ib.Value); c != 0 {
			return c
		}
	}
}

// Iterator walks the elements of a document without allocating.
type Iterator struct {
	rest  []byte
	Key   []byte
	Value V
}

// Elements starts an iterator over a document or array. Invalid BSON ends it.
func Elements(d []byte) Iterator {
	if len(d) < 5 {
		return Iterator{}
	}
	return Iterator{rest: d[4 : len(d)-1]}
}

// Next moves to the next element.
func (it *Iterator) Next() bool {
	if len(it.rest) < 2 {
		return false
	}
	t := bsoncore.Type(it.rest[0])
	end := bytes.IndexByte(it.rest[1:], 0)
	if end < 0 {
		return false
	}
	it.Key = it.rest[1 : 1+end]
	body := it.rest[2+end:]
	n, ok := size(t, body)
	if !ok {
		return false
	}
	it.Value = V{Type: t, Data: body[:n:n]}
	it.rest = body[n:]
	return true
}

// size is the length of a value of type t at the start of b.
func size(t bsoncore.Type, b []byte) (int, bool) {
	fixed := func(n int) (int, bool) { return n, len(b) >= n }
	sized := func(extra int) (int, bool) {
		if len(b) < 4 {
			return 0, false
		}
		n := int64(int32(binary.LittleEndian.Uint32(b))) + int64(extra)
		return int(n), n >= int64(extra) && n >= 4 && n <= int64(len(b))
	}
	switch t {
	case bsoncore.TypeUndefined, bsoncore.TypeNull, bsoncore.TypeMinKey, bsoncore.TypeMaxKey:
		return 0, true
	case bsoncore.TypeBoolean:
		return fixed(1)
	case bsoncore.TypeInt32:
		return fixed(4)
	case bsoncore.TypeDouble, bsoncore.TypeDateTime, bsoncore.TypeTimestamp, bsoncore.TypeInt64:
		return fixed(8)
	case bsoncore.TypeObjectID:
		return fixed(12)
	case bsoncore.TypeDecimal128:
		return fixed(16)
	case bsoncore.TypeString, bsoncore.TypeSymbol, bsoncore.TypeJavaScript:
		return sized(4)
	case bsoncore.TypeBinary:
		return sized(5)
	case bsoncore.TypeDBPointer:
		return sized(16)
	case bsoncore.TypeEmbeddedDocument, bsoncore.TypeArray, bsoncore.TypeCodeWithScope:
		return sized(0)
	case bsoncore.TypeRegex:
		first := bytes.IndexByte(b, 0)
		if first < 0 {
			return 0, false
		}
		second := bytes.IndexByte(b[first+1:], 0)
		return first + second + 2, second >= 0
	}
	return 0, false
}

// Truthy is MongoDB's idea of true: everything but false, zero, null,
// undefined and missing.
func Truthy(v V) bool {
	switch v.Type {
	case 0, bsoncore.TypeNull, bsoncore.TypeUndefined:
		return false
	case bsoncore.TypeBoolean:
		return v.Boolean()
	case bsoncore.TypeInt32, bsoncore.TypeInt64, bsoncore.TypeDecimal128:
		return compareNumbers(v, Int32(0)) != 0
	case bsoncore.TypeDouble:
		f := v.Double()
		return f != 0 || math.IsNaN(f)
	}
	return true
}
