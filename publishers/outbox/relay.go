package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/publishers"
)

// Relay publishes the events that wait in a database, see the package comment
// for what it promises. Run may be called by one goroutine at a time; Status and
// Ready may be called by any.
type Relay struct {
	cfg      Config
	follower *mongostream.Follower
	places   atomic.Pointer[map[string]string] // where the collections are that events wait in
	moves    mongostream.Moves                 // the reader's own
	refused  *mongo.Collection
	counts   counts

	publishing sync.Mutex // held by the reader while it may hand events to the publisher

	known *lru.Cache[string, publishers.Receipt] // events published or in flight, added by the reader
	lost  atomic.Bool                            // something failed: clear known before reading again
	epoch int64                                  // of the lease that known belongs to; only the reader uses it
	queue chan *batch                            // to the cleaner, in the order of publishing
}

// New checks cfg. It sends no request; Run does.
func New(cfg Config) (*Relay, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	r := &Relay{
		cfg:     cfg,
		moves:   mongostream.Moves{},
		refused: cfg.Database.Collection(cfg.Refused),
		queue:   make(chan *batch, cfg.Window),
	}
	r.setPlaces(nil)
	var err error
	if r.known, err = lru.New[string, publishers.Receipt](cfg.Remember); err != nil {
		return nil, fmt.Errorf("publishers/outbox: %w", err)
	}
	if r.follower, err = mongostream.New(r.followerConfig()); err != nil {
		return nil, fmt.Errorf("publishers/outbox: %w", err)
	}
	return r, nil
}

// isOutbox reports whether the documents of a collection are events.
func (r *Relay) isOutbox(collection string) bool { return slices.Contains(r.cfg.Outboxes, collection) }

func (r *Relay) followerConfig() mongostream.Config {
	return mongostream.Config{
		Name:       r.cfg.Name,
		Source:     mongostream.Source{Database: r.cfg.Database, Pipeline: r.pipeline()},
		Checkpoint: mongostream.NewCheckpoint(r.cfg.Checkpoints, r.cfg.Name, r.cfg.Lease),
		Handle:     r.handle,
		DDL:        r.followMove,
		WhileHeld:  r.awaitPublisher,
		Sweep:      r.sweep,
		SweepEvery: r.cfg.SweepEvery,
		Interleave: reopening{r},
		Transient:  func(err error) bool { return errors.Is(err, errTransient) },
		Window:     r.cfg.Window,
		Lease:      r.cfg.Lease,
		Grace:      r.cfg.Grace,
		StartAt:    r.cfg.StartAt,
		Log:        r.cfg.Log,
	}
}

// pipeline selects the changes that may bring events, and drops the parts of
// documents that the relay does not read.
func (r *Relay) pipeline() mongo.Pipeline {
	array := "fullDocument." + string(r.cfg.Field)
	of := mongostream.Collections{Names: r.names()}.AndMoved()
	brings := bson.D{{Key: "$or", Value: bson.A{
		bson.D{{Key: "operationType", Value: bson.D{{Key: "$nin", Value: bson.A{"insert", "replace", "delete"}}}}},
		bson.D{{Key: "operationType", Value: "insert"}, {Key: "ns.coll", Value: anyOf(r.cfg.Outboxes)}},
		bson.D{{Key: "operationType", Value: anyOf([]string{"insert", "replace"})}, {Key: array, Value: bson.D{{Key: "$exists", Value: true}}}},
	}}}
	stages := mongo.Pipeline{of.Match(), {{Key: "$match", Value: brings}}}
	if len(r.cfg.Outboxes) > 0 {
		return stages // whole documents are needed
	}
	return append(stages, bson.D{{Key: "$project", Value: bson.D{
		{Key: "operationType", Value: 1}, {Key: "clusterTime", Value: 1}, {Key: "wallTime", Value: 1}, {Key: "ns", Value: 1},
		{Key: "to", Value: 1}, {Key: "documentKey", Value: 1}, {Key: "updateDescription", Value: 1},
		{Key: array, Value: 1}, {Key: "fullDocument." + r.cfg.Correlation, Value: 1},
	}}})
}

func anyOf(names []string) bson.D {
	list := bson.A{}
	for _, name := range names {
		list = append(list, name)
	}
	return bson.D{{Key: "$in", Value: list}}
}

// Ready is closed when the relay has the lease and its place in the stream is
// stored: no event from then on can be missed.
func (r *Relay) Ready() <-chan struct{} { return r.follower.Ready() }

// Run relays until ctx ends, which is no error, or something is wrong that will
// not pass: no change streams, or missing rights. While MongoDB or the publisher
// cannot be reached it waits. Where the position fell off the oplog, it starts at a new
// one and sweeps the collections for what it missed.
func (r *Relay) Run(ctx context.Context) error {
	_, err := r.locate(ctx)
	if err == nil {
		err = r.Ensure(ctx)
	}
	if err != nil && ctx.Err() == nil {
		r.cfg.Log.Warn("the sweep may read whole collections, or find no snapshot", "relay", r.cfg.Name, "error", err)
	}
	cleaning, stop := context.WithCancel(context.WithoutCancel(ctx))
	cleaned := make(chan struct{})
	go func() {
		defer close(cleaned)
		r.runCleanUp(cleaning)
	}()
	err = r.follow(ctx)
	stop()
	<-cleaned
	if err != nil {
		return fmt.Errorf("publishers/outbox: relay %q of %s: %w", r.cfg.Name, r.cfg.Database.Name(), err)
	}
	return nil
}

func (r *Relay) follow(ctx context.Context) error {
	for {
		err := r.follower.Run(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, mongostream.ErrHistoryLost) {
			return err
		}
		if err := r.recoverPosition(ctx, err); err != nil {
			return err
		}
	}
}

// recoverPosition removes a position that the server no longer has. The next one is
// stored before the collections are searched, and the search comes before the first
// change that is read from there. So what was written before is found where it
// waits, since an event leaves the database only when it is published, and what
// is written after is in the stream. (A publisher of the changes themselves
// cannot do so: nothing in a document shows which changes made it.)
func (r *Relay) recoverPosition(ctx context.Context, lost error) error {
	r.counts.recovered.Add(1)
	r.cfg.Log.Warn("the change stream cannot go on from its position; the collections are searched for events that wait", "relay", r.cfg.Name, "error", lost)
	err := mongostream.Forget(ctx, r.cfg.Checkpoints, r.cfg.Name)
	switch {
	case err == nil, errors.Is(err, mongostream.ErrNoPosition), errors.Is(err, mongostream.ErrFollowed): // then the other one does it
	case ctx.Err() == nil && !errors.Is(transient(err), errTransient):
		return err
	}
	_ = retryDelay.Wait(ctx, 0)
	return nil
}

// reopening is called whenever the stream is opened anew.
type reopening struct{ r *Relay }

// Begin waits until nothing is in flight, so that what is read again comes behind
// it. What is known is forgotten if some of it failed, or if another relay may
// have been at work meanwhile: where an event is published again, all of its
// successors have to be.
func (o reopening) Begin(ctx context.Context, state bson.Raw, _ bool) (bson.Raw, error) {
	b := &batch{done: make(chan struct{})}
	if err := o.r.enqueueCleanUp(ctx, b); err != nil {
		return nil, err
	}
	if err := b.wait(ctx); err != nil {
		return nil, err
	}
	epoch := o.r.follower.Status().Epoch
	if o.r.lost.Swap(false) || epoch != o.r.epoch {
		o.r.known.Purge()
	}
	o.r.epoch = epoch
	_, err := o.r.locate(ctx)
	return state, transient(err)
}

// awaitPublisher keeps the lease until the publisher has nothing of this relay any more, for
// Grace at most: what it sent after the next relay began would come behind newer events.
// The follower waits for changes that it has enqueued; this is for what a sweep had, and
// for a change that was handled when the end came.
func (r *Relay) awaitPublisher(ctx context.Context) error {
	<-ctx.Done()
	late := time.After(r.cfg.Grace)
	r.publishing.Lock()
	defer r.publishing.Unlock()
	for _, receipt := range r.known.Values() {
		select {
		case <-receipt.Done():
		case <-late:
			return nil
		}
	}
	return nil
}

// Next has nothing: events that wait are found by the sweep.
func (reopening) Next(context.Context) (*mongostream.Chunk, error) { return nil, nil }

// retryDelay is waited between two attempts.
var retryDelay = backoff.Backoff{Min: 20 * time.Millisecond, Max: 5 * time.Second}
