package events

import (
	"errors"
	"fmt"
	"net/url"
	"unicode/utf8"
)

const (
	// MaxSize bounds an encoded event in bytes: the largest record of a Kinesis
	// stream whose limit was raised. Which limit a given stream has, its
	// publisher knows.
	MaxSize = 10 << 20
	// MaxDepth bounds how deep arrays and objects may nest in an encoded event.
	MaxDepth = 64
	// MaxPartitionKey is the Kinesis limit, in characters.
	MaxPartitionKey = 256

	maxVersion = 1<<31 - 1
)

// The years that RFC 3339 can write, in seconds since 1970.
const (
	year0     = -62167219200
	year10000 = 253402300800
)

// ErrMalformed is returned for bytes or values that are not an event. The error
// names the attribute.
var ErrMalformed = errors.New("malformed event")

func malformed(attribute, why string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrMalformed, attribute, fmt.Sprintf(why, args...))
}

// Validate reports whether e can be published: it returns nil or [ErrMalformed]
// with the name of the first attribute that is wrong.
func (e Event) Validate() error { return e.validate(e.isPlain()) }

// isPlain reports whether all attributes are, and those that must be there are:
// what nearly every event is, found out fast.
func (e *Event) isPlain() bool {
	return e.ID != "" && e.Source != "" && e.Type != "" && e.PartitionKey != "" &&
		isPlain(e.ID) && isPlain(e.Source) && isPlain(e.Type) && isPlain(e.Subject) && isPlain(e.PartitionKey) &&
		isPlain(e.Sequence) && isPlain(e.TraceParent) && isPlain(e.CorrelationID) && isPlain(e.CausationID)
}

func (e *Event) validate(plain bool) error {
	if err := e.validateAttributes(plain); err != nil {
		return err
	}
	if len(e.Data) == 0 {
		return malformed("data", "required, and absent")
	}
	if err := validJSON(e.Data); err != nil {
		return malformed("data", "%v", err)
	}
	return nil
}

// validateAttributes is Validate without the payload, for callers that have just parsed it.
func (e *Event) validateAttributes(plain bool) error {
	if !plain {
		if err := e.checkStrings(); err != nil {
			return err
		}
	}
	return e.checkForms()
}

func (e *Event) checkStrings() error {
	for _, a := range [...]struct {
		name, value string
		required    bool
	}{
		{"id", e.ID, true},
		{"source", e.Source, true},
		{"type", e.Type, true},
		{"subject", e.Subject, false},
		{"partitionkey", e.PartitionKey, true},
		{"sequence", e.Sequence, true},
		{"traceparent", e.TraceParent, false},
		{"correlationid", e.CorrelationID, false},
		{"causationid", e.CausationID, false},
	} {
		if err := checkString(a.name, a.value, a.required); err != nil {
			return err
		}
	}
	return nil
}

func (e *Event) checkForms() error {
	if !isURIReference(e.Source) {
		return malformed("source", "%q is not a URI-reference", shorten(e.Source))
	}
	if e.Version < 1 || e.Version > maxVersion {
		return malformed("dataversion", "%d is not a positive 32 bit number", e.Version)
	}
	if e.Chain < 0 || e.Chain > maxVersion {
		return malformed("callchain", "%d is not a 32 bit number from 0", e.Chain)
	}
	if n := len(e.PartitionKey); n > MaxPartitionKey && utf8.RuneCountInString(e.PartitionKey) > MaxPartitionKey {
		return malformed("partitionkey", "longer than %d characters", MaxPartitionKey)
	}
	if len(e.Sequence) != sequenceDigits || !allDigits(e.Sequence) {
		return malformed("sequence", "%q is not a number of %d digits", shorten(e.Sequence), sequenceDigits)
	}
	if e.Time.IsZero() {
		return malformed("time", "required, and absent")
	}
	if at := e.Time.Unix(); at < year0 || at >= year10000 {
		return malformed("time", "year %d cannot be written as RFC 3339", e.Time.UTC().Year())
	}
	return nil
}

// checkString keeps the rules of the CloudEvents type String: Unicode without
// control characters; an attribute that is there is not empty.
func checkString(name, s string, required bool) error {
	if s == "" {
		if required {
			return malformed(name, "required, and absent")
		}
		return nil
	}
	ascii := true
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == 0x7f {
			return malformed(name, "control character %#02x at byte %d", c, i)
		} else if c >= utf8.RuneSelf {
			ascii = false
		}
	}
	if !ascii {
		return checkUnicode(name, s)
	}
	return nil
}

func checkUnicode(name, s string) error {
	if !utf8.ValidString(s) {
		return malformed(name, "not UTF-8")
	}
	for i, r := range s {
		if r >= 0x80 && r <= 0x9f || r >= 0xfdd0 && r <= 0xfdef || r&0xfffe == 0xfffe {
			return malformed(name, "character %U at byte %d is not allowed", r, i)
		}
	}
	return nil
}

// isURIReference accepts the plain path that nearly every source is without
// asking the parser.
func isURIReference(s string) bool {
	for i := range len(s) {
		if !inPlainPath[s[i]] {
			_, err := url.Parse(s)
			return err == nil
		}
	}
	return true
}

var inPlainPath = func() (is [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-_.~") {
		is[c] = true
	}
	return is
}()
