package ship

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/infra/opensearch"
	"github.com/banyan-fig/banyan/infra/ops/logs/internal/line"
)

// document is what is indexed. Its members are those of opensearch.Template.
type document struct {
	Timestamp string         `json:"@timestamp"`
	Message   string         `json:"message"`
	Log       place          `json:"log"`
	Account   string         `json:"account,omitempty"`
	Function  string         `json:"function,omitempty"`
	Known     known          `json:"-"`
	Platform  *line.Platform `json:"platform,omitempty"`
	Fields    map[string]any `json:"fields,omitempty"`
	Truncated bool           `json:"truncated,omitempty"`
	Stripped  string         `json:"stripped,omitempty"`
}

type place struct {
	ID     string `json:"id"`
	Group  string `json:"group"`
	Stream string `json:"stream"`
	Offset string `json:"offset"`
}

// known are the members of a structured line that every index has a field for.
type known map[string]string

// aliases are the names under which loggers write them; the first that is there
// counts.
var aliases = []struct {
	field string
	names []string
}{
	{"level", []string{"level", "severity", "log_level", "levelname"}},
	{"msg", []string{"msg", "message"}},
	{"error", []string{"error", "err", "errorMessage"}},
	{"request_id", []string{"request_id", "requestId", "AWSRequestId", "function_request_id", "aws_request_id"}},
	{"correlation_id", []string{"correlation_id", "correlationId", "correlationid", "x-correlation-id"}},
	{"causation_id", []string{"causation_id", "causationId", "causationid"}},
	{"traceparent", []string{"traceparent"}},
	{"trace_id", []string{"trace_id", "traceId", "xray_trace_id"}},
	{"event_id", []string{"event_id", "eventId"}},
	{"event_type", []string{"event_type", "eventType"}},
}

// liftKnown takes them out of the fields.
func liftKnown(fields map[string]any) known {
	k := known{}
	for _, a := range aliases {
		for _, name := range a.names {
			if text := scalarText(fields[name]); text != "" {
				k[a.field] = text
				delete(fields, name) // not twice
				break
			}
		}
	}
	return k
}

// scalarText is a scalar as a text, "" for anything else.
func scalarText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

// entry is one event on its way.
type entry struct {
	record   int // index in the batch
	sequence string
	log      line.Record // without events
	event    line.Event
	item     opensearch.Item
	platform *line.Platform
	plain    document // without what the line holds
	fields   bool     // it has some that it could go without
	cut      bool
	state    state
}

// state is what became of an entry.
type state int

const (
	pending state = iota
	created
	doubled
	refused // a dead letter, kept or to be kept
)

// origin is where an entry comes from.
type origin struct {
	record   int
	sequence string
	arrived  time.Time
	log      line.Record
}

// entry makes a document of the nth event of a record.
func (s *Shipper) entry(o origin, n int, e line.Event) *entry {
	x := &entry{record: o.record, sequence: o.sequence, log: o.log, event: e}
	d := s.document(o, n, e)
	x.plain = d
	if p, ok := line.ParsePlatform(e.Message); ok && d.Function != "" {
		x.platform, d.Platform = &p, &p
		d.Known = liftKnown(map[string]any{"request_id": p.RequestID, "trace_id": p.TraceID})
	} else if fields, truncated, ok := line.Parse(e.Message, s.limits); ok || truncated {
		d.Fields, d.Truncated, d.Known = fields, truncated, liftKnown(fields)
	}
	x.fields, x.cut = len(d.Fields) > 0 || len(d.Known) > 0 || d.Platform != nil, d.Truncated
	x.item = opensearch.Item{Index: s.index(o, e), ID: id(o.log, e)}
	x.render(d)
	return x
}

func (s *Shipper) document(o origin, n int, e line.Event) document {
	return document{
		Timestamp: timeOf(e).Format(milliseconds), Message: e.Message, Account: o.log.Owner,
		Function: line.Function(o.log.LogGroup, o.log.LogStream),
		Log:      place{ID: e.ID, Group: o.log.LogGroup, Stream: o.log.LogStream, Offset: offset(o.sequence, n)},
	}
}

// milliseconds is a form that also sorts as a text.
const milliseconds = "2006-01-02T15:04:05.000Z"

// timeOf is the event's time; what no calendar has becomes 1970, in an index of
// its own.
func timeOf(e line.Event) time.Time {
	if e.Timestamp < 0 || e.Timestamp > lastMillisecond {
		return time.UnixMilli(0).UTC()
	}
	return time.UnixMilli(e.Timestamp).UTC()
}

// lastMillisecond is that of the year 9999.
const lastMillisecond = 253402300799999

// strip takes away all but the line.
func (x *entry) strip(why string) {
	x.fields = false
	d := x.plain
	d.Truncated, d.Stripped = true, line.Cut(why, 500)
	x.render(d)
}

// render cannot fail: all in a document is text, finite numbers, and what was
// read as JSON.
func (x *entry) render(d document) {
	text, err := json.Marshal(d)
	if err == nil && len(d.Known) > 0 {
		var more []byte
		if more, err = json.Marshal(d.Known); err == nil {
			text = append(append(text[:len(text)-1], ','), more[1:]...)
		}
	}
	if err != nil {
		panic(fmt.Sprintf("log-shipper: document of event %s: %v", x.event.ID, err))
	}
	x.item.Body = text
}

// offset sorts as a text in the order of the stream.
func offset(sequence string, n int) string {
	return fmt.Sprintf("%s%s.%06d", strings.Repeat("0", max(0, maxSequence-len(sequence))), sequence, n)
}

// id is the same whenever the event comes. Only inside its log stream is an
// event's own id said to be unique.
func id(r line.Record, e line.Event) string {
	sum := sha256.Sum256([]byte(r.Owner + "\x00" + r.LogGroup + "\x00" + r.LogStream))
	return e.ID + "-" + hex.EncodeToString(sum[:8])
}

// Events that CloudWatch Logs takes are at most 14 days old and 2 hours ahead.
const (
	mostPast   = 16 * 24 * time.Hour
	mostFuture = 24 * time.Hour
)

// index is that of the event's own day, not of today: a document that comes again
// after midnight must find itself. What cannot be a time has an index of its own.
func (s *Shipper) index(o origin, e line.Event) string {
	at := timeOf(e)
	if age := o.arrived.Sub(at); age > mostPast || age < -mostFuture {
		return s.cfg.Index + "-undated"
	}
	return s.cfg.Index + "-" + at.Format("2006.01.02")
}
