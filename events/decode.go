package events

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"
)

var (
	errNotUTF8 = errors.New("not UTF-8")
	errTooDeep = fmt.Errorf("nested deeper than %d", MaxDepth)
)

// Decode reads one event in structured CloudEvents JSON, of any producer. It
// accepts at most [MaxSize] bytes and [MaxDepth] levels, demands every required
// attribute in its right form (see the package comment), and skips extensions
// that it does not know. It does not check whether a registry has the type:
// [Registry.Decode] does. Every error is [ErrMalformed] and names the attribute.
//
// The result shares nothing with b.
func Decode(b []byte) (Event, error) {
	e, err := decode(b)
	if err != nil {
		return Event{}, fmt.Errorf("events: decode %d bytes: %w", len(b), err)
	}
	return e, nil
}

func decode(b []byte) (Event, error) {
	if len(b) > MaxSize {
		return Event{}, malformed("event", "larger than %d bytes", MaxSize)
	}
	if !utf8.Valid(b) {
		return Event{}, malformed("event", "%v", errNotUTF8)
	}
	d := decoder{copy: bytes.Clone(b)}
	// None of the event's strings reaches into its Data, which may be changed.
	d.s = unsafe.String(unsafe.SliceData(d.copy), len(d.copy))
	if err := d.event(); err != nil {
		return Event{}, err
	}
	return d.e, d.e.validateAttributes(d.e.isPlain())
}

type decoder struct {
	scanner
	copy []byte // the memory of what is scanned
	e    Event
	seen uint32 // one bit for each attribute of the table below
}

func (d *decoder) event() error {
	d.skipSpace()
	if !d.accept('{') {
		return malformed("event", "%v", d.fail("an object"))
	}
	d.skipSpace()
	if !d.accept('}') {
		if err := d.members(); err != nil {
			return err
		}
	}
	if err := d.expectEnd(); err != nil {
		return malformed("event", "%v", err)
	}
	return d.checkPresence()
}

func (d *decoder) members() error {
	for {
		name, err := d.member()
		if err != nil {
			return malformed("event", "%v", err)
		}
		if err := d.attribute(name); err != nil {
			return err
		}
		if more, err := d.hasNext('}'); err != nil {
			return malformed("event", "%v", err)
		} else if !more {
			return nil
		}
	}
}

func (d *decoder) member() (string, error) {
	name, escaped, err := d.name()
	if err != nil || !escaped {
		return name, err
	}
	return unquote(`"` + name + `"`)
}

// The bits of the attributes that are not in a string of the event.
const (
	bitSpecVersion = iota
	bitTime
	bitVersion
	bitContentType
	bitData
	bitStrings // the first of those that are
)

func (d *decoder) attribute(name string) error {
	start := d.i
	var bit int
	var err error
	switch name {
	case "specversion":
		bit, err = bitSpecVersion, d.specVersion()
	case "time":
		bit, err = bitTime, d.time()
	case "dataversion":
		bit, err = bitVersion, d.version()
	case "callchain", "debuglog":
		bit, err = -1, d.hint(name)
	case "datacontenttype":
		bit, err = bitContentType, d.contentType()
	case "data":
		bit, err = bitData, d.data()
	case "data_base64":
		err = errors.New("binary data is not allowed, only JSON under data")
	default:
		bit, err = d.stringOrUnknown(name)
	}
	if err != nil {
		return malformed(shorten(name), "%v", err)
	}
	if bit < 0 || d.s[start:d.i] == "null" && bit != bitData {
		return nil // unknown, or the JSON format's way to say absent
	}
	if d.seen&(1<<bit) != 0 {
		return malformed(name, "given twice")
	}
	d.seen |= 1 << bit
	return nil
}

func (d *decoder) stringOrUnknown(name string) (bit int, err error) {
	field, n := d.field(name)
	if field == nil {
		return -1, d.value(1)
	}
	s, err := d.optionalText()
	if s != "" {
		*field = s
	}
	return bitStrings + n, err
}

func (d *decoder) field(name string) (*string, int) {
	switch name {
	case "id":
		return &d.e.ID, 0
	case "source":
		return &d.e.Source, 1
	case "type":
		return &d.e.Type, 2
	case "subject":
		return &d.e.Subject, 3
	case "partitionkey":
		return &d.e.PartitionKey, 4
	case "sequence":
		return &d.e.Sequence, 5
	case "traceparent":
		return &d.e.TraceParent, 6
	case "correlationid":
		return &d.e.CorrelationID, 7
	case "causationid":
		return &d.e.CausationID, 8
	}
	return nil, 0
}

// optionalText reads a string that is not empty, or null, which gives "".
func (d *decoder) optionalText() (string, error) {
	if d.peek() == 'n' {
		return "", d.literal("null")
	}
	s, err := d.text()
	if err == nil && s == "" {
		err = errors.New("empty")
	}
	return s, err
}

func (d *decoder) specVersion() error {
	s, err := d.optionalText()
	if err == nil && s != "1.0" && s != "" {
		err = fmt.Errorf("%q is not 1.0", shorten(s))
	}
	return err
}

func (d *decoder) time() error {
	s, err := d.optionalText()
	if err != nil || s == "" {
		return err
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return fmt.Errorf("%q is not an RFC 3339 time", shorten(s))
	}
	d.e.Time = t.UTC()
	return nil
}

// version accepts a text as well as a number: other languages' libraries write
// every extension as a string.
func (d *decoder) version() error {
	start := d.i
	s := ""
	switch d.peek() {
	case 'n':
		return d.literal("null")
	case '"':
		text, err := d.text()
		if err != nil {
			return err
		}
		s = text
	default:
		if err := d.number(); err != nil {
			return err
		}
		s = d.s[start:d.i]
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return fmt.Errorf("%q is not a 32 bit number", shorten(s))
	}
	d.e.Version = int(n)
	return nil
}

// hint reads what only helps: a value of another form, by a producer that means something else
// by the name, is skipped.
func (d *decoder) hint(name string) error {
	start := d.i
	if err := d.value(1); err != nil {
		return err
	}
	text := strings.Trim(d.s[start:d.i], `"`)
	if name == "debuglog" {
		d.e.Debug = text == "true"
	} else if n, err := strconv.ParseInt(text, 10, 32); err == nil && n >= 0 {
		d.e.Chain = int(n)
	}
	return nil
}

func (d *decoder) contentType() error {
	s, err := d.optionalText()
	if err != nil || s == "" {
		return err
	}
	media, _, _ := strings.Cut(s, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	if media != "application/json" && media != "text/json" && !strings.HasSuffix(media, "+json") {
		return fmt.Errorf("%q is not JSON", shorten(s))
	}
	return nil
}

func (d *decoder) data() error {
	start := d.i
	if err := d.value(1); err != nil {
		return err
	}
	d.e.Data = d.copy[start:d.i:d.i]
	return nil
}

// checkPresence checks what validateAttributes cannot see in an Event.
func (d *decoder) checkPresence() error {
	for _, required := range [...]struct {
		bit  int
		name string
	}{{bitSpecVersion, "specversion"}, {bitVersion, "dataversion"}, {bitData, "data"}} {
		if d.seen&(1<<required.bit) == 0 {
			return malformed(required.name, "required, and absent")
		}
	}
	return nil
}
