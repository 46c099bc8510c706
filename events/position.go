package events

import (
	"errors"
	"fmt"
	"strings"
)

const (
	positionDigits = 64 // Kinesis sequence numbers have 56
	subDigits      = 6
	positionLength = positionDigits + 1 + subDigits
)

// ErrPosition is returned for a text that is not a position.
var ErrPosition = errors.New("not a position")

// Position is where an event is on the stream. For one partition key, greater
// means later, also across a reshard: Kinesis gives the children of a split or
// a merge greater sequence numbers than their parents had. Positions of
// different partition keys say nothing about each other.
//
// The zero value is before every event.
type Position struct {
	// Sequence is the Kinesis sequence number, decimal.
	Sequence string
	// Sub is the index inside an aggregate, 0 for a record of its own; 999,999
	// at most.
	Sub int
}

// IsZero reports whether p is the position before every event.
func (p Position) IsZero() bool { return p.Sequence == "" }

// String is p in a form whose text order is the order of positions: the
// sequence number in 64 digits, a dot, the index in 6. It is empty for the zero
// value.
func (p Position) String() string {
	if p.IsZero() {
		return ""
	}
	var b [positionLength]byte
	buf := b[:0]
	for range positionDigits - len(p.Sequence) {
		buf = append(buf, '0')
	}
	buf = append(buf, p.Sequence...)
	buf = append(buf, '.')
	return string(appendPadded(buf, p.Sub, subDigits))
}

func appendPadded(b []byte, n, digits int) []byte {
	start := len(b)
	for range digits {
		b = append(b, '0')
	}
	for i := len(b) - 1; i >= start; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}

// ParsePosition reads what String wrote. The empty text is the zero value, and
// anything but the canonical form is [ErrPosition].
func ParsePosition(s string) (Position, error) {
	if s == "" {
		return Position{}, nil
	}
	if len(s) != positionLength || s[positionDigits] != '.' ||
		!allDigits(s[:positionDigits]) || !allDigits(s[positionDigits+1:]) {
		return Position{}, fmt.Errorf("events: read %q: %w: want %d digits, a dot and %d digits",
			shorten(s), ErrPosition, positionDigits, subDigits)
	}
	sub := 0
	for _, c := range []byte(s[positionDigits+1:]) {
		sub = sub*10 + int(c-'0')
	}
	return Position{Sequence: trimZeros(s[:positionDigits]), Sub: sub}, nil
}

// Before reports whether p is earlier than q.
func (p Position) Before(q Position) bool {
	if p.IsZero() || q.IsZero() {
		return p.IsZero() && !q.IsZero()
	}
	a, b := trimZeros(p.Sequence), trimZeros(q.Sequence)
	switch {
	case len(a) != len(b):
		return len(a) < len(b)
	case a != b:
		return a < b
	}
	return p.Sub < q.Sub
}

// trimZeros keeps one digit, so that the number 0 is not the zero value.
func trimZeros(digits string) string {
	trimmed := strings.TrimLeft(digits, "0")
	if trimmed == "" {
		return "0"
	}
	return trimmed
}

// shorten limits how much text from outside an error message contains.
func shorten(s string) string {
	const most = 80
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…" // not in the middle of a character
	}
	return s
}
