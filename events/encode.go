package events

import (
	"fmt"
	"strconv"
	"time"
)

// ContentType is the media type of an encoded event.
const ContentType = "application/cloudevents+json"

// Encode writes e as structured CloudEvents JSON, always the same bytes for the
// same event. It fails with [ErrMalformed] for what [Event.Validate] refuses
// and for an event beyond [MaxSize].
func Encode(e Event) ([]byte, error) {
	return encode(nil, &e)
}

// AppendEncode is Encode onto dst, for callers that keep a buffer. On error dst is
// returned as it was.
func AppendEncode(dst []byte, e Event) ([]byte, error) {
	return encode(dst, &e)
}

func encode(dst []byte, e *Event) ([]byte, error) {
	plain := e.isPlain()
	if err := e.validate(plain); err != nil {
		return dst, fmt.Errorf("events: encode %s: %w", shorten(e.ID), err)
	}
	b := dst
	if b == nil {
		b = make([]byte, 0, e.sizeHint())
	}
	b = e.append(b, plain)
	if size := len(b) - len(dst); size > MaxSize {
		return dst, fmt.Errorf("events: encode %s: %w",
			shorten(e.ID), malformed("data", "the event has %d bytes, at most %d are allowed", size, MaxSize))
	}
	return b, nil
}

// envelopeSize is the size of the names and the punctuation of a whole event, its
// time, and a version below ten.
const envelopeSize = len(`{"specversion":"1.0","id":"","source":"","type":"","dataversion":1,"subject":"",` +
	`"time":"2006-01-02T15:04:05.999999999Z","partitionkey":"","sequence":"","traceparent":"","correlationid":"",` +
	`"causationid":"","datacontenttype":"application/json","data":}`)

// sizeHint is exact for a whole event that needs no escapes.
func (e *Event) sizeHint() int {
	return envelopeSize + len(e.ID) + len(e.Source) + len(e.Type) + len(e.Subject) + len(e.PartitionKey) +
		len(e.Sequence) + len(e.TraceParent) + len(e.CorrelationID) + len(e.CausationID) + len(e.Data)
}

// append leaves empty attributes out: CloudEvents has no empty attributes.
func (e *Event) append(b []byte, plain bool) []byte {
	b = append(b, `{"specversion":"1.0","id":"`...)
	b = appendText(b, e.ID, plain)
	b = append(b, `","source":"`...)
	b = appendText(b, e.Source, plain)
	b = append(b, `","type":"`...)
	b = appendText(b, e.Type, plain)
	b = append(b, `","dataversion":`...)
	b = strconv.AppendInt(b, int64(e.Version), 10)
	if e.Subject != "" {
		b = append(b, `,"subject":"`...)
		b = appendText(b, e.Subject, plain)
		b = append(b, '"')
	}
	b = append(b, `,"time":"`...)
	b = appendTime(b, e.Time)
	b = append(b, `","partitionkey":"`...)
	b = appendText(b, e.PartitionKey, plain)
	b = append(b, `","sequence":"`...)
	b = appendText(b, e.Sequence, plain)
	if e.TraceParent != "" {
		b = append(b, `","traceparent":"`...)
		b = appendText(b, e.TraceParent, plain)
	}
	if e.CorrelationID != "" {
		b = append(b, `","correlationid":"`...)
		b = appendText(b, e.CorrelationID, plain)
	}
	if e.CausationID != "" {
		b = append(b, `","causationid":"`...)
		b = appendText(b, e.CausationID, plain)
	}
	b = append(b, '"')
	if e.Chain > 0 {
		b = append(b, `,"callchain":`...)
		b = strconv.AppendInt(b, int64(e.Chain), 10)
	}
	if e.Debug {
		b = append(b, `,"debuglog":true`...)
	}
	b = append(b, `,"datacontenttype":"application/json","data":`...)
	b = append(b, e.Data...)
	return append(b, '}')
}

// appendText needs valid UTF-8 without control characters, which validate
// guarantees.
func appendText(b []byte, s string, plain bool) []byte {
	if plain {
		return append(b, s...)
	}
	return appendEscaped(b, s)
}

func appendEscaped(b []byte, s string) []byte {
	start := 0
	for i := range len(s) {
		if c := s[i]; c == '"' || c == '\\' {
			b = append(b, s[start:i]...)
			b = append(b, '\\', c)
			start = i + 1
		}
	}
	return append(b, s[start:]...)
}

// appendTime writes t in UTC as time.RFC3339Nano does, for the years that
// validate accepts.
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = appendTwo(b, year/100)
	b = appendTwo(b, year%100)
	b = append(b, '-')
	b = appendTwo(b, int(month))
	b = append(b, '-')
	b = appendTwo(b, day)
	b = append(b, 'T')
	b = appendTwo(b, hour)
	b = append(b, ':')
	b = appendTwo(b, minute)
	b = append(b, ':')
	b = appendTwo(b, second)
	if nanos := t.Nanosecond(); nanos != 0 {
		b = appendFraction(b, nanos)
	}
	return append(b, 'Z')
}

func appendTwo(b []byte, n int) []byte {
	return append(b, byte('0'+n/10), byte('0'+n%10))
}

// appendFraction leaves the zeros at the end out.
func appendFraction(b []byte, nanos int) []byte {
	digits := 9
	for nanos%10 == 0 {
		nanos /= 10
		digits--
	}
	b = append(b, ".000000000"[:1+digits]...)
	for i := len(b) - 1; nanos > 0; i-- {
		b[i] = byte('0' + nanos%10)
		nanos /= 10
	}
	return b
}
