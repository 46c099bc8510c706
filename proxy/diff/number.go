package diff

import (
	"math/big"
	"strconv"
	"strings"
)

// maxDigits bounds the numbers that are compared by value; longer ones by their text.
const maxDigits = 1000

// normalNumber is one text for all JSON texts of one number: 1, 1.0 and 10e-1. It is
// exact: nothing goes through a float, and 1e999999999 costs no more than 1.
func normalNumber(n string) string {
	if len(n) > maxDigits {
		return n
	}
	digits, exponent, _ := strings.Cut(strings.ToLower(n), "e")
	exp := int64(0)
	if exponent != "" {
		var err error
		if exp, err = strconv.ParseInt(exponent, 10, 32); err != nil {
			return n
		}
	}
	digits, negative := strings.CutPrefix(digits, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	digits = strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return "0"
	}
	short := strings.TrimRight(digits, "0")
	exp += int64(len(digits) - len(short) - len(fraction))
	if negative {
		short = "-" + short
	}
	return short + "e" + strconv.FormatInt(exp, 10)
}

// near reports whether two numbers are at most tolerance apart, exactly. Numbers of
// more than maxDigits, as digits or as exponent, are near to none.
func near(a, b string, tolerance float64) bool {
	// The bound as it was written: 0.01, and not the float64 beside it.
	var bound, x, y big.Rat
	for text, to := range map[string]*big.Rat{a: &x, b: &y, strconv.FormatFloat(tolerance, 'e', -1, 64): &bound} {
		n := normalNumber(text)
		_, exponent, _ := strings.Cut(n, "e")
		if exp, err := strconv.Atoi("0" + strings.TrimPrefix(exponent, "-")); err != nil || exp > maxDigits || len(n) > maxDigits {
			return false
		}
		if _, ok := to.SetString(n); !ok {
			return false
		}
	}
	x.Sub(&x, &y)
	return x.Abs(&x).Cmp(&bound) <= 0
}
