// Package wire reads JSON from a byte slice in place, one value at a time, without building
// a tree of generic values first. It exists because the sandbox answers thousands of requests a
// second, and nearly all of their bytes are attribute values that have a type of their own.
//
// It is stricter and smaller than encoding/json: it reads one document, refuses strings that are not
// UTF-8 instead of mending them, and knows nothing of reflection.
package wire

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// ErrSyntax is wrapped by every error about the JSON itself.
var ErrSyntax = errors.New("not well-formed JSON")

// MaxDepth bounds the nesting of arrays and objects, so that a hostile body cannot exhaust the stack.
const MaxDepth = 200

// Scanner walks over one JSON document. It is not safe for concurrent use; Reset makes it fit for
// the next document, and keeps its memory of member names.
type Scanner struct {
	data    []byte
	pos     int
	depth   int
	scratch []byte
	names   [256]string
}

// Reset makes the scanner start at the beginning of data, which it reads in place.
func (s *Scanner) Reset(data []byte) {
	s.data, s.pos, s.depth = data, 0, 0
}

// End reports an error unless only white space is left.
func (s *Scanner) End() error {
	s.space()
	if s.pos != len(s.data) {
		return s.fail("text after the end of the document")
	}
	return nil
}

// Peek returns the first byte of the next value, or 0 at the end.
func (s *Scanner) Peek() byte {
	s.space()
	if s.pos >= len(s.data) {
		return 0
	}
	return s.data[s.pos]
}

// Null consumes a null and reports true, or leaves another value where it is.
func (s *Scanner) Null() bool {
	if s.Peek() != 'n' {
		return false
	}
	return s.literal("null") == nil
}

// Object calls member for every member of an object; member must consume the value. A null counts
// as an object without members.
func (s *Scanner) Object(member func(name string) error) error {
	if s.Null() {
		return nil
	}
	return s.enclosed('{', '}', func() error {
		name, err := s.name()
		if err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		return member(name)
	})
}

// Array calls element for every element; element must consume it. A null counts as empty.
func (s *Scanner) Array(element func() error) error {
	if s.Null() {
		return nil
	}
	return s.enclosed('[', ']', element)
}

func (s *Scanner) enclosed(open, end byte, each func() error) error {
	if err := s.expect(open); err != nil {
		return err
	}
	if s.depth++; s.depth > MaxDepth {
		return s.fail("nested too deeply")
	}
	defer func() { s.depth-- }()
	if s.Peek() == end {
		s.pos++
		return nil
	}
	for {
		if err := each(); err != nil {
			return err
		}
		switch s.Peek() {
		case ',':
			s.pos++
		case end:
			s.pos++
			return nil
		default:
			return s.fail("expected a comma or " + string(end))
		}
	}
}

// String consumes a string and returns a copy of it.
func (s *Scanner) String() (string, error) {
	raw, err := s.Bytes()
	return string(raw), err
}

// Bytes consumes a string and returns its unescaped text, valid until the next call.
func (s *Scanner) Bytes() ([]byte, error) {
	raw, err := s.text()
	if err == nil && !utf8.Valid(raw) {
		err = s.fail("a string is not UTF-8")
	}
	return raw, err
}

// name consumes a string that is likely to come again, and returns one shared copy of it.
func (s *Scanner) name() (string, error) {
	raw, err := s.Bytes()
	if err != nil || len(raw) == 0 {
		return "", err
	}
	slot := &s.names[(uint(len(raw))*131+uint(raw[0])*31+uint(raw[len(raw)-1])*7+uint(raw[len(raw)/2]))&255]
	if *slot != string(raw) {
		*slot = string(raw)
	}
	return *slot, nil
}

// Bool consumes true or false.
func (s *Scanner) Bool() (bool, error) {
	if s.Peek() == 't' {
		return true, s.literal("true")
	}
	return false, s.literal("false")
}

// Int consumes a whole number.
func (s *Scanner) Int() (int64, error) {
	s.space()
	start := s.pos
	s.number()
	n, err := strconv.ParseInt(string(s.data[start:s.pos]), 10, 64)
	if err != nil {
		f, ferr := strconv.ParseFloat(string(s.data[start:s.pos]), 64)
		if ferr != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
			return 0, s.fail("expected a whole number")
		}
		n = int64(f)
	}
	return n, nil
}

// Skip consumes a value of any type.
func (s *Scanner) Skip() error {
	switch s.Peek() {
	case '{':
		return s.Object(func(string) error { return s.Skip() })
	case '[':
		return s.Array(s.Skip)
	case '"':
		_, err := s.Bytes()
		return err
	case 't', 'f':
		_, err := s.Bool()
		return err
	case 'n':
		return s.literal("null")
	}
	if !s.number() {
		return s.fail("expected a value")
	}
	return nil
}

func (s *Scanner) number() bool {
	start := s.pos
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c >= '0' && c <= '9', c == '-', c == '+', c == '.', c == 'e', c == 'E':
			s.pos++
		default:
			return s.pos > start
		}
	}
	return s.pos > start
}

func (s *Scanner) literal(word string) error {
	s.space()
	if len(s.data)-s.pos < len(word) || string(s.data[s.pos:s.pos+len(word)]) != word {
		return s.fail("expected " + word)
	}
	s.pos += len(word)
	return nil
}

func (s *Scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

func (s *Scanner) expect(c byte) error {
	if s.Peek() != c {
		return s.fail("expected " + string(c))
	}
	s.pos++
	return nil
}

func (s *Scanner) fail(why string) error {
	return fmt.Errorf("%w: %s at byte %d", ErrSyntax, why, s.pos)
}

// text consumes a string; the result points into the document unless it had escapes.
func (s *Scanner) text() ([]byte, error) {
	if err := s.expect('"'); err != nil {
		return nil, err
	}
	start := s.pos
	for i := start; i < len(s.data); i++ {
		switch c := s.data[i]; {
		case c == '"':
			s.pos = i + 1
			return s.data[start:i], nil
		case c == '\\':
			return s.escaped(start, i)
		case c < 0x20:
			s.pos = i
			return nil, s.fail("a control character in a string")
		}
	}
	s.pos = len(s.data)
	return nil, s.fail("a string without an end")
}

func (s *Scanner) escaped(start, i int) ([]byte, error) {
	out := append(s.scratch[:0], s.data[start:i]...)
	for i < len(s.data) {
		c := s.data[i]
		switch {
		case c == '"':
			s.pos, s.scratch = i+1, out
			return out, nil
		case c < 0x20:
			s.pos = i
			return nil, s.fail("a control character in a string")
		case c != '\\':
			out = append(out, c)
			i++
		default:
			var n int
			if out, n = unescape(out, s.data[i:]); n == 0 {
				s.pos = i
				return nil, s.fail("a bad escape in a string")
			}
			i += n
		}
	}
	s.pos = i
	return nil, s.fail("a string without an end")
}

const escapes = "\"\\/bfnrt"

var unescaped = [...]byte{'"', '\\', '/', '\b', '\f', '\n', '\r', '\t'}

// unescape appends what the escape at the start of in stands for, and returns its length (0: bad).
func unescape(out, in []byte) ([]byte, int) {
	if len(in) < 2 {
		return out, 0
	}
	for i := range escapes {
		if in[1] == escapes[i] {
			return append(out, unescaped[i]), 2
		}
	}
	r, ok := hex4(in)
	if !ok {
		return out, 0
	}
	if utf16.IsSurrogate(r) {
		if low, ok := hex4(in[6:]); ok {
			if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
				return utf8.AppendRune(out, both), 12
			}
		}
		r = utf8.RuneError
	}
	return utf8.AppendRune(out, r), 6
}

func hex4(in []byte) (rune, bool) {
	if len(in) < 6 || in[0] != '\\' || in[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(in[2:6]), 16, 32)
	return rune(n), err == nil
}
