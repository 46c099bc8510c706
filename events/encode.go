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
	return AppendEncode(make([]byte, 0, e.sizeHint()), e)
}

// AppendEncode is Encode onto dst, for who keeps a buffer. On error dst is
// returned as it was.
func AppendEncode(dst []byte, e Event) ([]byte, error) {
	if err := e.Validate(); err != nil {
		return dst, fmt.Errorf("events: encode %s: %w", shorten(e.ID), err)
	}
	b := e.append(dst)
	if size := len(b) - len(dst); size > MaxSize {
		return dst, fmt.Errorf("events: encode %s: %w",
			shorten(e.ID), malformed("data", "the event has %d bytes, at most %d are allowed", size, MaxSize))
	}
	return b, nil
}

// envelopeSize is about what the names and the punctuation take.
const envelopeSize = 288

func (e *Event) sizeHint() int {
	return envelopeSize + len(e.ID) + len(e.Source) + len(e.Type) + len(e.Subject) + len(e.PartitionKey) +
		len(e.Sequence) + len(e.TraceParent) + len(e.CorrelationID) + len(e.CausationID) + len(e.Data)
}

func (e *Event) append(b []byte) []byte {
	b = append(b, `{"specversion":"1.0"`...)
	b = appendMember(b, `,"id":`, e.ID)
	b = appendMember(b, `,"source":`, e.Source)
	b = appendMember(b, `,"type":`, e.Type)
	b = append(b, `,"dataversion":`...)
	b = strconv.AppendInt(b, int64(e.Version), 10)
	b = appendMember(b, `,"subject":`, e.Subject)
	b = append(b, `,"time":"`...)
	b = e.Time.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	b = appendMember(b, `,"partitionkey":`, e.PartitionKey)
	b = appendMember(b, `,"sequence":`, e.Sequence)
	b = appendMember(b, `,"traceparent":`, e.TraceParent)
	b = appendMember(b, `,"correlationid":`, e.CorrelationID)
	b = appendMember(b, `,"causationid":`, e.CausationID)
	b = append(b, `,"datacontenttype":"application/json","data":`...)
	b = append(b, e.Data...)
	return append(b, '}')
}

// appendMember leaves an empty attribute out: in CloudEvents there is no such.
func appendMember(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, name...)
	return appendString(b, value)
}

// appendString needs valid UTF-8 without control characters, which Validate
// has made sure of.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := range len(s) {
		if c := s[i]; c == '"' || c == '\\' {
			b = append(b, s[start:i]...)
			b = append(b, '\\', c)
			start = i + 1
		}
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}
