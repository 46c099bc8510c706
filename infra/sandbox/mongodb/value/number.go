package value

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/big"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// Int32 makes a 32-bit integer value.
func Int32(n int32) V {
	return V{Type: bsoncore.TypeInt32, Data: bsoncore.AppendInt32(nil, n)}
}

// Int64 makes a 64-bit integer value.
func Int64(n int64) V {
	return V{Type: bsoncore.TypeInt64, Data: bsoncore.AppendInt64(nil, n)}
}

// Double makes a floating-point value.
func Double(f float64) V {
	return V{Type: bsoncore.TypeDouble, Data: bsoncore.AppendDouble(nil, f)}
}

// Bool makes a boolean value.
func Bool(b bool) V {
	return V{Type: bsoncore.TypeBoolean, Data: bsoncore.AppendBoolean(nil, b)}
}

// String makes a string value.
func String(s string) V {
	return V{Type: bsoncore.TypeString, Data: bsoncore.AppendString(nil, s)}
}

// Document makes a value of a document.
func Document(d D) V { return V{Type: bsoncore.TypeEmbeddedDocument, Data: d} }

// Array makes an array value.
func Array(items ...V) V {
	return V{Type: bsoncore.TypeArray, Data: bsoncore.BuildArray(nil, items...)}
}

// IsNumber says whether a value is of one of the four numeric types.
func IsNumber(v V) bool { return Class(v.Type) == 10 }

// integer returns the value of an int32 or int64.
func integer(v V) (int64, bool) {
	switch v.Type {
	case bsoncore.TypeInt32:
		return int64(int32(binary.LittleEndian.Uint32(v.Data))), true
	case bsoncore.TypeInt64:
		return int64(binary.LittleEndian.Uint64(v.Data)), true
	}
	return 0, false
}

func float(v V) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(v.Data)) }

// Float converts any number to a double, with what precision that has.
func Float(v V) (float64, bool) {
	if n, ok := integer(v); ok {
		return float64(n), true
	}
	switch v.Type {
	case bsoncore.TypeDouble:
		return float(v), true
	case bsoncore.TypeDecimal128:
		d := decimalOf(v)
		switch {
		case d.IsNaN():
			return math.NaN(), true
		case d.IsInf() != 0:
			return math.Inf(d.IsInf()), true
		}
		f, _ := rational(v).Float64()
		return f, true
	}
	return 0, false
}

// Integer converts a number with an integral value within 64 bits.
func Integer(v V) (int64, bool) {
	if n, ok := integer(v); ok {
		return n, true
	}
	f, ok := Float(v)
	if !ok || f != math.Trunc(f) || f < -(1<<63) || f >= 1<<63 {
		return 0, false
	}
	if v.Type == bsoncore.TypeDecimal128 {
		r := rational(v)
		return r.Num().Int64(), r.IsInt() && r.Num().IsInt64()
	}
	return int64(f), true
}

func decimalOf(v V) bson.Decimal128 { return bson.NewDecimal128(v.Decimal128()) }

// special sorts NaN (-2), -Inf (-1), finite (0), +Inf (1).
func special(v V) int {
	switch v.Type {
	case bsoncore.TypeDouble:
		f := float(v)
		switch {
		case math.IsNaN(f):
			return -2
		case math.IsInf(f, -1):
			return -1
		case math.IsInf(f, 1):
			return 1
		}
	case bsoncore.TypeDecimal128:
		d := decimalOf(v)
		if d.IsNaN() {
			return -2
		}
		return d.IsInf()
	}
	return 0
}

// rational is the exact value of a finite number.
func rational(v V) *big.Rat {
	if n, ok := integer(v); ok {
		return new(big.Rat).SetInt64(n)
	}
	if v.Type == bsoncore.TypeDouble {
		return new(big.Rat).SetFloat64(float(v))
	}
	digits, exp, err := decimalOf(v).BigInt()
	if err != nil {
		return new(big.Rat)
	}
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(exp, -exp))), nil)
	if exp < 0 {
		return new(big.Rat).SetFrac(digits, scale)
	}
	return new(big.Rat).SetInt(digits.Mul(digits, scale))
}

func compareNumbers(a, b V) int {
	na, oka := integer(a)
	nb, okb := integer(b)
	if oka && okb {
		return cmp.Compare(na, nb)
	}
	if a.Type == bsoncore.TypeDouble && b.Type == bsoncore.TypeDouble {
		return cmp.Compare(float(a), float(b)) // NaN first, -0 equal to 0
	}
	sa, sb := special(a), special(b)
	if sa != 0 || sb != 0 {
		return cmp.Compare(sa, sb)
	}
	const exact = 1 << 53
	if oka && b.Type == bsoncore.TypeDouble && na > -exact && na < exact {
		return cmp.Compare(float64(na), float(b))
	}
	if okb && a.Type == bsoncore.TypeDouble && nb > -exact && nb < exact {
		return cmp.Compare(float(a), float64(nb))
	}
	return rational(a).Cmp(rational(b))
}

// Add adds two numbers with MongoDB's result types: double if either is double,
// else int32 widened to int64 as needed. ok is false when two integers overflow
// 64 bits, and for decimals, which are only stored and compared.
func Add(a, b V) (sum V, ok bool) {
	na, oka := integer(a)
	nb, okb := integer(b)
	switch {
	case oka && okb:
		return addIntegers(na, nb, a.Type == bsoncore.TypeInt32 && b.Type == bsoncore.TypeInt32)
	case !IsNumber(a) || !IsNumber(b) || a.Type == bsoncore.TypeDecimal128 || b.Type == bsoncore.TypeDecimal128:
		return V{}, false
	}
	fa, _ := Float(a)
	fb, _ := Float(b)
	return Double(fa + fb), true
}

func addIntegers(a, b int64, small bool) (V, bool) {
	n := a + b
	switch {
	case (n > a) != (b > 0) && b != 0:
		return V{}, false // more than 64 bits
	case small && n == int64(int32(n)):
		return Int32(int32(n)), true
	}
	return Int64(n), true
}
