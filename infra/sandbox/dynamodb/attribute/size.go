package attribute

import "strings"

// Size is the item's size in bytes by the rules of the developer guide ("Item sizes and formats"):
// names and strings by their UTF-8, numbers by half their significant digits, one byte for BOOL and
// NULL, three for a list or map and one for each of its elements.
func (it Item) Size() int {
	n := 0
	for i := range it {
		n += len(it[i].Name) + it[i].Value.Size()
	}
	return n
}

// Size is the value's size in bytes, without a name.
func (v Value) Size() int {
	switch v.kind {
	case S, B:
		return len(v.text)
	case N:
		return numberSize(v.text)
	case BOOL, NULL:
		return 1
	case M:
		return 3 + len(v.Map()) + v.Map().Size()
	case L:
		n := 3 + len(v.List())
		for _, e := range v.List() {
			n += e.Size()
		}
		return n
	}
	return 0
}

// numberSize counts a byte for two significant digits (pairs start at the decimal point), one
// more for the exponent and one more for a sign.
func numberSize(text string) int {
	digits := strings.TrimPrefix(text, "-")
	n := 1
	if len(digits) != len(text) {
		n++
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	if whole == "0" {
		whole = ""
	}
	if fraction == "" {
		whole = trimPairs(whole)
	}
	lead := len(fraction) - len(strings.TrimLeft(fraction, "0"))
	if whole == "" {
		fraction = fraction[lead/2*2:]
	}
	return n + (len(whole)+1)/2 + (len(fraction)+1)/2
}

// trimPairs drops the pairs of zeros at the end of a whole number.
func trimPairs(whole string) string {
	for strings.HasSuffix(whole, "00") {
		whole = whole[:len(whole)-2]
	}
	return whole
}
