package filter

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// rule is one comparison with a leaf of a record: a string, json.Number, bool,
// nil, or absent{}.
type rule func(value any) bool

// compileRule reads an element of a leaf's array: a value to be equal to, or an
// object with one comparison.
func compileRule(value any) (rule, error) {
	object, isObject := value.(map[string]any)
	switch {
	case !isObject && !isScalar(value):
		return nil, errors.New("arrays in arrays are not rules")
	case !isObject: // numbers too by their text: 300 is not 3.0e2
		return func(v any) bool { return v == value }, nil
	case len(object) != 1:
		return nil, errors.New("a comparison is an object with one member")
	}
	for name, operand := range object {
		build, known := comparisons[name]
		if !known {
			return nil, fmt.Errorf("Lambda has no comparison %q", name)
		}
		r, err := build(operand)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return r, nil
	}
	panic("unreachable: the object has one member")
}

func isScalar(value any) bool {
	switch value.(type) {
	case nil, string, bool, json.Number:
		return true
	}
	return false
}

var comparisons = map[string]func(operand any) (rule, error){
	"prefix":             text(strings.HasPrefix),
	"suffix":             text(strings.HasSuffix),
	"equals-ignore-case": text(strings.EqualFold),
	"exists":             exists,
	"anything-but":       anythingBut,
	"numeric":            numeric,
}

func text(compare func(value, operand string) bool) func(any) (rule, error) {
	return func(operand any) (rule, error) {
		want, ok := operand.(string)
		if !ok {
			return nil, errors.New("the operand must be a string")
		}
		return func(v any) bool {
			s, isString := v.(string)
			return isString && compare(s, want)
		}, nil
	}
}

func exists(operand any) (rule, error) {
	want, ok := operand.(bool)
	if !ok {
		return nil, errors.New("the operand must be true or false")
	}
	return func(v any) bool { return (v != absent{}) == want }, nil
}

// anythingBut wants the field to be there.
func anythingBut(operand any) (rule, error) {
	unwanted, isArray := operand.([]any)
	if !isArray {
		unwanted = []any{operand}
	}
	for _, u := range unwanted {
		if !isScalar(u) {
			return nil, errors.New("the operand must be a value or an array of values")
		}
	}
	return func(v any) bool { return v != absent{} && !slices.Contains(unwanted, v) }, nil
}

// holds says what the sign of value minus bound has to be.
var holds = map[string]func(sign int) bool{
	"=":  func(sign int) bool { return sign == 0 },
	"<":  func(sign int) bool { return sign < 0 },
	"<=": func(sign int) bool { return sign <= 0 },
	">":  func(sign int) bool { return sign > 0 },
	">=": func(sign int) bool { return sign >= 0 },
}

// numeric takes one or two pairs of an operator and a number.
func numeric(operand any) (rule, error) {
	parts, _ := operand.([]any)
	if len(parts) != 2 && len(parts) != 4 {
		return nil, errors.New(`the operand must be an array such as [">", 0, "<=", 5]`)
	}
	var all []func(*big.Float) bool
	for ; len(parts) > 0; parts = parts[2:] {
		name, _ := parts[0].(string)
		compare, known := holds[name]
		bound, isNumber := float(parts[1])
		if !known || !isNumber {
			return nil, fmt.Errorf("%v %v is no operator with a number", parts[0], parts[1])
		}
		all = append(all, func(v *big.Float) bool { return compare(v.Cmp(bound)) })
	}
	return func(v any) bool {
		n, isNumber := float(v)
		return isNumber && !slices.ContainsFunc(all, func(holds func(*big.Float) bool) bool { return !holds(n) })
	}, nil
}

// precision tells all numbers apart that EventBridge compares: up to fifteen
// digits behind the point.
const precision = 128

func float(value any) (*big.Float, bool) {
	n, ok := value.(json.Number)
	if !ok || len(n) > 64 {
		return nil, false
	}
	f, _, err := big.ParseFloat(n.String(), 10, precision, big.ToNearestEven)
	return f, err == nil
}
