package archive

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/aggregate"
)

// Record is one record of the stream, with the events in it.
type Record struct {
	Shard    string
	Sequence string
	// Arrived is when Kinesis accepted it, in milliseconds as Kinesis has it.
	Arrived time.Time
	// Events are those of an aggregate, or the one that the record is. Event number i is
	// at the position with Sub i.
	Events []Event
}

// Event is an event as it was on the stream. It need not be one: what cannot be decoded is
// archived, too.
type Event struct {
	Key string // its partition key
	Raw []byte
}

// Position is that of event number sub.
func (r Record) Position(sub int) events.Position {
	return events.Position{Sequence: r.Sequence, Sub: sub}
}

// NewRecord unpacks a record as the runtime of consumers does.
func NewRecord(shard string, r awsevents.KinesisRecord) Record {
	out := Record{Shard: shard, Sequence: r.SequenceNumber, Arrived: r.ApproximateArrivalTimestamp.UTC().Round(time.Millisecond)}
	for _, part := range consumers.SplitRecord(r) {
		out.Events = append(out.Events, Event{Key: part.PartitionKey, Raw: part.Data})
	}
	return out
}

// Data is what the record's data may have been: with the key of its first event it has the
// same events at the same positions.
func (r Record) Data() []byte {
	if len(r.Events) == 1 && !aggregate.IsAggregate(r.Events[0].Raw) {
		return r.Events[0].Raw
	}
	var b aggregate.Builder
	for _, e := range r.Events {
		b.Add(aggregate.Record{PartitionKey: e.Key, Data: e.Raw})
	}
	return b.Append(nil)
}

// line is an event in an object.
type line struct {
	Position string          `json:"position"`
	Arrived  time.Time       `json:"arrived"`
	Key      string          `json:"key"`
	Event    json.RawMessage `json:"event,omitempty"` // the bytes, where they are JSON in one line
	Data     []byte          `json:"data,omitempty"`  // otherwise
}

// appendLines appends the record's events, a line each. Their bytes are not touched.
func (r Record) appendLines(b []byte) []byte {
	for i, e := range r.Events {
		key, _ := json.Marshal(e.Key)
		b = fmt.Appendf(b, `{"position":"%v","arrived":"%s","key":%s,`, r.Position(i), r.Arrived.Format(time.RFC3339Nano), key)
		if bytes.IndexByte(e.Raw, '\n') < 0 && isJSONObject(e.Raw) {
			b = append(append(b, `"event":`...), e.Raw...)
		} else {
			b = append(append(b, `"data":"`...), base64.StdEncoding.EncodeToString(e.Raw)...)
			b = append(b, '"')
		}
		b = append(b, '}', '\n')
	}
	return b
}

// isJSONObject excludes white space around an object: reading would lose it.
func isJSONObject(b []byte) bool {
	return len(b) > 1 && b[0] == '{' && b[len(b)-1] == '}' && json.Valid(b)
}

var errLine = errors.New("not a line of an archive")

// parseLine reads what appendLines wrote.
func parseLine(text []byte) (p events.Position, l line, err error) {
	if err = json.Unmarshal(text, &l); err == nil {
		p, err = events.ParsePosition(l.Position)
	}
	if err == nil && (p.IsZero() || (l.Event == nil) == (l.Data == nil)) {
		err = errors.New("it has no position, or not one of event and data")
	}
	if err != nil {
		return p, l, fmt.Errorf("%w: %w", errLine, err)
	}
	if l.Event != nil {
		l.Data = l.Event
	}
	return p, l, nil
}

// pad makes the text order of sequence numbers their order.
func pad(sequence string) string {
	p, _, _ := strings.Cut(events.Position{Sequence: sequence}.String(), ".")
	return p
}
