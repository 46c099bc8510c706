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

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/internal/state"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/source"
	"github.com/banyan-fig/banyan/migrate/target"
)

// Bounds of what is in memory between the change stream and the target.
const (
	maxPending = 2000 // events read and not yet applied
	laneDepth  = 64   // events waiting for one applier
)

// How often the position is stored, and how long the source may hold back an
// empty answer.
const (
	saveEvery = 300 * time.Millisecond
	maxAwait  = 150 * time.Millisecond
	batchSize = 500
)

// follower reads the change stream in order and applies it, parallel across
// documents and serial for each.
type follower struct {
	e       *Engine
	pulse   *pulse
	row     *changesRow
	epoch   int64
	tracker *tracker
	lanes   []chan *change
	passed  chan struct{}

	mu      sync.Mutex
	foreign foreign
}

// change is one event on its way to the target.
type change struct {
	source.Event
	pending *pending
}

// holdChanges follows until ctx ends, the changes are lost to another process,
// or something is wrong for good, which it writes into the changes' state.
func (e *Engine) holdChanges(ctx context.Context, p *pulse, row *changesRow) error {
	rec, err := e.record(ctx)
	if err != nil {
		return err
	}
	f := &follower{e: e, pulse: p, row: row, epoch: rec.Epoch, passed: make(chan struct{}, 1), foreign: row.Foreign}
	from := position{token: row.Token, applied: row.Applied, caughtUp: row.CaughtUp, events: row.Events, markers: row.Markers}
	f.tracker = newTracker(from, maxPending, func() {
		select {
		case f.passed <- struct{}{}:
		default:
		}
	})
	err = f.run(ctx)
	f.leave(ctx, err)
	return err
}

func (f *follower) run(ctx context.Context) error {
	if err := f.e.crash("changes held"); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return f.e.planRanges(ctx) })
	g.Go(func() error { return f.keepSaving(ctx) })
	f.lanes = make([]chan *change, f.e.Appliers)
	for i := range f.lanes {
		f.lanes[i] = make(chan *change, laneDepth)
		g.Go(func() error { return f.applyLane(ctx, f.lanes[i]) })
	}
	g.Go(func() error { return f.read(ctx) })
	g.Go(func() error {
		<-ctx.Done()
		f.tracker.close()
		return ctx.Err()
	})
	return g.Wait()
}

// leave stores the last position and lets go of the changes.
func (f *follower) leave(ctx context.Context, cause error) {
	if f.e.crashed.Load() || errors.Is(cause, state.ErrConflict) || errors.Is(cause, errPulse) {
		return
	}
	if ctx.Err() == nil && cause != nil {
		f.row.Error = cause.Error()
	}
	f.row.Worker = ""
	out, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = f.save(out) // without it, the next one waits for the lease and applies a little again
}

func (f *follower) keepSaving(ctx context.Context) error {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case <-f.passed:
		}
		if err := f.e.crash("position"); err != nil {
			return err
		}
		if err := f.save(ctx); err != nil {
			return err
		}
	}
}

func (f *follower) save(ctx context.Context) error {
	p := f.tracker.current()
	f.row.Token, f.row.Applied, f.row.CaughtUp, f.row.Events, f.row.Markers = p.token, p.applied, p.caughtUp, p.events, p.markers
	f.mu.Lock()
	f.row.Foreign = f.foreign
	f.mu.Unlock()
	f.row.SavedAt = time.Now().UTC()
	return f.e.state.Save(ctx, f.row)
}

// read reads the stream until ctx ends. The driver resumes after errors that
// pass; what it cannot resume from is tried again from the stored position.
func (f *follower) read(ctx context.Context) error {
	for i := 0; ; i++ {
		before := f.tracker.current().events
		err := f.readStream(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case historyLost(err):
			return fmt.Errorf("follow the changes of %s: %w (%w)", f.e.source.Name, ErrHistoryLost, err)
		case retry.IsPermanent(err) || errors.Is(err, errDropped):
			return fmt.Errorf("follow the changes of %s: %w", f.e.source.Name, err)
		}
		if f.tracker.current().events > before {
			i = 0
		}
		f.e.Log.Warn("change stream interrupted", "error", err)
		if err := f.drain(ctx); err != nil {
			return err
		}
		if err := retry.Wait(ctx, min(i, 5)); err != nil {
			return err
		}
	}
}

// drain waits until all that was read is applied, so that reading again from
// the position repeats nothing out of order.
func (f *follower) drain(ctx context.Context) error {
	for f.tracker.unapplied() {
		if err := backoff.Sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func historyLost(err error) bool {
	var server mongo.ServerError
	return errors.As(err, &server) && (server.HasErrorCode(286) || server.HasErrorCode(280) || server.HasErrorCode(260))
}

// watch opens the change stream over the entity's collections and the markers.
func (e *Engine) watch(ctx context.Context, epoch int64, token bson.Raw, start stamp.ClusterTime, lookup bool) (*mongo.ChangeStream, error) {
	names := append(e.source.Names(epoch), source.Barriers)
	pipeline := mongo.Pipeline{{{Key: "$match", Value: bson.D{{Key: "ns.coll", Value: bson.D{{Key: "$in", Value: names}}}}}}}
	opts := options.ChangeStream().SetMaxAwaitTime(maxAwait).SetBatchSize(batchSize)
	if lookup {
		opts.SetFullDocument(options.UpdateLookup)
	}
	if len(token) > 0 {
		opts.SetResumeAfter(token)
	} else {
		ts := start.Timestamp()
		opts.SetStartAtOperationTime(&ts)
	}
	return e.source.DB.Watch(ctx, pipeline, opts)
}

func closeStream(ctx context.Context, cs *mongo.ChangeStream) {
	out, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = cs.Close(out) // the server forgets the cursor by itself
}

func (f *follower) readStream(ctx context.Context) error {
	cs, err := f.e.watch(ctx, f.epoch, f.tracker.current().token, f.row.Start, true)
	if err != nil {
		return err
	}
	defer closeStream(ctx, cs)
	asked, inBatch := time.Now(), 0
	for {
		if cs.RemainingBatchLength() == 0 {
			asked, inBatch = time.Now(), 0
		}
		if cs.TryNext(ctx) {
			if err := f.dispatch(ctx, cs); err != nil {
				return err
			}
			// A batch that is not full held all there was when it was asked for.
			if inBatch++; cs.RemainingBatchLength() == 0 && inBatch < batchSize {
				f.tracker.heartbeat(append(bson.Raw{}, cs.ResumeToken()...), 0, asked)
			}
			continue
		}
		if err := cs.Err(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if token := cs.ResumeToken(); token != nil {
			f.tracker.heartbeat(append(bson.Raw{}, token...), source.TokenTime(token), asked)
		}
	}
}

// dispatch queues one event for its document's lane.
func (f *follower) dispatch(ctx context.Context, cs *mongo.ChangeStream) error {
	ev, err := source.DecodeEvent(cs.Current)
	if err != nil {
		return err
	}
	p := &pending{token: append(bson.Raw{}, cs.ResumeToken()...), at: ev.At}
	switch {
	case ev.Collection == source.Barriers:
		if ev.Op == "insert" && ev.Entity == f.e.Plan.Entity {
			p.marker, _ = ev.ID.StringValueOK()
		}
		p.done = true
	case !ev.ChangesDocument():
		if err := f.structural(ctx, ev); err != nil {
			return err
		}
		p.done = true
	}
	if !f.tracker.add(p) {
		return ctx.Err()
	}
	if p.done {
		f.tracker.complete(p)
		return nil
	}
	f.noteForeign(ev)
	h := fnv.New32a()
	_, _ = h.Write([]byte(source.IDKey(ev.ID)))
	select {
	case f.lanes[h.Sum32()%uint32(len(f.lanes))] <- &change{ev, p}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errDropped: the collection went away by someone else's hand.
var errDropped = errors.New("the collection was dropped or renamed by someone else; restore it, or end the migration")

// structural looks at renames and drops: the fence's own are expected.
func (f *follower) structural(ctx context.Context, ev source.Event) error {
	src := f.e.source
	ours := ev.Collection != src.Name && src.IsOwn(ev.Collection) || ev.Op == "rename" && src.IsOwn(ev.RenamedTo)
	if ours || ev.Op == "create" || ev.Op == "createIndexes" || ev.Op == "dropIndexes" || ev.Op == "modify" {
		return nil
	}
	kinds, err := src.Kinds(ctx)
	if err != nil {
		return err
	}
	if kinds[src.Name] != "" || kinds[src.FencedName(f.epoch)] != "" {
		return nil
	}
	return fmt.Errorf("%w (%s of %s)", errDropped, ev.Op, ev.Collection)
}

func (f *follower) noteForeign(ev source.Event) {
	old := ev.At <= f.row.Start // from before the migration: the stream begins with the last one
	if f.e.Plan.Stamp == "" || old || ev.SetsField(f.e.Plan.Stamp) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.foreign.Writes++
	f.foreign.LastID, f.foreign.LastAt = codec.Show(ev.ID), time.Now().UTC()
}

func (f *follower) applyLane(ctx context.Context, lane <-chan *change) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case c := <-lane:
			if err := f.applyUntilDone(ctx, c); err != nil {
				return err
			}
			if err := f.e.crash("change"); err != nil {
				return err
			}
			f.tracker.complete(c.pending)
		}
	}
}

// applyUntilDone tries again as long as the stores are merely unwell.
func (f *follower) applyUntilDone(ctx context.Context, c *change) error {
	for i := 0; ; i++ {
		if !f.pulse.alive() {
			return errPulse
		}
		err := f.applyChange(ctx, c)
		if err == nil || retry.IsPermanent(err) || ctx.Err() != nil {
			return err
		}
		f.e.Log.Warn("change not applied yet", "document", codec.Show(c.ID), "error", err)
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
	err = f.e.target.Apply(ctx, e, c.At, target.IfOlder)
	if errors.Is(err, target.ErrServiceOwned) {
		rec, loadErr := f.e.record(ctx)
		if loadErr == nil && rec.Owner == ownership.DynamoDB {
			return nil // switched meanwhile: nothing of the source counts any more
		}
	}
	return err
}

// encodeChange builds what the change leaves behind. A document that an update
// was looked up for and that was not found, or that no longer fits, is read
// again as it is now: a rename hides it from the server's lookup, and a later
// event may have repaired or removed it.
func (f *follower) encodeChange(ctx context.Context, c *change) (e target.Entry, found bool, err error) {
	if c.Op == "delete" {
		key, err := f.e.codec.Key(c.ID)
		return target.Entry{ID: c.ID, Key: key}, err == nil, nil // what never fitted was never copied
	}
	if c.Document != nil {
		if e, err = f.e.target.Encode(c.Document, c.At); err == nil {
			return e, true, nil
		}
	}
	now, err := f.e.source.Current(ctx, []bson.RawValue{c.ID}, f.epoch)
	if err != nil {
		return target.Entry{}, false, err
	}
	doc, there := now[source.IDKey(c.ID)]
	if !there {
		return target.Entry{}, false, nil
	}
	e, err = f.e.target.Encode(doc, c.At)
	return e, err == nil, err
}
