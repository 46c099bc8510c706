package changes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/internal/worker"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/side"
	"github.com/banyan-fig/banyan/migrate/source"
)

// maxInFlight bounds how many changes are read and not yet applied.
const maxInFlight = 2000

// ErrHistoryLost says that the position in the change stream is no longer in the
// source's oplog. It is stored: the copy and its verifications no longer count.
var ErrHistoryLost error = retry.Permanent("the position in the change stream is no longer in the source's oplog, so changes were missed; " +
	"copy afresh with `banyan-migrate run --from-start`, which also removes what was deleted unseen")

// ErrDone is the cause of the end of a context whose work is complete: it ends
// [Follower.Follow] without that status shows it.
var ErrDone = errors.New("done")

// Follower applies the change stream of one entity to the target. It is safe for
// concurrent use.
type Follower struct {
	Plan     *plan.Plan
	Source   *source.Collection
	To       func(epoch int64) To // the side of an epoch's documents
	Control  *control.Store
	Owners   *ownership.Table
	Worker   worker.Config // of [Follower.WhileFollowing]
	Appliers int           // changes applied at once
	// WhileHeld runs whenever this process has begun to follow, beside the appliers; an
	// error ends the following.
	WhileHeld func(context.Context) error
	Log       *slog.Logger
}

// session follows the changes: parallel across documents and serial for each. It is also
// the checkpoint of the mongostream.Follower that reads them.
type session struct {
	*Follower
	worker *worker.Worker
	stream *mongostream.Follower
	row    control.Changes // while held
	to     To              // that of the row's epoch

	appliers *appliers // made anew with each acquisition

	mu        sync.Mutex
	barriers  []string // the last ones passed
	outOfBand control.OutOfBandWrites
	strays    control.OutOfBandWrites
	place     Place // where the stream is read
	renames   []renamed
}

// renamed says which name the collection has from a time on. It is kept until the position
// has passed it.
type renamed struct {
	at   stamp.ClusterTime
	name string
}

// WhileFollowing runs fn while the changes are followed: by this process, as a worker of
// its own, if no other does. The context of fn ends when that fails. The error is that of
// fn, with the reason where its context was ended.
func (f *Follower) WhileFollowing(ctx context.Context, fn func(context.Context) error) error {
	w, err := worker.Start(ctx, f.Worker)
	if err != nil {
		return err
	}
	defer w.Stop()
	ctx, cancel := context.WithCancelCause(w.Bind(ctx))
	var beside sync.WaitGroup
	beside.Go(func() { cancel(f.Follow(ctx, w)) })
	beside.Go(func() { cancel(w.AwaitLoss(ctx)) })
	err = fn(ctx)
	cause := context.Cause(ctx)
	cancel(ErrDone)
	beside.Wait()
	if err != nil && cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// Follow waits until the changes are free and follows them while w holds them. It ends
// with ctx or with a permanent error, which it writes into their state.
func (f *Follower) Follow(ctx context.Context, w *worker.Worker) error {
	s, err := f.newSession(w)
	if err == nil {
		err = s.explain(s.stream.Run(ctx))
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, ErrHistoryLost) {
		err = errors.Join(err, s.endCopy(ctx, ErrHistoryLost))
	}
	return err
}

// endCopy notes that what this session has followed no longer counts, unless another process
// has begun afresh since: the job is read first, and changed last of all by that.
func (s *session) endCopy(ctx context.Context, why error) error {
	j, err := s.Control.Job(ctx)
	if err != nil {
		return err
	}
	row, err := s.Control.Changes(ctx)
	if err != nil || row.Start != s.row.Start || row.Epoch != s.row.Epoch {
		return err
	}
	return s.Control.EndCopy(ctx, j.Generation, why.Error())
}

func (f *Follower) newSession(w *worker.Worker) (s *session, err error) {
	s = &session{Follower: f, worker: w}
	s.stream, err = mongostream.New(mongostream.Config{
		Name:       "changes",
		Source:     Stream(f.Source, options.UpdateLookup),
		Checkpoint: s,
		Handle:     s.enqueue,
		Done:       s.passBarrier,
		DDL:        s.handleDDL,
		WhileHeld:  func(ctx context.Context) error { return s.appliers.run(ctx, s.beside) },
		Transient:  s.isTransient,
		Window:     maxInFlight,
		// The workers' heartbeats are the lease. This makes it 100 ms between attempts
		// to acquire it, and a third of a second between saves.
		Lease: 800 * time.Millisecond,
		Log:   f.Log,
	})
	return s, err
}

// Beginning is a time from which the changes can be followed, and the name that the
// collection had then. Nothing of before it is followed, such as that the collection was
// put in the place of another, and all of that is in what is read from now on.
func Beginning(ctx context.Context, src *source.Collection) (stamp.ClusterTime, string, error) {
	for range retry.Attempts {
		before, err := src.Locate(ctx)
		if err != nil {
			return 0, "", err
		}
		now, err := src.Settled(ctx)
		if err != nil {
			return 0, "", err
		}
		after, err := src.Locate(ctx)
		if err != nil || after == before {
			return now, after, err
		}
	}
	return 0, "", errors.New("the collection gets one name after another; wait until no cut-over is under way")
}

func (s *session) isTransient(err error) bool {
	return !retry.IsPermanent(err) && !errors.Is(err, worker.ErrLeaseLost)
}

// explain adds to the error that ends Run what it is about and what to do.
func (s *session) explain(err error) error {
	switch {
	case err == nil || errors.Is(err, worker.ErrLeaseLost):
		return err
	case errors.Is(err, mongostream.ErrHistoryLost):
		return fmt.Errorf("follow the changes of %s: %w (%w)", s.Source.Names, ErrHistoryLost, err)
	}
	return fmt.Errorf("follow the changes of %s: %w", s.Source.Names, err)
}

// enqueue hands a change to the applier of its document.
func (s *session) enqueue(_ context.Context, c mongostream.Change) (mongostream.Ack, error) {
	if c.Collection == source.Barriers {
		return nil, nil
	}
	on := &change{Version: side.Version{ID: c.ID(), Doc: c.Full, At: stamp.ClusterTimeOf(c.ClusterTime)}}
	on.lookUp = c.Full == nil && c.Operation != "delete"
	if !s.place.Concerns(&c) {
		s.countStray(&c)
		return nil, nil
	}
	if OfOutbox(&c, s.Plan.Outbox) {
		return nil, nil
	}
	s.countOutOfBand(&c, on.At)
	return s.appliers.enqueue(on), nil
}

// passBarrier records a barrier before which everything is applied, and has that stored.
func (s *session) passBarrier(_ context.Context, c mongostream.Change) error {
	id, ok := c.ID().StringValueOK()
	if c.Collection != source.Barriers || c.Operation != "insert" || !ok {
		return nil
	}
	if entity, _ := c.Full.Lookup("entity").StringValueOK(); entity != s.Plan.Entity {
		return nil
	}
	s.mu.Lock()
	s.barriers = append(s.barriers, id)
	s.barriers = s.barriers[max(0, len(s.barriers)-keptBarriers):]
	s.mu.Unlock()
	s.stream.SaveNow()
	return nil
}

func (s *session) countOutOfBand(c *mongostream.Change, at stamp.ClusterTime) {
	old := at <= s.row.Start // from before the migration: the stream begins with the last one
	if s.Plan.VersionField == "" || old || SetsField(c, s.Plan.VersionField) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	count(&s.outOfBand, c)
}

// countStray counts a write under a name that the collection does not have at that place of
// the stream: it is not the entity's.
func (s *session) countStray(c *mongostream.Change) {
	s.Log.Error("a write of somebody else under a name that the collection had left; it is not applied", "collection", c.Collection,
		"document", codec.Show(c.ID()), "operation", c.Operation)
	s.mu.Lock()
	defer s.mu.Unlock()
	count(&s.strays, c)
}

func count(writes *control.OutOfBandWrites, c *mongostream.Change) {
	writes.Writes++
	writes.LastID, writes.LastAt = codec.Show(c.ID()), time.Now().UTC()
}

// SetsField reports whether a change sets a field, as the owning service does with
// its version field. A delete, and a change without its document, count as the service's.
func SetsField(c *mongostream.Change, field string) bool {
	switch c.Operation {
	case "insert", "replace":
		return c.Full == nil || !c.Full.Lookup(field).IsZero()
	case "update":
		return c.Stripped || !c.Updated.Lookup(field).IsZero()
	}
	return true
}

// OfOutbox reports whether a change is about nothing but the events that wait in a document:
// what of it is moved is the same as before.
func OfOutbox(c *mongostream.Change, o plan.Outbox) bool {
	if o.Field == "" || c.Operation != "update" || c.Stripped {
		return false
	}
	is := func(path string) bool {
		field, _, _ := strings.Cut(path, ".")
		return slices.Contains(o.Fields(), field)
	}
	updated, err := c.Updated.Elements()
	for _, e := range updated {
		if !is(e.Key()) {
			return false
		}
	}
	for _, t := range c.Truncated {
		if !is(t.Field) {
			return false
		}
	}
	return err == nil && !slices.ContainsFunc(c.Removed, func(path string) bool { return !is(path) })
}

// mayWrite fails when this process must not write to the other side any more.
func (s *session) mayWrite() error {
	if !s.worker.HoldsLease() {
		return worker.ErrLeaseLost
	}
	return nil
}

// current is a document as it is now, nil for none.
func (s *session) current(ctx context.Context, id bson.RawValue) (bson.Raw, error) {
	now, err := s.Source.Current(ctx, []bson.RawValue{id})
	return now[side.IDKey(id)], err
}
