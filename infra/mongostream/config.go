package mongostream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Config of a Follower. Name, Database and Handle are needed; the zero value of
// everything else is a sensible default.
type Config struct {
	// Name of the position, in messages and in the default Checkpoint.
	Name string
	// Source has the changes that are followed. Where it is all of a database, leave
	// out what the Checkpoint writes to it (the default one's is left out).
	Source
	// Checkpoint stores the position; nil means the document Name of the collection
	// banyan_relays of Database.
	Checkpoint Checkpoint

	// Handle is called for each change of a document, in the order of the stream,
	// one at a time. The position moves over c when the Acks of c and of all earlier
	// changes have returned nil. An error of an Ack ends Run: an Ack that must not end it stores
	// the change elsewhere, such as in a dead letter. An error of Handle ends Run too, unless it is
	// Transient.
	Handle func(ctx context.Context, c Change) (Ack, error)
	// Done, optional, is called in the order of the stream when c is acknowledged,
	// before the position moves over c. It runs concurrently with Handle.
	Done func(ctx context.Context, c Change) error
	// DDL, optional, is called for each event that is not a change of a document, in the
	// order of the stream. nil resumes, behind an invalidation with a new stream; an
	// error that is not Transient ends Run, with the position behind the event. By
	// default Run ends with
	// [ErrInvalidated] when the collection was dropped or renamed.
	DDL func(ctx context.Context, c Change) error
	// WhileHeld, optional, runs whenever the lease was acquired, until its context
	// ends with the lease. Its error ends Run.
	WhileHeld func(ctx context.Context) error
	// Sweep, optional, is called every SweepEvery (0 means a minute) between two
	// changes, never at the same time as Handle, and whenever the stream was opened.
	Sweep      func(ctx context.Context) error
	SweepEvery time.Duration
	// Interleave, optional, inserts documents read from the database at their position
	// in the stream.
	Interleave Interleaver
	// Transient reports which errors of Handle, Done, DDL and Sweep may not happen again;
	// then the stream is read again from the position on. nil means lost connections,
	// timeouts and elections of MongoDB.
	Transient func(error) bool

	// Window is how many changes may be in flight, handled and not acknowledged;
	// 0 means 1,000.
	Window int
	// Lease is the term of the default Checkpoint's lease, at least 100 ms; 0 means
	// 10 s. Any checkpoint is saved at least every third of it, and one that another
	// process holds is tried eight times in it.
	Lease time.Duration
	// SaveEvery is how often the position is stored while changes come in; 0
	// means 300 ms. Without changes, it is stored with the lease, every third of it.
	SaveEvery time.Duration
	// Grace is how long Run waits for changes in flight when ctx ends; 0 means 5 s.
	Grace time.Duration
	// StartAt is where a follower without a position starts, that time included;
	// nil means behind the server's present time.
	StartAt *bson.Timestamp
	// FollowOn resumes behind a drop or a rename of the collection instead of
	// stopping with ErrInvalidated. It does so in any case behind a rename by migrate
	// ([Change.IsMove]) in the stream of a database: Source selects both names.
	FollowOn bool
	// Moved, optional, is called for such a rename unless DDL is set, in the order of the
	// stream, never at the same time as Handle.
	Moved func(c Change)
	// Log gets transient errors; nil discards them.
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
	check(c.Name != "" && len(c.Name) <= 200, "Name %q must have 1 to 200 bytes", c.Name)
	check(c.Database != nil, "Database is missing")
	check(c.Handle != nil, "Handle is missing")
	check(!strings.HasPrefix(c.Collection, "system."), "Collection %q is the server's own", c.Collection)
	check(c.Window > 0, "Window %d is negative", c.Window)
	check(c.Lease >= 100*time.Millisecond, "Lease %v is less than 100 ms", c.Lease)
	check(c.SaveEvery > 0 && c.SweepEvery > 0 && c.Grace > 0, "SaveEvery, SweepEvery or Grace is negative")
	if len(errs) > 0 {
		return fmt.Errorf("mongostream: config: %w", errors.Join(errs...))
	}
	return nil
}

func (c Config) withDefaults() Config {
	c.Window = cmp.Or(c.Window, 1000)
	c.Lease = cmp.Or(c.Lease, 10*time.Second)
	c.SaveEvery = cmp.Or(c.SaveEvery, 300*time.Millisecond)
	c.SweepEvery = cmp.Or(c.SweepEvery, time.Minute)
	c.Grace = cmp.Or(c.Grace, 5*time.Second)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Checkpoint == nil && c.Database != nil {
		c.Checkpoint = NewCheckpoint(c.Database.Collection(Checkpoints), c.Name, c.Lease)
	}
	if c.unsupported == nil {
		c.unsupported = &unsupported{}
	}
	if c.Transient == nil {
		c.Transient = transient
	}
	return c
}
