package migrate

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/source"
	"github.com/banyan-fig/banyan/migrate/target"
)

// Bounds of what is in memory between the change stream and the target.
const (
	maxInFlight  = 2000 // changes read and not yet applied
	applierQueue = 64   // changes waiting for one applier
)

// follower applies the change stream, parallel across documents and serial for
// each. It is also the checkpoint of the mongostream.Follower that reads it.
type follower struct {
	e         *Engine
	heartbeat *heartbeat
	liveness  *liveness
	epoch     int64 // of the ownership record: it names the fenced collection
	stream    *mongostream.Follower
	row       changesRow // while held

	// Made anew with each acquisition.
	queues  []chan *change // one for each applier
	stopped chan struct{}  // closed when the appliers have ended, with failure set
	failure error

	mu        sync.Mutex
	barriers  []string // the last ones passed
	outOfBand OutOfBandWrites
}

// change is one change on its way to the target.
type change struct {
	mongostream.Change
	id      bson.RawValue
	at      stamp.ClusterTime
	applied chan struct{}
}

// follow waits until the changes are free and follows them while it holds them. It ends
// with ctx or with a permanent error, which it writes into their state.
func (e *Engine) follow(ctx context.Context, p *heartbeat, v *liveness) error {
	for {
		f, err := e.newFollower(ctx, p, v)
		if err == nil {
			err = f.explain(f.stream.Run(ctx))
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.Is(err, errEpochMoved):
			return err
		}
	}
}

func (e *Engine) newFollower(ctx context.Context, p *heartbeat, v *liveness) (*follower, error) {
	rec, err := e.record(ctx)
	if err != nil {
		return nil, err
	}
	f := &follower{e: e, heartbeat: p, liveness: v, epoch: rec.Epoch}
	f.stream, err = mongostream.New(mongostream.Config{
		Name:       changesKey,
		Source:     e.changes(rec.Epoch, options.UpdateLookup),
		Checkpoint: f,
		Handle:     f.enqueue,
		Done:       f.passBarrier,
		DDL:        f.checkDDL,
		WhileHeld:  f.applyWhileHeld,
		Transient:  f.isTransient,
		Window:     maxInFlight,
		// The workers' heartbeats are the lease. This makes it 100 ms between attempts
		// to acquire it, and a third of a second between saves.
		Lease: 800 * time.Millisecond,
		Log:   e.Log,
	})
	return f, err
}

// changes is the change stream of the entity's collections and of the barriers.
func (e *Engine) changes(epoch int64, documents options.FullDocument) mongostream.Source {
	names := append(e.source.Names(epoch), source.Barriers)
	match := bson.D{{Key: "$match", Value: bson.D{{Key: "ns.coll", Value: bson.D{{Key: "$in", Value: names}}}}}}
	return mongostream.Source{Database: e.source.DB, Pipeline: mongo.Pipeline{match}, FullDocument: documents}
}

func (f *follower) isTransient(err error) bool {
	return !retry.IsPermanent(err) && !errors.Is(err, errLeaseLost) && !errors.Is(err, errDropped)
}

// explain adds to the error that ends Run what it is about and what to do.
func (f *follower) explain(err error) error {
	switch {
	case err == nil || errors.Is(err, errEpochMoved) || errors.Is(err, errCrash) || errors.Is(err, errLeaseLost):
		return err
	case errors.Is(err, mongostream.ErrHistoryLost):
		return fmt.Errorf("follow the changes of %s: %w (%w)", f.e.source.Name, ErrHistoryLost, err)
	}
	return fmt.Errorf("follow the changes of %s: %w", f.e.source.Name, err)
}

// enqueue hands a change to the applier of its document.
func (f *follower) enqueue(ctx context.Context, c mongostream.Change) (mongostream.Ack, error) {
	if c.Collection == source.Barriers {
		return nil, nil
	}
	on := &change{Change: c, id: c.ID(), at: stamp.ClusterTimeOf(c.ClusterTime), applied: make(chan struct{})}
	f.countOutOfBand(on)
	h := fnv.New32a()
	_, _ = h.Write([]byte(source.IDKey(on.id)))
	select {
	case f.queues[h.Sum32()%uint32(len(f.queues))] <- on:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	stopped := f.stopped
	return func(ctx context.Context) error {
		select {
		case <-on.applied:
			return nil
		case <-stopped:
			return f.failure
		case <-ctx.Done():
			return ctx.Err()
		}
	}, nil
}

// passBarrier records a barrier before which everything is applied, and has that stored.
func (f *follower) passBarrier(_ context.Context, c mongostream.Change) error {
	id, ok := c.ID().StringValueOK()
	if c.Collection != source.Barriers || c.Operation != "insert" || !ok {
		return nil
	}
	if entity, _ := c.Full.Lookup("entity").StringValueOK(); entity != f.e.Plan.Entity {
		return nil
	}
	f.mu.Lock()
	f.barriers = append(f.barriers, id)
	f.barriers = f.barriers[max(0, len(f.barriers)-keptBarriers):]
	f.mu.Unlock()
	f.stream.SaveNow()
	return nil
}

// errDropped: the collection was dropped or renamed, and not by the fence.
var errDropped = errors.New("the collection was dropped or renamed from outside; restore it under its name, then run again")

// checkDDL fails when the collection was dropped or renamed by something other than the
// fence.
func (f *follower) checkDDL(ctx context.Context, c mongostream.Change) error {
	src := f.e.source
	ours := c.Collection != src.Name && src.IsOwn(c.Collection) || c.Operation == "rename" && src.IsOwn(c.RenamedTo)
	if ours {
		return nil
	}
	switch c.Operation {
	case "create", "createIndexes", "dropIndexes", "modify":
		return nil
	}
	kinds, err := src.Kinds(ctx)
	if err != nil {
		return err
	}
	if kinds[src.Name] != "" || kinds[src.FencedName(f.epoch)] != "" {
		return nil
	}
	return fmt.Errorf("%w (%s of %s)", errDropped, c.Operation, c.Collection)
}

func (f *follower) countOutOfBand(c *change) {
	old := c.at <= f.row.Start // from before the migration: the stream begins with the last one
	if f.e.Plan.VersionField == "" || old || setsField(&c.Change, f.e.Plan.VersionField) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.outOfBand.Writes++
	f.outOfBand.LastID, f.outOfBand.LastAt = codec.Show(c.id), time.Now().UTC()
}

// setsField reports whether a change sets a field, as the owning service does with
// its version field. A delete, and a change without its document, count as the service's.
func setsField(c *mongostream.Change, field string) bool {
	switch c.Operation {
	case "insert", "replace":
		return c.Full == nil || !c.Full.Lookup(field).IsZero()
	case "update":
		return !c.Updated.Lookup(field).IsZero()
	}
	return true
}

// applyWhileHeld runs the appliers, and plans the ranges to copy unless that was done.
func (f *follower) applyWhileHeld(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return f.e.planRanges(ctx) })
	for _, queue := range f.queues {
		g.Go(func() error { return f.applyQueue(ctx, queue) })
	}
	f.failure = g.Wait()
	close(f.stopped)
	return f.failure
}

func (f *follower) applyQueue(ctx context.Context, queue <-chan *change) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case c := <-queue:
			if err := f.applyUntilDone(ctx, c); err != nil {
				return err
			}
			if err := f.e.crash("change"); err != nil {
				return err
			}
			close(c.applied)
		}
	}
}

// applyUntilDone retries while the stores fail for a time.
func (f *follower) applyUntilDone(ctx context.Context, c *change) error {
	for i := 0; ; i++ {
		if !f.heartbeat.holdsLease() {
			return errLeaseLost
		}
		err := f.applyChange(ctx, c)
		if err == nil || retry.IsPermanent(err) || ctx.Err() != nil {
			return err
		}
		f.e.Log.Warn("apply a change: failed, retrying", "document", codec.Show(c.id), "error", err)
		if err := retry.Wait(ctx, min(i+3, 7)); err != nil {
			return err
		}
	}
}

func (f *follower) applyChange(ctx context.Context, c *change) error {
	e, found, err := f.encodeChange(ctx, c)
	if err != nil || !found {
		return err
	}
	err = f.e.target.Apply(ctx, e, c.at, target.IfOlder)
	if errors.Is(err, target.ErrServiceOwned) {
		rec, loadErr := f.e.record(ctx)
		if loadErr == nil && rec.Owner == ownership.DynamoDB {
			return nil // the owner has switched, so the source no longer matters
		}
	}
	return err
}

// encodeChange builds the item that the change leads to. When the server did not find
// the updated document, or the document does not fit, its present state is read: a
// rename hides it from the server's lookup, and a later event may have repaired or
// removed it.
func (f *follower) encodeChange(ctx context.Context, c *change) (e target.Entry, found bool, err error) {
	if c.Operation == "delete" {
		key, err := f.e.codec.Key(c.id)
		return target.Entry{ID: c.id, Key: key}, err == nil, nil // a document with an invalid key was never copied
	}
	if c.Full != nil {
		if e, err = f.e.target.Encode(c.Full, c.at); err == nil {
			return e, true, nil
		}
	}
	now, err := f.e.source.Current(ctx, []bson.RawValue{c.id}, f.epoch)
	if err != nil {
		return target.Entry{}, false, err
	}
	doc, there := now[source.IDKey(c.id)]
	if !there {
		return target.Entry{}, false, nil
	}
	e, err = f.e.target.Encode(doc, c.at)
	return e, err == nil, err
}
