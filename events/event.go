package events

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/events/correlation"
)

// HeaderWritten names the header of the response to a write: the text form of
// the [Position] of the last event that the write published.
const HeaderWritten = "Banyan-Written"

// HeaderReadAfter names the header of a read: the text form of the [Position]
// that the read model must have applied for the subject before it may answer.
const HeaderReadAfter = "Banyan-Read-After"

// Event is one fact, a CloudEvent 1.0. It is a plain value: copying it is
// cheap, and nothing in this package changes one after it was made.
type Event struct {
	// ID is unique for each fact (a UUIDv7) and the same for each delivery of it.
	ID string
	// Source is the publisher, a URI-reference such as "/services/users".
	Source string
	// Type names the kind of fact, for instance "user.joined". See [Registry].
	Type string
	// Version is the version of the payload, from 1; extension "dataversion".
	Version int
	// Subject is the entity of the fact, such as "user/59b99db4cfa9a34dcd7885b6".
	Subject string
	// Time is when it happened by the clock of the source, in UTC.
	Time time.Time
	// PartitionKey selects the shard, and so decides which events are ordered
	// among themselves. 1 to 256 characters (the Kinesis limit).
	PartitionKey string
	// Sequence is a hybrid clock reading: nanoseconds since 1970 in 20 digits,
	// strictly growing within one process. It compares as text.
	Sequence string
	// TraceParent is the W3C trace context, empty when there is none.
	TraceParent string
	// CorrelationID is shared by all requests and events that one request caused.
	CorrelationID string
	// CausationID is the id of the event or request that caused this one.
	CausationID string
	// Chain is how many functions handled what led to this event, one after the other;
	// extension "callchain".
	Chain int
	// Debug makes whoever handles it log in detail; extension "debuglog".
	Debug bool
	// Data is the payload as JSON.
	Data json.RawMessage
}

// Factory makes events. The zero value uses the wall clock, the sequence of this
// process and random UUIDv7s; tests replace them. Safe for concurrent use
// if its parts are.
type Factory struct {
	Clock *Clock                 // nil: the clock that all events of this process share
	Now   func() time.Time       // nil: time.Now
	NewID func() (string, error) // nil: a UUIDv7
}

// New makes the event of payload p, with a new id, the present time, the next
// sequence, and the correlation that ctx carries. An event made outside of any
// correlation starts one: its correlation id is its own id.
//
// It fails when p cannot be written as JSON, gives no legal partition key, has a
// Validate method that refuses it, or one of its methods panics.
func New(ctx context.Context, source string, p Payload) (Event, error) {
	return Factory{}.New(ctx, source, p)
}

// New is like the function of the same name, with the parts of f.
func (f Factory) New(ctx context.Context, source string, p Payload) (Event, error) {
	f = f.withDefaults()
	e := Event{Source: source}
	if err := e.carry(p); err != nil {
		return Event{}, fmt.Errorf("events: make %s: %w", cmp.Or(e.Type, fmt.Sprintf("an event of %T", p)), err)
	}
	id, err := f.NewID()
	if err != nil {
		return Event{}, fmt.Errorf("events: make %s: make an id: %w", e.Type, err)
	}
	e.ID, e.Time, e.Sequence = id, f.Now().UTC().Round(0), f.Clock.Next()
	e.correlate(correlation.From(ctx))
	if err := e.Validate(); err != nil {
		return Event{}, fmt.Errorf("events: make %s: %w", e.Type, err)
	}
	return e, nil
}

// carry sets what the payload says. A method of one that is not filled in may panic: a
// pointer that its partition key follows is nil, say.
func (e *Event) carry(p Payload) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: data: a method of %T panicked: %v", ErrMalformed, p, r)
		}
	}()
	if p == nil {
		return fmt.Errorf("%w: data: the payload is nil", ErrMalformed)
	}
	e.Type, e.Version = p.EventType(), p.EventVersion()
	if err := validatePayload(p); err != nil {
		return fmt.Errorf("%w: data: %w", ErrMalformed, err)
	}
	e.Subject, e.PartitionKey = p.Subject(), p.PartitionKey()
	if e.Data, err = json.Marshal(p); err != nil {
		return fmt.Errorf("write the payload as JSON: %w", err)
	}
	return nil
}

func (f Factory) withDefaults() Factory {
	if f.Clock == nil {
		f.Clock = &processClock
	}
	if f.Now == nil {
		f.Now = time.Now
	}
	if f.NewID == nil {
		f.NewID = newID
	}
	return f
}

func newID() (string, error) {
	id, err := uuid.NewV7()
	return id.String(), err
}

func (e *Event) correlate(ids correlation.IDs) {
	e.TraceParent, e.CorrelationID, e.CausationID = ids.TraceParent, ids.CorrelationID, ids.CausationID
	e.Chain, e.Debug = ids.Chain, ids.Debug
	if e.TraceParent == "" {
		e.TraceParent = correlation.NewTraceParent(ids.Debug)
	}
	if e.CorrelationID == "" {
		e.CorrelationID = e.ID
	}
}

// Context returns ctx with the correlation that follows from e: work under
// it has the trace and the correlation id of e, e as its cause, and a call chain that is longer
// by one. A debug flag that ctx already carries stays.
func (e Event) Context(ctx context.Context) context.Context {
	return correlation.With(ctx, correlation.IDs{
		TraceParent:   e.TraceParent,
		CorrelationID: e.CorrelationID,
		CausationID:   e.ID,
		Debug:         e.Debug || correlation.From(ctx).Debug,
		Chain:         e.Chain + 1,
	})
}
