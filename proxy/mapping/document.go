package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// kind is what a value is.
type kind uint8

const (
	absent kind = iota
	null
	boolean
	number
	text
	list
	object
)

var kindNames = [...]string{"nothing", "null", "a boolean", "a number", "a text", "a list", "an object"}

func (k kind) String() string { return kindNames[k] }

// A document is JSON with an index of its values, so that any of them can be copied as it
// came: with the digits of its numbers and the order of its members.
type document struct {
	raw   []byte
	nodes []node
}

// node is one value, or the name of a member, which stands before the member's value.
type node struct {
	start, end int32 // in raw; of a text with its quotes
	next       int32 // the index of the first node that is not inside this one
	kind       kind
	escaped    bool // a text with a backslash in it
}

var errTooDeep = errors.New("the JSON is nested too deeply")

// parse indexes raw, which must not change afterwards. It accepts what RFC 8259 does.
func parse(raw []byte, maxDepth int) (*document, error) {
	p := parser{raw: raw, depth: maxDepth, nodes: make([]node, 0, len(raw)/8+4)}
	p.space()
	if err := p.value(0); err != nil {
		return nil, err
	}
	if p.space(); p.at < len(raw) {
		return nil, p.unexpected("after the value")
	}
	return &document{raw, p.nodes}, nil
}

type parser struct {
	raw   []byte
	at    int
	depth int
	nodes []node
}

func (p *parser) unexpected(where string) error {
	if p.at >= len(p.raw) {
		return errors.New("unexpected end " + where)
	}
	return fmt.Errorf("unexpected %q %s, at byte %d", p.raw[p.at], where, p.at)
}

func (p *parser) space() {
	for p.at < len(p.raw) && (p.raw[p.at] == ' ' || p.raw[p.at] == '\n' || p.raw[p.at] == '\r' || p.raw[p.at] == '\t') {
		p.at++
	}
}

// is consumes c, if it is next.
func (p *parser) is(c byte) bool {
	if p.at < len(p.raw) && p.raw[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *parser) value(depth int) error {
	i := len(p.nodes)
	n := node{start: int32(p.at)}
	p.nodes = append(p.nodes, n)
	var err error
	switch {
	case p.at >= len(p.raw):
		err = p.unexpected("where a value begins")
	case p.raw[p.at] == '{':
		n.kind = object
		err = p.inside(depth, '}', true)
	case p.raw[p.at] == '[':
		n.kind = list
		err = p.inside(depth, ']', false)
	case p.raw[p.at] == '"':
		n.kind = text
		n.escaped, err = p.text()
	case p.word("null"):
		n.kind = null
	case p.word("true"), p.word("false"):
		n.kind = boolean
	default:
		n.kind = number
		size := numberLength(p.raw[p.at:])
		if size == 0 {
			err = p.unexpected("where a value begins")
		}
		p.at += size
	}
	n.end, n.next = int32(p.at), int32(len(p.nodes))
	p.nodes[i] = n
	return err
}

func (p *parser) word(w string) bool {
	if end := p.at + len(w); end <= len(p.raw) && string(p.raw[p.at:end]) == w {
		p.at = end
		return true
	}
	return false
}

// inside reads the members of an object or the elements of a list.
func (p *parser) inside(depth int, end byte, named bool) error {
	if depth >= p.depth {
		return errTooDeep
	}
	p.at++
	if p.space(); p.is(end) {
		return nil
	}
	for {
		if named {
			if err := p.name(); err != nil {
				return err
			}
		}
		if err := p.value(depth + 1); err != nil {
			return err
		}
		if p.space(); p.is(end) {
			return nil
		}
		if !p.is(',') {
			return p.unexpected("in a list or an object")
		}
		p.space()
	}
}

func (p *parser) name() error {
	if p.at >= len(p.raw) || p.raw[p.at] != '"' {
		return p.unexpected("where a member's name begins")
	}
	n := node{start: int32(p.at), kind: text, next: int32(len(p.nodes) + 1)}
	var err error
	if n.escaped, err = p.text(); err != nil {
		return err
	}
	n.end = int32(p.at)
	p.nodes = append(p.nodes, n)
	if p.space(); !p.is(':') {
		return p.unexpected("after a member's name")
	}
	p.space()
	return nil
}

// text reads a text with its quotes.
func (p *parser) text() (escaped bool, err error) {
	for p.at++; p.at < len(p.raw); p.at++ {
		switch c := p.raw[p.at]; {
		case c == '"':
			p.at++
			return escaped, nil
		case c < ' ':
			return false, p.unexpected("in a text")
		case c == '\\':
			escaped = true
			if p.at++; p.at >= len(p.raw) {
				return false, p.unexpected("in a text")
			}
			switch p.raw[p.at] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for range 4 {
					if p.at++; p.at >= len(p.raw) || !isHex(p.raw[p.at]) {
						return false, p.unexpected("in a text")
					}
				}
			default:
				return false, p.unexpected("in a text")
			}
		}
	}
	return false, p.unexpected("in a text")
}

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// numberLength says how many bytes of b are a JSON number; 0 if it begins with none.
func numberLength[T []byte | string](b T) int {
	i := 0
	digits := func() bool {
		from := i
		for i < len(b) && isDigit(b[i]) {
			i++
		}
		return i > from
	}
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if !digits() {
		return 0
	}
	if i < len(b) && b[i] == '.' {
		if i++; !digits() {
			return 0
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return 0
		}
	}
	return i
}

// at is the value of a node.
func (d *document) at(i int) value {
	n := d.nodes[i]
	return value{kind: n.kind, doc: d, node: int32(i), yes: d.raw[n.start] == 't'}
}

// member is the value of an object's member; of several with the name, the last one's. It
// adds to steps how many it looked at, as do element and count.
func (d *document) member(of int, name string, steps *int) value {
	found := -1
	for i := of + 1; i < int(d.nodes[of].next); i = int(d.nodes[i+1].next) {
		*steps++
		if d.isNamed(i, name) {
			found = i + 1
		}
	}
	if found < 0 {
		return value{}
	}
	return d.at(found)
}

func (d *document) isNamed(i int, name string) bool {
	if n := d.nodes[i]; !n.escaped {
		return string(d.raw[n.start+1:n.end-1]) == name
	}
	return d.textAt(i) == name
}

// element is the value at an index of a list; a negative one counts from the end.
func (d *document) element(of, index int, steps *int) value {
	if index < 0 {
		index += d.count(of, steps)
	}
	if index < 0 {
		return value{}
	}
	for i := of + 1; i < int(d.nodes[of].next); i = int(d.nodes[i].next) {
		*steps++
		if index == 0 {
			return d.at(i)
		}
		index--
	}
	return value{}
}

// count says how many elements or members there are.
func (d *document) count(of int, steps *int) int {
	count, named := 0, 0
	if d.nodes[of].kind == object {
		named = 1
	}
	for i := of + 1; i < int(d.nodes[of].next); i = int(d.nodes[i+named].next) {
		count++
	}
	*steps += count
	return count
}

// textAt decodes a text; of a number it returns the digits.
func (d *document) textAt(i int) string {
	n := d.nodes[i]
	switch {
	case n.kind == number:
		return string(d.raw[n.start:n.end])
	case !n.escaped:
		return string(d.raw[n.start+1 : n.end-1])
	}
	var s string
	_ = json.Unmarshal(d.raw[n.start:n.end], &s) // parse has checked it
	return s
}

// appendText writes a text as JSON. It escapes what must be, and nothing for HTML.
// What is not UTF-8 becomes U+FFFD.
func appendText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[from:i]...), "\uFFFD"...)
				from = i + 1
			}
			i += size
			continue
		}
		if i++; c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i-1]...)
		from = i
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, `\u00`...)
			dst = append(dst, strconv.FormatUint(uint64(c)|0x100, 16)[1:]...)
		}
	}
	return append(append(dst, s[from:]...), '"')
}
