package attribute

import (
	"strconv"
	"strings"
)

// The limits of a number, by the developer guide: 38 significant digits, magnitudes from 1E-130
// to 9.99...E+125.
const (
	maxDigits   = 38
	maxExponent = 125
	minExponent = -130
)

// The service's messages about numbers.
const (
	errTooPrecise = ValidationError("Attempting to store more than 38 significant digits in a Number")
	errOverflow   = ValidationError("Number overflow. Attempting to store a number with magnitude larger than supported range")
	errUnderflow  = ValidationError("Number underflow. Attempting to store a number with magnitude smaller than supported range")
)

// decimal is ±0.digits × 10^point; digits have no zero at either end, and zero has none at all.
type decimal struct {
	negative bool
	digits   string
	point    int
}

// Number makes a value of type N, normalised: without exponent, leading or trailing zeros.
func Number(text string) (Value, error) {
	if plainInteger(text) {
		return number(text), nil
	}
	d, err := parseDecimal(text)
	if err != nil {
		return Value{}, err
	}
	return number(d.text()), nil
}

// plainInteger recognises the common case, a number that is normal as it stands.
func plainInteger(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	if digits == "0" {
		return text == "0"
	}
	if len(digits) == 0 || len(digits) > maxDigits || digits[0] == '0' {
		return false
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return false
		}
	}
	return true
}

func parseDecimal(text string) (decimal, error) {
	bad := ValidationError("The parameter cannot be converted to a numeric value: " + text)
	if text == "" {
		return decimal{}, ValidationError("The parameter cannot be converted to a numeric value")
	}
	var d decimal
	rest := text
	if rest[0] == '-' || rest[0] == '+' {
		d.negative, rest = rest[0] == '-', rest[1:]
	}
	mantissa, exponent := rest, 0
	if i := strings.IndexAny(rest, "eE"); i >= 0 {
		n, err := strconv.Atoi(rest[i+1:])
		if err != nil || n > 1<<20 || n < -1<<20 {
			return decimal{}, bad
		}
		mantissa, exponent = rest[:i], n
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	if whole+fraction == "" || !allDigits(whole) || !allDigits(fraction) {
		return decimal{}, bad
	}
	d.digits, d.point = whole+fraction, len(whole)+exponent
	return d.normal()
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// normal trims the zeros and checks the limits.
func (d decimal) normal() (decimal, error) {
	trimmed := strings.TrimLeft(d.digits, "0")
	d.point -= len(d.digits) - len(trimmed)
	d.digits = strings.TrimRight(trimmed, "0")
	switch {
	case d.digits == "":
		return decimal{}, nil
	case d.point-1 > maxExponent:
		return decimal{}, errOverflow
	case d.point-1 < minExponent:
		return decimal{}, errUnderflow
	case len(d.digits) > maxDigits:
		return decimal{}, errTooPrecise
	}
	return d, nil
}

func (d decimal) text() string {
	if d.digits == "" {
		return "0"
	}
	var b strings.Builder
	if d.negative {
		b.WriteByte('-')
	}
	switch {
	case d.point <= 0:
		b.WriteString("0.")
		b.WriteString(strings.Repeat("0", -d.point))
		b.WriteString(d.digits)
	case d.point >= len(d.digits):
		b.WriteString(d.digits)
		b.WriteString(strings.Repeat("0", d.point-len(d.digits)))
	default:
		b.WriteString(d.digits[:d.point])
		b.WriteByte('.')
		b.WriteString(d.digits[d.point:])
	}
	return b.String()
}

// compareNumbers orders two normalised numbers by value.
func compareNumbers(a, b string) int {
	negA, negB := a[0] == '-', b[0] == '-'
	switch {
	case negA && !negB:
		return -1
	case negB && !negA:
		return 1
	case negA:
		return compareMagnitudes(b[1:], a[1:])
	}
	return compareMagnitudes(a, b)
}

func compareMagnitudes(a, b string) int {
	wholeA, fractionA, _ := strings.Cut(a, ".")
	wholeB, fractionB, _ := strings.Cut(b, ".")
	if len(wholeA) != len(wholeB) {
		return len(wholeA) - len(wholeB)
	}
	if c := strings.Compare(wholeA, wholeB); c != 0 {
		return c
	}
	return strings.Compare(fractionA, fractionB)
}

// Add returns the sum of two whole numbers of at most 18 characters; of others it is not
// implemented.
func Add(a, b Value) (Value, error) {
	x, errX := strconv.ParseInt(a.text, 10, 64)
	y, errY := strconv.ParseInt(b.text, 10, 64)
	if errX != nil || errY != nil || max(len(a.text), len(b.text)) > 18 {
		return Value{}, ValidationError("not implemented by the sandbox: sums but of whole numbers of at most 18 characters")
	}
	return number(strconv.FormatInt(x+y, 10)), nil
}
