package sidecar

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/correlation"
)

// carried are the extensions that events.Event has fields for.
var carried = []string{"partitionkey", "sequence", "dataversion", "traceparent", "correlationid", "causationid"}

// complete makes an event from what the SDK has parsed, sets missing attributes,
// and names the attributes that it dropped. ids are the headers of the request that
// correlate, see correlationOf.
func (h *Handler) complete(ce *event.Event, ids http.Header) (e events.Event, dropped []string, err error) {
	if ce.SpecVersion() != event.CloudEventsVersionV1 {
		return e, nil, malformed("specversion", "%.20q is not 1.0", ce.SpecVersion())
	}
	if err := checkContentType(ce.DataContentType()); err != nil {
		return e, nil, err
	}
	x := extensions{values: ce.Extensions()}
	e = events.Event{
		ID: ce.ID(), Source: ce.Source(), Type: ce.Type(), Subject: ce.Subject(), Time: ce.Time(), Data: ce.Data(),
		PartitionKey: x.text("partitionkey"), Sequence: x.text("sequence"), Version: x.version(),
	}
	x.correlate(&e, ids)
	if x.err != nil {
		return e, nil, x.err
	}
	if e.PartitionKey == "" {
		return e, nil, malformed("partitionkey", "required, and absent: it decides which events keep their order; "+
			"send the id of the acting user or entity, as the header ce-partitionkey or the member partitionkey")
	}
	if e.Time.IsZero() {
		e.Time = h.cfg.Now()
	}
	if e.Sequence == "" {
		e.Sequence = h.cfg.Clock.Next()
	}
	return e, x.uncarried(ce), nil
}

func checkContentType(contentType string) error {
	kind, _, _ := strings.Cut(contentType, ";")
	switch kind = strings.ToLower(strings.TrimSpace(kind)); {
	case contentType == "", kind == "application/json", kind == "text/json", strings.HasSuffix(kind, "+json"):
		return nil
	}
	return fmt.Errorf("%w: datacontenttype: %.80q is not JSON; only JSON is carried", errMediaType, contentType)
}

// extensions reads extension attributes, and keeps the first error.
type extensions struct {
	values map[string]any
	err    error
}

func (x *extensions) text(name string) string {
	value, ok := x.values[name]
	if !ok {
		return ""
	}
	text, err := types.Format(value)
	if err != nil && x.err == nil {
		x.err = malformed(name, "%.80s", err.Error())
	}
	return text
}

func (x *extensions) version() int {
	value, ok := x.values["dataversion"]
	if !ok {
		return 1
	}
	n, err := types.ToInteger(value)
	if err != nil && x.err == nil {
		x.err = malformed("dataversion", "%.40q is not a 32 bit number", fmt.Sprint(value))
	}
	return int(n)
}

// correlate sets the event's ids; those of the event take precedence over the request's.
func (x *extensions) correlate(e *events.Event, ids http.Header) {
	own := ids
	for extension, header := range map[string]string{
		"traceparent": correlation.HeaderTraceParent, "correlationid": correlation.HeaderCorrelation, "causationid": correlation.HeaderCausation,
	} {
		if text := x.text(extension); text != "" {
			if own = own.Clone(); own == nil {
				own = http.Header{}
			}
			own.Set(header, text)
		}
	}
	found := correlation.FromHeader(own)
	e.TraceParent, e.CorrelationID, e.CausationID = found.TraceParent, found.CorrelationID, found.CausationID
}

// uncarried names the attributes that events.Event has no field for.
func (x *extensions) uncarried(ce *event.Event) []string {
	var names []string
	for name := range x.values {
		if !slices.Contains(carried, name) {
			names = append(names, name)
		}
	}
	if ce.DataSchema() != "" {
		names = append(names, "dataschema")
	}
	slices.Sort(names)
	return names
}

// correlationOf returns the correlation headers, with a trace and a correlation id
// for all events of the request. The causation id stays unset where the request has
// none: it defaults to the correlation id, which an event may set itself.
func correlationOf(header http.Header) http.Header {
	found := correlation.FromHeader(header)
	ids := http.Header{}
	ids.Set(correlation.HeaderTraceParent, found.TraceParent)
	ids.Set(correlation.HeaderCorrelation, found.CorrelationID)
	if header.Get(correlation.HeaderCausation) != "" {
		ids.Set(correlation.HeaderCausation, found.CausationID)
	}
	return ids
}
