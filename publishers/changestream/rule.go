package changestream

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/correlation"
	"github.com/banyan-fig/banyan/publishers/internal/bsonjson"
)

// A rule of a mapping file makes one event from each change that it matches.
type rule struct {
	on          []string
	when        []condition
	event       string
	version     int
	source      string
	subject     template
	key         template
	correlation [3]path // correlation id, causation id, trace context; nil where none
	missing     onMissing
	gone        onMissing
	data        []member
}

// onMissing is what to do with an event that lacks a field.
type onMissing string

const (
	refuse   onMissing = "refuse"  // the change becomes a dead letter
	skip     onMissing = "skip"    // there is no event, and that is counted
	omit     onMissing = "omit"    // the data has no such member
	null     onMissing = "null"    // the member is null
	constant onMissing = "default" // the member has the default
)

// member is one member of an event's data.
type member struct {
	name    []byte // as JSON
	path    path   // nil: always the constant
	as      form
	before  bool // from the document before the change
	missing onMissing
	value   []byte // the constant or the default, as JSON
}

var errMissing = errors.New("the document lacks a field that the event needs")

// document is what a rule reads: the document after the change, or, for a
// delete, the one before it. Where there is neither, it is only the key.
type document struct {
	c    *Change
	main bson.Raw
}

func newDocument(c *Change) *document {
	if c.Operation == "delete" {
		return &document{c, c.Before}
	}
	return &document{c, c.Full}
}

func (d *document) find(p path) (bson.RawValue, bool) {
	if v, ok := p.valueIn(d.main); ok {
		return v, true
	}
	return p.valueIn(d.c.Key)
}

// apply makes the rule's event from c. ok is false when the rule does not match c. The error is
// [ErrSkip] when the rule skips c; other errors refuse the change.
func (r *rule) apply(c *Change) (e events.Event, ok bool, err error) {
	if !slices.Contains(r.on, c.Operation) {
		return e, false, nil
	}
	d := newDocument(c)
	for _, w := range r.when {
		if holds, err := w.matches(d); err != nil || !holds {
			return e, false, err
		}
	}
	if lacksDocument(c) {
		return e, false, r.missingDocumentError()
	}
	e, err = r.build(d)
	return e, err == nil, err
}

// missingDocumentError is the outcome of a change whose document was deleted before it was looked up.
func (r *rule) missingDocumentError() error {
	if r.gone == refuse {
		return errors.New("the document was deleted before it could be looked up for the change; turn on post-images to keep it")
	}
	return fmt.Errorf("%w: the document is deleted; the change of its deletion follows", ErrSkip)
}

func (r *rule) build(d *document) (e events.Event, err error) {
	e = events.Event{Type: r.event, Version: r.version, Source: r.source}
	if e.Subject, err = r.subject.fill(d); err != nil {
		return e, r.skipOrRefuse(err)
	}
	if e.PartitionKey, err = r.key.fill(d); err != nil {
		return e, r.skipOrRefuse(err)
	}
	if e.Data, err = r.fillData(d); err != nil {
		return e, r.skipOrRefuse(err)
	}
	r.correlate(&e, d)
	return e, nil
}

func (r *rule) skipOrRefuse(err error) error {
	if r.missing == skip && errors.Is(err, errMissing) && !errors.Is(err, ErrSkip) {
		return fmt.Errorf("%w: %w", ErrSkip, err)
	}
	return err
}

func (r *rule) fillData(d *document) (json.RawMessage, error) {
	b := []byte{'{'}
	for i := range r.data {
		m := &r.data[i]
		value, err := m.fill(d)
		if err != nil {
			return nil, err
		}
		if value == nil {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(append(b, m.name...), ':'), value...)
	}
	return append(b, '}'), nil
}

// appendMember returns the member's value as JSON, nil to omit the member.
func (m *member) fill(d *document) ([]byte, error) {
	if m.path == nil {
		return m.value, nil
	}
	v, ok := bson.RawValue{}, false
	if m.before {
		v, ok = m.path.valueIn(d.c.Before)
	} else {
		v, ok = d.find(m.path)
	}
	if ok {
		b, err := m.as.appendValue(nil, v)
		if err != nil {
			return nil, fmt.Errorf("data %s from field %s: %w", m.name, m.path, err)
		}
		return b, nil
	}
	switch m.missing {
	case omit:
		return nil, nil
	case null:
		return []byte("null"), nil
	case constant:
		return m.value, nil
	case skip:
		return nil, fmt.Errorf("%w: %w: %s", ErrSkip, errMissing, m.path)
	}
	return nil, fmt.Errorf("%w: %s", errMissing, m.path)
}

// correlate copies the ids that the document carries. They come from outside, so
// invalid ones are dropped.
func (r *rule) correlate(e *events.Event, d *document) {
	given := http.Header{}
	for i, name := range []string{correlation.HeaderCorrelation, correlation.HeaderCausation, correlation.HeaderTraceParent} {
		if r.correlation[i] == nil {
			continue
		}
		if v, ok := d.find(r.correlation[i]); ok {
			if s, err := bsonjson.Text(v); err == nil {
				given[name] = []string{s}
			}
		}
	}
	if len(given) == 0 {
		return
	}
	parsed := correlation.FromHeader(given)
	if parsed.CorrelationID == given.Get(correlation.HeaderCorrelation) {
		e.CorrelationID = parsed.CorrelationID
	}
	if parsed.CausationID == given.Get(correlation.HeaderCausation) {
		e.CausationID = parsed.CausationID
	}
	// An invalid one was replaced by random ids, which equal nothing given.
	t, n := given.Get(correlation.HeaderTraceParent), len(parsed.TraceParent)
	if n > 2 && len(t) >= n && t[2:n] == parsed.TraceParent[2:] {
		e.TraceParent = parsed.TraceParent
	}
}
