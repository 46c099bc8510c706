package changestream

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/publishers"
)

// Config of a Publisher. Database, Mapping and To are needed; the zero value of
// everything else is a sensible default.
type Config struct {
	// Name of the position and of the dead letters, unique in the database; ""
	// means "changes". It is part of nothing that consumers see.
	Name string
	// Database whose changes are published.
	Database *mongo.Database
	// Mapping says which events are made of which changes: ParseMapping reads one.
	Mapping *Mapping
	// Check reports whether an event keeps the promise of its type, such as
	// [events.Registry.Check]; a change that makes one that does not becomes a
	// dead letter. nil: only envelopes are checked.
	Check func(events.Event) error
	// To is where the events go: the stream, or the spool.
	To publishers.Publisher
	// Permanent reports which errors of To never go away for that event, so that the
	// change becomes a dead letter. Others stop the publisher. nil means
	// events.ErrMalformed.
	Permanent func(error) bool

	// Snapshot reads the collections of Mapping.Snapshots whole where there is no
	// position to resume from: at the first start, and when the position fell off
	// the oplog, which otherwise ends Run (mongostream.ErrHistoryLost). A snapshot
	// that was interrupted is resumed in any case.
	Snapshot bool
	// SnapshotChunk is how many documents a snapshot reads at once, within 16 MB;
	// 0 means 500.
	SnapshotChunk int
	// EnsureImages turns on changeStreamPreAndPostImages for the collections of
	// the mapping, and creates missing ones. The server then stores
	// both images of each change, until the change falls off the oplog.
	EnsureImages bool

	// Source of the events that name none; "" means "/changes/<database>".
	Source string
	// Cluster is part of the ids of the events: give it where two clusters publish
	// changes of a database and collection of one name into one stream.
	Cluster string

	// Refused is where dead letters go; nil means the collection <Name>_refused.
	Refused *mongo.Collection
	// Checkpoints is where the position is stored; nil means banyan_relays.
	Checkpoints *mongo.Collection
	// StartAt is where to start without a position; nil means now.
	StartAt *bson.Timestamp
	// FollowOn resumes when a collection was dropped or renamed, instead of
	// stopping once with mongostream.ErrInvalidated.
	FollowOn bool
	// Window and Lease are those of mongostream.Config.
	Window int
	Lease  time.Duration
	// Log gets transient errors; nil discards them.
	Log *slog.Logger
}

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	if c.Database == nil {
		return errors.New("changestream: config: Database is missing")
	}
	c = c.withDefaults()
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.To != nil, "To is missing: give a publisher of the stream or the spool")
	check(c.SnapshotChunk > 0, "SnapshotChunk %d is negative", c.SnapshotChunk)
	_, err := url.Parse(c.Source)
	check(err == nil, "Source %q is not a URI-reference", c.Source)
	if err := c.Mapping.Validate(); err != nil {
		errs = append(errs, err)
	} else {
		check(!c.Snapshot || len(c.Mapping.Snapshots) > 0, "Snapshot is asked for, and no collection has a mapping for it: "+
			"add snapshot to the operations (on) of a rule that states what is")
		for _, own := range []string{c.Refused.Name(), c.Checkpoints.Name()} {
			check(c.Mapping.Collections[own] == nil, "collection %q is the publisher's own; it cannot be published", own)
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("changestream: config: %w", errors.Join(errs...))
	}
	return nil
}

func (c Config) withDefaults() Config {
	c.Name = cmp.Or(c.Name, "changes")
	c.Source = cmp.Or(c.Source, "/changes/"+url.PathEscape(c.Database.Name()))
	c.SnapshotChunk = cmp.Or(c.SnapshotChunk, 500)
	c.Lease = cmp.Or(c.Lease, 10*time.Second)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Check == nil {
		c.Check = func(events.Event) error { return nil }
	}
	if c.Permanent == nil {
		c.Permanent = func(err error) bool { return errors.Is(err, events.ErrMalformed) }
	}
	if c.Refused == nil {
		c.Refused = c.Database.Collection(c.Name + "_refused")
	}
	if c.Checkpoints == nil {
		c.Checkpoints = c.Database.Collection(mongostream.Checkpoints)
	}
	return c
}
