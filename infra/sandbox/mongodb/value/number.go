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

// Arithmetic is an operation on two numbers.
type Arithmetic byte

// The operations of Calculate.
const (
	Add Arithmetic = '+'
	Sub Arithmetic = '-'
	Mul Arithmetic = '*'
)

// Calculate applies an operation with MongoDB's result types: decimal if either
// is decimal, else double if either is double, else int32 widened to int64 as
// needed. ok is false when two integers overflow 64 bits, or a value is not a
// number.
func Calculate(op Arithmetic, a, b V) (result V, ok bool) {
	if !IsNumber(a) || !IsNumber(b) {
		return V{}, false
	}
	na, oka := integer(a)
	nb, okb := integer(b)
	switch {
	case oka && okb:
		return calculateIntegers(op, na, nb, a.Type == bsoncore.TypeInt32 && b.Type == bsoncore.TypeInt32)
	case a.Type == bsoncore.TypeDecimal128 || b.Type == bsoncore.TypeDecimal128:
		return calculateDecimals(op, a, b)
	}
	fa, _ := Float(a)
	fb, _ := Float(b)
	switch op {
	case Add:
		return Double(fa + fb), true
	case Sub:
		return Double(fa - fb), true
	}
	return Double(fa * fb), true
}

func calculateIntegers(op Arithmetic, a, b int64, small bool) (V, bool) {
	r := new(big.Int)
	switch op {
	case Add:
		r.Add(big.NewInt(a), big.NewInt(b))
	case Sub:
		r.Sub(big.NewInt(a), big.NewInt(b))
	case Mul:
		r.Mul(big.NewInt(a), big.NewInt(b))
	}
	if !r.IsInt64() {
		return V{}, false
	}
	n := r.Int64()
	if small && n == int64(int32(n)) {
		return Int32(int32(n)), true
	}
	return Int64(n), true
}

// calculateDecimals computes exactly and rounds to 34 digits, half to even.
// Infinities and NaN go the way of doubles, which has the same rules.
func calculateDecimals(op Arithmetic, a, b V) (V, bool) {
	if special(a) != 0 || special(b) != 0 {
		fa, _ := Float(a)
		fb, _ := Float(b)
		r, _ := Calculate(op, Double(fa), Double(fb))
		return decimalSpecial(float(r)), true
	}
	da, ea := digits(a)
	db, eb := digits(b)
	exp := ea + eb
	r := new(big.Int)
	if op == Mul {
		r.Mul(da, db)
		return decimalFrom(r, exp)
	}
	exp = min(ea, eb)
	da.Mul(da, pow10(ea-exp))
	db.Mul(db, pow10(eb-exp))
	if op == Add {
		r.Add(da, db)
	} else {
		r.Sub(da, db)
	}
	return decimalFrom(r, exp)
}

func decimalSpecial(f float64) V {
	s := "NaN"
	switch {
	case math.IsInf(f, 1):
		s = "Infinity"
	case math.IsInf(f, -1):
		s = "-Infinity"
	}
	d, _ := bson.ParseDecimal128(s)
	return decimalValue(d)
}

func decimalValue(d bson.Decimal128) V {
	h, l := d.GetBytes()
	return V{Type: bsoncore.TypeDecimal128, Data: bsoncore.AppendDecimal128(nil, h, l)}
}

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// digits is a finite number as coefficient and decimal exponent; a double is
// taken at 15 significant digits, as MongoDB converts it.
func digits(v V) (*big.Int, int) {
	switch v.Type {
	case bsoncore.TypeDecimal128:
		n, exp, err := decimalOf(v).BigInt()
		if err != nil {
			return new(big.Int), 0
		}
		return n, exp
	case bsoncore.TypeDouble:
		d, err := bson.ParseDecimal128(big.NewFloat(float(v)).Text('g', 15))
		if err != nil {
			return new(big.Int), 0
		}
		n, exp, _ := d.BigInt()
		return n, exp
	}
	n, _ := integer(v)
	return big.NewInt(n), 0
}

func decimalFrom(n *big.Int, exp int) (V, bool) {
	limit := pow10(34)
	if excess := len(new(big.Int).Abs(n).String()) - 34; excess > 0 {
		n, exp = roundHalfEven(n, excess), exp+excess
		if new(big.Int).Abs(n).Cmp(limit) >= 0 {
			n, exp = roundHalfEven(n, 1), exp+1
		}
	}
	d, ok := bson.ParseDecimal128FromBigInt(n, exp)
	if !ok {
		return decimalSpecial(math.Inf(n.Sign())), true
	}
	return decimalValue(d), true
}

func roundHalfEven(n *big.Int, drop int) *big.Int {
	unit := pow10(drop)
	q, r := new(big.Int).QuoRem(n, unit, new(big.Int))
	twice := r.Abs(r).Lsh(r, 1)
	if c := twice.Cmp(unit); c > 0 || c == 0 && q.Bit(0) == 1 {
		q.Add(q, big.NewInt(int64(n.Sign())))
	}
	return q
}
