package mapping

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// maxDigits bounds the numbers that are calculated with: what 1e400 would take as a
// fraction. Others pass, as they are text.
const maxDigits = 400

var errNumberTooLarge = fmt.Errorf("a number is too large to calculate with: it may have %d digits", maxDigits)

func toInt(s string) (int64, bool) {
	if len(s) > 18 {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

func (r *run) rat(s string) *big.Rat {
	x, ok := new(big.Rat), len(s) <= maxDigits
	if i := strings.IndexAny(s, "eE"); ok && i >= 0 {
		e, err := strconv.Atoi(s[i+1:])
		ok = err == nil && e <= maxDigits && e >= -maxDigits
	}
	if ok {
		_, ok = x.SetString(s)
	}
	if !ok {
		r.fail("%w", errNumberTooLarge)
	}
	return x
}

// formatRat writes all digits, or where they never end, those of the nearest float64.
func (r *run) formatRat(x *big.Rat) value {
	var s string
	if n, exact := x.FloatPrec(); exact {
		s = x.FloatString(n)
	} else if f, _ := x.Float64(); !math.IsInf(f, 0) {
		s = strconv.FormatFloat(f, 'g', -1, 64)
	}
	if s == "" || len(s) > maxDigits {
		return r.fail("%w", errNumberTooLarge)
	}
	return numberValue(s)
}

func (r *run) compareNumbers(a, b string) int {
	m, isInt := toInt(a)
	if n, both := toInt(b); both && isInt {
		return cmp.Compare(m, n)
	}
	return r.rat(a).Cmp(r.rat(b))
}

// calculate is exact: 19.99 * 100 is 1999.
func (r *run) calculate(op, a, b string) value {
	m, isInt := toInt(a)
	if n, both := toInt(b); both && isInt {
		switch {
		case op == "+":
			return intValue(m + n)
		case op == "-":
			return intValue(m - n)
		case op == "*" && abs(m) < 1<<31 && abs(n) < 1<<31:
			return intValue(m * n)
		case op == "/" && n != 0 && m%n == 0:
			return intValue(m / n)
		case op == "%" && n != 0:
			return intValue(m % n)
		}
	}
	x, y := r.rat(a), r.rat(b)
	switch {
	case r.err != nil:
		return value{}
	case op == "+":
		return r.formatRat(x.Add(x, y))
	case op == "-":
		return r.formatRat(x.Sub(x, y))
	case op == "*":
		return r.formatRat(x.Mul(x, y))
	case y.Sign() == 0:
		return r.fail("division by zero")
	}
	quotient := new(big.Rat).Quo(x, y)
	if op == "/" {
		return r.formatRat(quotient)
	}
	whole := new(big.Rat).SetInt(new(big.Int).Quo(quotient.Num(), quotient.Denom()))
	return r.formatRat(x.Sub(x, whole.Mul(whole, y)))
}

func abs(n int64) int64 { return max(n, -n) }

// roundNumber rounds to a number of decimals: down, up, or to the nearest, halves away
// from zero.
func (r *run) roundNumber(digits, how string, decimals int) value {
	x := r.rat(digits)
	scale := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil))
	x.Mul(x, scale)
	if how == "round" {
		x.Add(x, big.NewRat(int64(x.Sign()), 2))
	}
	whole := new(big.Int).Quo(x.Num(), x.Denom()) // toward zero
	switch rest := new(big.Rat).Sub(x, new(big.Rat).SetInt(whole)); {
	case how == "floor" && rest.Sign() < 0:
		whole.Sub(whole, big.NewInt(1))
	case how == "ceil" && rest.Sign() > 0:
		whole.Add(whole, big.NewInt(1))
	}
	return r.formatRat(x.Quo(new(big.Rat).SetInt(whole), scale))
}
