package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/publishers"
)

// What a Config means where it says nothing.
const (
	// DefaultName is the name of a relay.
	DefaultName = "outbox"
	// DefaultField is the array of events in a document.
	DefaultField Field = "_outbox"
	// DefaultCorrelation is the sub-document with the ids of the write that
	// changed the document last.
	DefaultCorrelation = "_correlation"
)

// Config of a Relay. Database, Publisher and at least one collection are needed;
// the zero value of everything else is a sensible default.
type Config struct {
	// Name of the relay, under which its position is stored; "" means "outbox".
	// One of the relays of a name works at a time.
	Name string
	// Database of the collections.
	Database *mongo.Database
	// Documents are the collections whose documents carry events in an array.
	Documents []string
	// Outboxes are the collections whose documents are events.
	Outboxes []string
	// Field is the array in a document; "" means "_outbox".
	Field Field
	// Correlation is the sub-document {traceparent, correlationid, causationid} of
	// a document, which stands in for ids that an entry written by another
	// language does not have. "" means "_correlation".
	Correlation string
	// Source is the source of entries of other languages that name none. ""
	// means that such entries are refused.
	Source string
	// Check reports whether an event keeps the promise of its type, such as
	// [events.Registry.Check]; an entry that does not is refused. nil: only
	// envelopes are checked.
	Check func(events.Event) error
	// Publisher is where the events go. It stays the caller's, to close after Run.
	Publisher publishers.Publisher
	// Permanent reports which errors of the publisher will never go away for an
	// event; it is then moved aside, and the next ones go on. nil means
	// events.ErrMalformed. For Kinesis, kinesis.ErrTooLarge belongs to them.
	Permanent func(error) bool

	// Refused is the collection that events are moved aside to; "" means Name
	// followed by "_refused".
	Refused string
	// Checkpoints is where the position is stored; nil means the collection
	// banyan_relays of Database.
	Checkpoints *mongo.Collection
	// SweepEvery is how often the collections are searched for events that the
	// change stream did not have; 0 means a minute. It is done at the start as
	// well. There is no age at which an entry counts as missed: what the stream has
	// passed by is known from the cluster time, whatever clocks say.
	SweepEvery time.Duration
	// Window is how many changes may be handled and not yet published and cleaned
	// up; 0 means 1,000.
	Window int
	// Admit, optional, runs each clean-up, when that is admitted: give it Read of an
	// ownership.Member of an entity that migrate moves. Clean-ups must not wait for the end of
	// a hold: behind its fence, a cut-over waits for the outbox to be empty. What it returns is
	// retried. nil: at any time. Where the collections are, the relay finds out by itself.
	Admit func(ctx context.Context, write func(context.Context) error) error
	// Lease is how long a relay that is gone keeps the next one waiting; 0 means
	// 10 s.
	Lease time.Duration
	// Grace is how long events in flight are waited for when Run's context ends; 0
	// means 5 s.
	Grace time.Duration
	// Remember is how many ids of published events are kept in memory, so that an
	// array that was written as a whole is not published again; 0 means 65,536.
	Remember int
	// StartAt is where a relay without a position starts; nil means now. What was
	// written before is found by the first sweep.
	StartAt *bson.Timestamp
	// Log gets transient errors and refusals; nil discards them.
	Log *slog.Logger
}

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Database != nil, "Database is missing")
	check(c.Publisher != nil, "Publisher is missing")
	check(len(c.Documents)+len(c.Outboxes) > 0, "no collection: name those whose documents carry events (Documents), those of events (Outboxes), or both")
	for _, name := range slices.Concat(c.Documents, c.Outboxes) {
		check(name != "" && !strings.HasPrefix(name, "system."), "collection %q is none that events are in", name)
		check(name != c.Refused, "collection %q is the one that events are moved aside to", name)
	}
	for _, name := range c.Documents {
		check(!slices.Contains(c.Outboxes, name), "collection %q is named twice: its documents carry events, or are events", name)
	}
	errs = append(errs, c.Field.validate(), Field(c.Correlation).validate())
	check(c.Window > 0 && c.Remember >= c.Window, "Window %d is negative or more than Remember, %d", c.Window, c.Remember)
	check(c.SweepEvery > 0 && c.Grace > 0, "SweepEvery %v or Grace %v is negative", c.SweepEvery, c.Grace)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("publishers/outbox: config: %w", err)
	}
	return nil
}

func (c Config) withDefaults() Config {
	c.Name = cmp.Or(c.Name, DefaultName)
	c.Field = cmp.Or(c.Field, DefaultField)
	c.Correlation = cmp.Or(c.Correlation, DefaultCorrelation)
	c.Refused = cmp.Or(c.Refused, c.Name+"_refused")
	c.SweepEvery = cmp.Or(c.SweepEvery, time.Minute)
	c.Window = cmp.Or(c.Window, 1000)
	c.Lease = cmp.Or(c.Lease, 10*time.Second)
	c.Grace = cmp.Or(c.Grace, 5*time.Second)
	c.Remember = cmp.Or(c.Remember, max(1<<16, c.Window))
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Checkpoints == nil && c.Database != nil {
		c.Checkpoints = c.Database.Collection(mongostream.Checkpoints)
	}
	if c.Permanent == nil {
		c.Permanent = func(err error) bool { return errors.Is(err, events.ErrMalformed) }
	}
	return c
}
