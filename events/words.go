package events

import "math/bits"

// Text is scanned eight bytes at a time, as one number in which each byte is
// marked by its own highest bit. What the arithmetic carries over
// from one byte to the next can only be wrong behind a byte that is found, never
// before it, so the first find is right.
// See https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord.
const (
	wordSize = 8
	ones     = 0x0101010101010101
	highs    = 0x8080808080808080
)

// word needs wordSize bytes behind i.
func word(s string, i int) uint64 {
	s = s[i : i+wordSize]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// isPlain reports whether s is printable ASCII without quotes and backslashes:
// valid in an attribute, and unchanged in JSON. So is the empty text.
func isPlain(s string) bool {
	n := len(s) - wordSize
	if n < 0 {
		return isPlainShort(s)
	}
	special := notPlain(word(s, n)) // overlaps the last whole word
	for i := 0; i < n; i += wordSize {
		special |= notPlain(word(s, i))
	}
	return special == 0
}

func isPlainShort(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// notPlain is zero when all bytes of w are plain.
func notPlain(w uint64) uint64 {
	return (w | (w + ones) | (w - ones*' ') | ((w ^ ones*'"') - ones) | ((w ^ ones*'\\') - ones)) & highs
}

// ordinary returns how many bytes at the start of s go on with a JSON string:
// neither quotes, nor backslashes, nor control characters.
func ordinary(s string) int {
	i := 0
	for i+2*wordSize <= len(s) && (mayEnd(word(s, i))|mayEnd(word(s, i+wordSize)))&highs == 0 {
		i += 2 * wordSize
	}
	for ; i+wordSize <= len(s); i += wordSize {
		if found := endsOrdinary(word(s, i)); found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			break
		}
	}
	return i
}

// mayEnd is cheap, and has no highest bit set when all bytes of w are ordinary
// and ASCII.
func mayEnd(w uint64) uint64 {
	return w | (w - ones*' ') | ((w ^ ones*'"') - ones) | ((w ^ ones*'\\') - ones)
}

// endsOrdinary has the highest bit of the first byte set that is not ordinary.
func endsOrdinary(w uint64) uint64 {
	quote, backslash := w^ones*'"', w^ones*'\\'
	return ((w-ones*' ')&^w | (quote-ones)&^quote | (backslash-ones)&^backslash) & highs
}

// allDigits is false for the empty text.
func allDigits(s string) bool {
	n := len(s) - wordSize
	if n < 0 {
		for i := range len(s) {
			if s[i] < '0' || s[i] > '9' {
				return false
			}
		}
		return len(s) > 0
	}
	other := notDigits(word(s, n))
	for i := 0; i < n; i += wordSize {
		other |= notDigits(word(s, i))
	}
	return other == 0
}

// notDigits is zero when all bytes of w are digits.
func notDigits(w uint64) uint64 {
	return (w | (w + ones*(0x7f-'9')) | (w - ones*'0')) & highs
}
