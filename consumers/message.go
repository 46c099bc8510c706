package consumers

import (
	"context"
	"errors"
	"time"

	"github.com/banyan-fig/banyan/events"
)

// SourceKinesis is the Message.Source of what comes from a Kinesis stream.
const SourceKinesis = "kinesis"

// Message is one delivery of an event, or of what a source has instead of events.
type Message struct {
	// Source is the name of the source that delivered it, see package source.
	Source string
	// ID is by what the source identifies the message; empty for Kinesis and direct calls.
	ID string
	// Event is what Raw decodes to. It is zero, with an empty ID, where a source other
	// than Kinesis delivers what is no event. Personal members of its data stay sealed.
	Event events.Event
	// Payload is what Config.Registry decodes the event's data to, in the newest version
	// of its type. nil for a type that the registry does not have, or without one.
	Payload events.Payload
	// Withheld says that members which the event's type declares personal are at their zero
	// values in Payload: their subject was erased, or there is no Config.Open. Delete
	// what was kept of them, if anything; an event from before an erasure may come after it.
	Withheld bool
	// Position is where the event is on the stream; zero where the source is no stream.
	Position events.Position
	// Shard is the shard that delivered it, such as "shardId-000000000000".
	Shard string
	// Raw is the event as it was on the stream, without the aggregate around it.
	Raw []byte
	// Arrived is when the source accepted the record, by its clock; zero where it does
	// not say.
	Arrived time.Time
	// Attributes are what the source has beside Raw: message attributes of SQS and SNS,
	// headers of Kafka. nil when there are none.
	Attributes map[string]string
	// Receives is how often the source has delivered it, this time included; 0 where it
	// does not count.
	Receives int
	// Record is the record as the source delivered it, such as an events.SQSMessage of
	// aws-lambda-go; nil for Kinesis.
	Record any
}

// Handler applies one message. It is called with messages of different
// partition keys at the same time, and with those of one key in the order of
// the stream. It must be idempotent, and stop soon when ctx ends.
//
// nil means applied. [ErrStale] means there was nothing to do. Any other error
// is retried, unless it is [Permanent], and then treated by the policy,
// unless it is [Unavailable].
type Handler func(ctx context.Context, m Message) error

// Middleware wraps a handler. It may call next any number of times.
type Middleware func(next Handler) Handler

// ErrStale is returned by a handler that found the effects of the message, or
// of a later one of the same key, already there. The runtime counts it, and continues
// as if the message had been applied.
var ErrStale = errors.New("stale or delivered before")

// Permanent marks an error that no retry changes, such as a payload that does not fit
// its type. It returns nil for nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanent{err}
}

// IsPermanent reports whether err, or an error that it wraps, is [Permanent].
func IsPermanent(err error) bool {
	var p permanent
	return errors.As(err, &p)
}

// Unavailable marks an error that is not the event's fault: a table that is
// throttled, missing or out of reach. Such an event never becomes a dead letter, whatever
// the policy, since every event after it would as well: it is reported as failed and
// delivered again. It returns nil for nil.
func Unavailable(err error) error {
	if err == nil {
		return nil
	}
	return unavailable{err}
}

// IsUnavailable reports whether err, or an error that it wraps, is [Unavailable].
func IsUnavailable(err error) bool {
	var u unavailable
	return errors.As(err, &u)
}

type unavailable struct{ error }

func (u unavailable) Unwrap() error { return u.error }

type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }
