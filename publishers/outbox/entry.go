package outbox

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
)

// origin is where an entry was found, with the defaults for what it lacks.
type origin struct {
	collection string
	document   bson.Raw // the documentKey
	outbox     bool     // the document is the entry
	at         bson.Timestamp
	wall       time.Time
	number     int // of the entry among those of that time
	source     string
	check      func(events.Event) error // nil: the envelope only
	ids        func() ids               // of the document, read only when needed
}

// entry is an event as it was found in the database.
type entry struct {
	raw   bson.RawValue // all of it
	id    bson.RawValue // how the database names it, zero when it has no name
	known string        // identifies the event to the relay
	when  string        // when it was made, in digits that compare as text
	key   string
	data  []byte // for the publisher
}

// errEntry is the reason for refusing an entry that is not an event.
var errEntry = errors.New("not an event")

func entryErrorf(why string, args ...any) error {
	return fmt.Errorf("%w: %w", errEntry, fmt.Errorf(why, args...))
}

// parseEntry reads an entry in any of the forms. On error, it returns the parts
// that could be read as well.
func parseEntry(raw bson.RawValue, o *origin) (entry, error) {
	e := entry{raw: raw}
	doc, ok := raw.DocumentOK()
	if !ok {
		return e, entryErrorf("it is %s, not a document", raw.Type)
	}
	if e.id = doc.Lookup("id"); absent(e.id) && o.outbox {
		e.id = doc.Lookup("_id")
	}
	ev, err := e.readEvent(doc, o)
	if err != nil {
		return e, err
	}
	if name, ok := idString(e.id); ok && name != ev.ID {
		return e, entryErrorf("its id %q is not the %q of its event", name, ev.ID)
	}
	e.known, e.key, e.when = ev.Source+"\x00"+ev.ID, ev.PartitionKey, ev.Sequence
	if absent(doc.Lookup("event")) && absent(doc.Lookup("sequence")) {
		e.when = fmt.Sprintf("%0*d", sequenceDigits, max(ev.Time.UnixNano(), 0)) // which a sequence is as well
	}
	return e, nil
}

// readEvent decodes the encoded event, or builds it from the fields.
func (e *entry) readEvent(doc bson.Raw, o *origin) (ev events.Event, err error) {
	v := doc.Lookup("event")
	if v.IsZero() {
		if ev, err = o.fromFields(doc, e.id); err != nil {
			return ev, err
		}
		e.data, err = events.Encode(ev)
	} else {
		if e.data, err = readEncoded(v); err != nil {
			return ev, err
		}
		ev, err = events.Decode(e.data)
	}
	if err == nil && o.check != nil {
		err = o.check(ev)
	}
	if err != nil {
		return ev, fmt.Errorf("%w: %w", errEntry, err)
	}
	return ev, nil
}

// readEncoded returns the bytes of an event, which other languages may write as text.
func readEncoded(v bson.RawValue) ([]byte, error) {
	if _, data, ok := v.BinaryOK(); ok {
		return data, nil
	}
	if s, ok := v.StringValueOK(); ok {
		return []byte(s), nil
	}
	return nil, entryErrorf("event is %s, neither bytes nor text", v.Type)
}

// idString writes an id as events do: a text as it is, an ObjectId in hex, a UUID
// in its usual form, a whole number in decimal.
func idString(v bson.RawValue) (string, bool) {
	switch v.Type {
	case bson.TypeString:
		return v.StringValueOK()
	case bson.TypeObjectID:
		id, ok := v.ObjectIDOK()
		return id.Hex(), ok
	case bson.TypeInt32, bson.TypeInt64:
		n, ok := v.AsInt64OK()
		return fmt.Sprint(n), ok
	case bson.TypeDouble: // which scripts count in
		f, ok := v.DoubleOK()
		return fmt.Sprintf("%.0f", f), ok && f == math.Trunc(f) && math.Abs(f) < 1<<53
	case bson.TypeBinary:
		_, data, ok := v.BinaryOK()
		id, err := uuid.FromBytes(data)
		return id.String(), ok && err == nil
	}
	return "", false
}
