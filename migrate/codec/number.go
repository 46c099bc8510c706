package codec

import (
	"math"
	"math/big"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// number is a decimal in the one form that equal numbers share: no zeros at
// either end of the digits, value = digits * 10^exp. Zero has no digits.
// DynamoDB rewrites numbers ("1.50" is returned as "1.5"), so numbers are
// compared in this form only.
type number struct {
	neg    bool
	digits string
	exp    int
}

// maxNumberText bounds what parseNumber looks at; DynamoDB's longest is shorter.
const maxNumberText = 200

func parseNumber(s string) (number, bool) {
	var n number
	if len(s) > maxNumberText {
		return n, false
	}
	if s != "" && (s[0] == '-' || s[0] == '+') {
		n.neg, s = s[0] == '-', s[1:]
	}
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		e, err := strconv.Atoi(s[i+1:])
		if err != nil || e > 1e6 || e < -1e6 {
			return n, false
		}
		n.exp, s = e, s[:i]
	}
	whole, frac, _ := strings.Cut(s, ".")
	if whole+frac == "" || strings.Trim(whole+frac, "0123456789") != "" {
		return n, false
	}
	n.exp -= len(frac)
	n.digits = strings.TrimLeft(whole+frac, "0")
	trimmed := strings.TrimRight(n.digits, "0")
	n.exp += len(n.digits) - len(trimmed)
	n.digits = trimmed
	if n.digits == "" {
		n = number{}
	}
	return n, true
}

// storable reports whether DynamoDB accepts the number: 38 digits, magnitude
// from 1E-130 to 9.99E+125.
func (n number) storable() bool {
	top := n.exp + len(n.digits) - 1
	return n.digits == "" || len(n.digits) <= 38 && top >= -130 && top <= 125
}

func (n number) String() string {
	if n.digits == "" {
		return "0"
	}
	sign := ""
	if n.neg {
		sign = "-"
	}
	point := len(n.digits) + n.exp // where the decimal point stands
	switch {
	case n.exp >= 0 && point <= 38:
		return sign + n.digits + strings.Repeat("0", n.exp)
	case n.exp < 0 && point > 0:
		return sign + n.digits[:point] + "." + n.digits[point:]
	case n.exp < 0 && point > -20:
		return sign + "0." + strings.Repeat("0", -point) + n.digits
	}
	return sign + n.digits + "E" + strconv.Itoa(n.exp)
}

func doubleNumber(f float64) number {
	n, _ := parseNumber(strconv.FormatFloat(f, 'e', -1, 64))
	return n
}

// isDouble reports whether n is the shortest decimal of a float64.
func (n number) isDouble() bool {
	f, err := strconv.ParseFloat(n.String(), 64)
	return err == nil && !math.IsInf(f, 0) && doubleNumber(f) == n
}

// decimal returns n as a Decimal128 with the given exponent.
func (n number) decimal(exp int) (bson.Decimal128, bool) {
	shift := n.exp - exp
	if n.digits == "" {
		shift = 0
	}
	if shift < 0 || len(n.digits)+shift > 34 {
		return bson.Decimal128{}, false
	}
	coefficient, _ := new(big.Int).SetString("0"+n.digits+strings.Repeat("0", shift), 10)
	if n.neg {
		coefficient.Neg(coefficient)
	}
	return bson.ParseDecimal128FromBigInt(coefficient, exp)
}

// natural is the BSON type a number stands for when nothing else is said.
func (n number) natural() string {
	if n.exp >= 0 && len(n.digits)+n.exp <= 19 {
		if i, err := strconv.ParseInt(n.String(), 10, 64); err == nil {
			if i == int64(int32(i)) {
				return TypeInt32
			}
			return TypeInt64
		}
	}
	if n.isDouble() {
		return TypeDouble
	}
	return TypeDecimal
}

// sameNumber reports whether two texts are the same DynamoDB number.
func sameNumber(a, b string) bool {
	if a == b {
		return true
	}
	x, ok := parseNumber(a)
	y, ok2 := parseNumber(b)
	return ok && ok2 && x == y
}

// NumberText is a DynamoDB number in the one form that equal numbers share, however the
// server has rewritten it; what is no number stays as it is.
func NumberText(s string) string {
	if n, ok := parseNumber(s); ok {
		return n.String()
	}
	return s
}
