package events

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// scanner walks over JSON text (RFC 8259) without building anything. Nesting is
// bounded by MaxDepth, so that a short text cannot eat the stack.
type scanner struct {
	s string
	i int
}

// validJSON reports whether text is one JSON value in UTF-8, nested no deeper
// than an event's data may be.
func validJSON(text []byte) error {
	// The string lives no longer than this call, during which the bytes do not change.
	c := scanner{s: unsafe.String(unsafe.SliceData(text), len(text))}
	if !utf8.ValidString(c.s) {
		return errNotUTF8
	}
	c.skipSpace()
	if err := c.value(1); err != nil {
		return err
	}
	return c.expectEnd()
}

type syntaxError struct {
	at   int
	want string
}

func (e *syntaxError) Error() string {
	return fmt.Sprintf("not JSON: byte %d: want %s", e.at, e.want)
}

func (c *scanner) fail(want string) error { return &syntaxError{c.i, want} }

func (c *scanner) expectEnd() error {
	c.skipSpace()
	if c.i < len(c.s) {
		return c.fail("the end")
	}
	return nil
}

func (c *scanner) skipSpace() {
	for c.i < len(c.s) && c.s[c.i] <= ' ' && isSpace(c.s[c.i]) {
		c.i++
	}
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\n' || b == '\r' }

// peek returns 0 at the end, which is not a character of JSON.
func (c *scanner) peek() byte {
	if c.i < len(c.s) {
		return c.s[c.i]
	}
	return 0
}

func (c *scanner) accept(b byte) bool {
	if c.peek() != b || c.i >= len(c.s) {
		return false
	}
	c.i++
	return true
}

// value skips one value. depth is how many arrays and objects are around it.
func (c *scanner) value(depth int) error {
	switch b := c.peek(); {
	case b == '"':
		return c.skipString()
	case b == '{':
		return c.object(depth)
	case b == '[':
		return c.array(depth)
	case b == 't':
		return c.literal("true")
	case b == 'f':
		return c.literal("false")
	case b == 'n':
		return c.literal("null")
	default:
		return c.number()
	}
}

func (c *scanner) literal(w string) error {
	if len(c.s)-c.i < len(w) || c.s[c.i:c.i+len(w)] != w {
		return c.fail(w)
	}
	c.i += len(w)
	return nil
}

func (c *scanner) object(depth int) error {
	if depth >= MaxDepth {
		return errTooDeep
	}
	c.i++
	c.skipSpace()
	if c.accept('}') {
		return nil
	}
	for {
		if err := c.skipString(); err != nil {
			return err
		}
		if err := c.colon(); err != nil {
			return err
		}
		if err := c.value(depth + 1); err != nil {
			return err
		}
		if more, err := c.hasNext('}'); !more {
			return err
		}
	}
}

func (c *scanner) array(depth int) error {
	if depth >= MaxDepth {
		return errTooDeep
	}
	c.i++
	c.skipSpace()
	if c.accept(']') {
		return nil
	}
	for {
		if err := c.value(depth + 1); err != nil {
			return err
		}
		if more, err := c.hasNext(']'); !more {
			return err
		}
	}
}

// name reads a member's name up to and with the colon and what is blank after.
func (c *scanner) name() (text string, escaped bool, err error) {
	if text, escaped, err = c.rawString(); err != nil {
		return "", false, err
	}
	return text, escaped, c.colon()
}

func (c *scanner) colon() error {
	c.skipSpace()
	if !c.accept(':') {
		return c.fail("a colon")
	}
	c.skipSpace()
	return nil
}

// hasNext reads the comma before the next element, or the end.
func (c *scanner) hasNext(end byte) (bool, error) {
	c.skipSpace()
	switch {
	case c.accept(end):
		return false, nil
	case c.accept(','):
		c.skipSpace()
		return true, nil
	}
	return false, c.fail(fmt.Sprintf("a comma or %q", end))
}

// rawString reads a string and returns what is between its quotes, as written.
func (c *scanner) rawString() (text string, escaped bool, err error) {
	start := c.i + 1
	if err := c.skipString(); err != nil {
		return "", false, err
	}
	text = c.s[start : c.i-1]
	return text, strings.IndexByte(text, '\\') >= 0, nil
}

// skipString skips a string.
func (c *scanner) skipString() error {
	if !c.accept('"') {
		return c.fail("a string")
	}
	for {
		c.i += ordinary(c.s[c.i:])
		switch {
		case c.i == len(c.s):
			return c.fail("a closing quote")
		case c.s[c.i] == '"':
			c.i++
			return nil
		case c.s[c.i] == '\\':
			if err := c.escape(); err != nil {
				return err
			}
		default:
			return c.fail("no control character")
		}
	}
}

func (c *scanner) escape() error {
	c.i++
	switch c.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		c.i++
		return nil
	case 'u':
		c.i++
		for range 4 {
			if !isHex(c.peek()) {
				return c.fail("a hexadecimal digit")
			}
			c.i++
		}
		return nil
	}
	return c.fail("an escape")
}

func isHex(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F'
}

func (c *scanner) number() error {
	c.accept('-')
	if !c.accept('0') && !c.digits() {
		return c.fail("a value")
	}
	if c.accept('.') && !c.digits() {
		return c.fail("a digit")
	}
	if c.accept('e') || c.accept('E') {
		if !c.accept('+') {
			c.accept('-')
		}
		if !c.digits() {
			return c.fail("a digit")
		}
	}
	return nil
}

func (c *scanner) digits() bool {
	start := c.i
	for c.i < len(c.s) && c.s[c.i] >= '0' && c.s[c.i] <= '9' {
		c.i++
	}
	return c.i > start
}

// text reads a string and resolves its escapes.
func (c *scanner) text() (string, error) {
	start := c.i
	text, escaped, err := c.rawString()
	if err != nil || !escaped {
		return text, err
	}
	return unquote(c.s[start:c.i])
}

func unquote(quoted string) (string, error) {
	var s string
	err := json.Unmarshal([]byte(quoted), &s)
	return s, err
}
