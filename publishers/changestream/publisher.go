package changestream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/publishers"
)

// Publisher publishes the changes of a database as events. Run may be called by
// one goroutine at a time, the rest is safe for concurrent use.
type Publisher struct {
	cfg   Config
	ready chan struct{}
	once  sync.Once

	mu       sync.Mutex
	follower *mongostream.Follower
	status   Status

	moves mongostream.Moves // of this follower, and its reader's own
}

// New checks cfg. It sends no request; Run does.
func New(cfg Config) (*Publisher, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Publisher{cfg: cfg.withDefaults(), ready: make(chan struct{})}, nil
}

// Ready is closed when no change from then on can be missed.
func (p *Publisher) Ready() <-chan struct{} { return p.ready }

// Run publishes until ctx ends, which is no error, or something stops it for
// good: what stops a follower (mongostream.ErrHistoryLost, unless Config.Snapshot
// recovers from it; mongostream.ErrInvalidated),
// or a refusal of the stream that is not about one event.
func (p *Publisher) Run(ctx context.Context) error {
	for {
		err := p.runOnce(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case !errors.Is(err, mongostream.ErrHistoryLost) || !p.cfg.Snapshot:
			return withRemedy(err)
		}
		p.cfg.Log.Error("changes were missed; a new snapshot begins", "name", p.cfg.Name, "error", err)
		p.counted(func(s *Status) { s.HistoryLost++ })
		switch err := p.Forget(ctx); {
		case ctx.Err() != nil:
			return nil
		case err == nil, errors.Is(err, mongostream.ErrFollowed): // another publisher follows already
		case refusedByServer(err):
			return err
		}
		_ = retryDelay.Wait(ctx, 0)
	}
}

// withRemedy adds what to do about an error that ends Run.
func withRemedy(err error) error {
	if errors.Is(err, mongostream.ErrHistoryLost) {
		return fmt.Errorf("%w; forget the position and publish a snapshot of the collections (banyan-publish changes --snapshot does both), "+
			"and make the oplog larger or longer (replSetResizeOplog, minRetentionHours) if it happens again", err)
	}
	return err
}

func (p *Publisher) runOnce(ctx context.Context) error {
	f, err := p.newFollower(ctx)
	if err != nil {
		return err
	}
	running, cancel := context.WithCancel(ctx)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer cancel()
	waiting.Go(func() {
		select {
		case <-f.Ready():
			p.once.Do(func() { close(p.ready) })
		case <-running.Done():
		}
	})
	return f.Run(ctx)
}

// newFollower makes a follower, after it has found out which images there are.
func (p *Publisher) newFollower(ctx context.Context) (*mongostream.Follower, error) {
	after, before, err := p.awaitImages(ctx)
	if err != nil {
		return nil, err
	}
	f, err := p.follow(after, before)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.follower = f
	return f, nil
}

func (p *Publisher) follow(after, before options.FullDocument) (*mongostream.Follower, error) {
	of := mongostream.Collections{Names: p.cfg.Mapping.collectionNames()}.AndMoved()
	p.moves = mongostream.Moves{}
	return mongostream.New(mongostream.Config{
		Name: p.cfg.Name,
		Source: mongostream.Source{Database: p.cfg.Database, Pipeline: mongo.Pipeline{of.Match()},
			FullDocument: after, FullDocumentBeforeChange: before},
		Checkpoint: mongostream.NewCheckpoint(p.cfg.Checkpoints, p.cfg.Name, p.cfg.Lease),
		Handle:     p.handle, Moved: p.noteMove, Interleave: &snapshot{p: p},
		Window: p.cfg.Window, Lease: p.cfg.Lease, StartAt: p.cfg.StartAt, FollowOn: p.cfg.FollowOn, Log: p.cfg.Log,
	})
}

// Forget removes the position, so that the next Run starts as the first one did: with a
// snapshot if Config.Snapshot is set. It fails while a publisher runs.
func (p *Publisher) Forget(ctx context.Context) error {
	err := mongostream.Forget(ctx, p.cfg.Checkpoints, p.cfg.Name)
	if errors.Is(err, mongostream.ErrNoPosition) {
		return nil
	}
	return err
}

// handle publishes the events of one change.
func (p *Publisher) handle(ctx context.Context, c Change) (mongostream.Ack, error) {
	if !p.belongs(&c) {
		p.counted(func(s *Status) { s.Ignored++ })
		return nil, nil
	}
	switch err := p.lookUpDocument(ctx, &c); {
	case errors.Is(err, errCollectionGone):
		return nil, p.refuse(ctx, &c, p.identify(&c, ""), "", nil, err)
	case err != nil:
		return nil, fmt.Errorf("look up the document: %w", err)
	}
	receipts, err := p.publish(ctx, &c, "")
	return waitForAll(receipts), err
}

// waitForAll waits for receipts in their order.
func waitForAll(receipts []publishers.Receipt) mongostream.Ack {
	return func(ctx context.Context) error {
		for _, r := range receipts {
			if _, err := r.Wait(ctx); err != nil {
				return err
			}
		}
		return nil
	}
}

// publish maps c and enqueues its events. If c cannot be mapped, or an event is refused
// for good, the dead letter is written before any later change is handled.
func (p *Publisher) publish(ctx context.Context, c *Change, snapshot string) ([]publishers.Receipt, error) {
	return p.publishAs(ctx, c, p.identify(c, snapshot), snapshot)
}

func (p *Publisher) publishAs(ctx context.Context, c *Change, id *identity, snapshot string) ([]publishers.Receipt, error) {
	made, refusal := p.mapSafely(*c)
	var receipts []publishers.Receipt
	for i := range made {
		e := &made[i]
		if snapshot != "" {
			setDefault(&e.CorrelationID, snapshot)
		}
		id.complete(e, c, p.cfg.Source)
		if err := p.cfg.Check(*e); err != nil {
			if err := p.refuse(ctx, c, id, snapshot, e, err); err != nil {
				return nil, err
			}
			continue
		}
		r, err := p.cfg.To.Enqueue(ctx, *e)
		switch {
		case err == nil:
			receipts = append(receipts, &receipt{Receipt: r, p: p, c: c, id: id, snapshot: snapshot, e: *e})
		case ctx.Err() != nil || !p.cfg.Permanent(err):
			return nil, fmt.Errorf("publish %s: %w", e.Type, err)
		default:
			if err := p.refuse(ctx, c, id, snapshot, e, err); err != nil {
				return nil, err
			}
		}
	}
	return receipts, p.countOutcome(ctx, c, id, snapshot, len(made), refusal)
}

// countOutcome counts a change without events, or writes its dead letter.
func (p *Publisher) countOutcome(ctx context.Context, c *Change, id *identity, snapshot string, made int, refusal error) error {
	switch {
	case errors.Is(refusal, ErrSkip):
		p.counted(func(s *Status) { s.Skipped++ })
	case refusal != nil:
		return p.refuse(ctx, c, id, snapshot, nil, refusal)
	case made == 0:
		p.counted(func(s *Status) { s.Ignored++ })
	}
	return nil
}

// mapSafely recovers from panics of the mapping: one unexpected document must not end the
// publisher, which would read it again at each start.
func (p *Publisher) mapSafely(c Change) (made []events.Event, err error) {
	defer func() {
		if r := recover(); r != nil {
			made, err = nil, fmt.Errorf("the mapping panicked: %v", r)
		}
	}()
	for _, doc := range []bson.Raw{c.Key, c.Full, c.Before, c.Updated} {
		if doc == nil {
			continue
		}
		if err := doc.Validate(); err != nil {
			return nil, fmt.Errorf("the change has a document that is not BSON: %w", err)
		}
	}
	return p.cfg.Mapping.Collections[c.Collection](c)
}

// retryDelay is the pause before the next attempt to read the images.
var retryDelay = backoff.Backoff{Min: 300 * time.Millisecond}

// awaitImages calls chooseImages until the server responds.
func (p *Publisher) awaitImages(ctx context.Context) (after, before options.FullDocument, err error) {
	for {
		attempt, cancel := context.WithTimeout(ctx, 30*time.Second)
		after, before, err = p.chooseImages(attempt)
		cancel()
		if err == nil || refusedByServer(err) || ctx.Err() != nil {
			return after, before, err
		}
		p.cfg.Log.Warn("the server does not respond", "name", p.cfg.Name, "error", err)
		_ = retryDelay.Wait(ctx, 0)
	}
}

// refusedByServer reports whether the server responded, and would respond the same again.
func refusedByServer(err error) bool {
	var server mongo.ServerError
	return errors.As(err, &server) && !mongo.IsNetworkError(err) && !mongo.IsTimeout(err) && !server.HasErrorCode(mongoerr.NotWritablePrimary)
}
