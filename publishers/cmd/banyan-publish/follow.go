package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/infra/serving"
)

// followFlags are the flags of commands that follow a MongoDB database.
type followFlags struct {
	databaseFlags
	Window       int           `help:"Most changes in flight." default:"1000" env:"BANYAN_PUBLISH_WINDOW"`
	Lease        time.Duration `help:"How long another process waits before it replaces one that has died." default:"10s" env:"BANYAN_PUBLISH_LEASE"`
	DrainTimeout time.Duration `help:"Longest that sending the pending events may take at the end." default:"15s" env:"BANYAN_PUBLISH_DRAIN_TIMEOUT"`
	Stream       streamFlags   `embed:""`
}

// patience is how old an event may get before the stream counts as unreachable.
const patience = 10 * time.Second

// worker follows the database at one URI.
type worker struct {
	run       func(context.Context) error
	ready     <-chan struct{}
	following func() mongostream.Status
	metrics   func(outletMetrics) any
}

// workers run one after the other, as the URI of the database changes.
type workers struct {
	db      *mongoclient.Database
	out     outlet
	log     *slog.Logger
	prepare func(*mongo.Database, outlet) (worker, error)
	now     atomic.Pointer[worker]
}

// run opens both sides, runs the worker until ctx ends or it fails, and sends
// the pending events.
func (f *followFlags) run(ctx context.Context, adminListen string, log *slog.Logger, prepare func(*mongo.Database, outlet) (worker, error)) (err error) {
	db, leave, err := f.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leave()) }()
	p, err := f.Stream.openRetrying(ctx)
	if err != nil {
		return err
	}
	out := &direct{p, patience}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.DrainTimeout)
		defer cancel()
		err = errors.Join(err, out.close(end))
	}()
	w := &workers{db: db, out: out, log: log, prepare: prepare}
	if err := db.Do(ctx, w.prepareNext); err != nil {
		return err
	}
	return w.runUntilDone(ctx, adminListen)
}

// prepareNext makes the next worker. It sends no request.
func (w *workers) prepareNext(_ context.Context, db *mongo.Database) error {
	one, err := w.prepare(db, w.out)
	if err != nil {
		return fmt.Errorf("%w: %w", serving.ErrUsage, err)
	}
	w.now.Store(&one)
	return nil
}

func (w *workers) runUntilDone(ctx context.Context, adminListen string) error {
	metrics := func() any { return w.now.Load().metrics(w.out.metrics()) }
	admin, err := serving.Listen("--admin-listen", adminListen, serving.Admin(w.readiness(ctx), metrics))
	if err != nil {
		return err
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	w.log.InfoContext(ctx, "starting", "admin", admin.Addr().String())
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer end()
		return w.db.Run(running, w.runOne)
	})
	group.Go(func() error { return serving.Run(life, admin) })
	return group.Wait()
}

// runOne runs one worker, for as long as the URI stays the same.
func (w *workers) runOne(ctx context.Context, db *mongo.Database) error {
	if err := w.prepareNext(ctx, db); err != nil {
		return err
	}
	one := w.now.Load()
	ctx, cancel := context.WithCancel(ctx)
	var announcing sync.WaitGroup
	defer announcing.Wait()
	defer cancel()
	announcing.Go(func() {
		select {
		case <-one.ready:
			s := one.following()
			w.log.InfoContext(ctx, "ready: no change from now on can be missed", "name", s.Name, "owner", s.Owner, "epoch", s.Epoch)
		case <-ctx.Done():
		}
	})
	return one.run(ctx)
}

// recently is for how long after an error a worker that does not follow is not
// ready. Without an error, a worker that does not follow is on standby.
const recently = 30 * time.Second

func (w *workers) readiness(ctx context.Context) func() error {
	reachable := readiness(ctx, w.out)
	return func() error {
		if err := reachable(); err != nil {
			return err
		}
		if s := w.now.Load().following(); !s.Following && time.Since(s.LastErrorAt) < recently {
			return fmt.Errorf("not following: %s", s.LastError)
		}
		return nil
	}
}

// followerMetrics are those of the change stream.
type followerMetrics struct {
	Name       string  `json:"name"`
	Following  bool    `json:"following"`
	Owner      string  `json:"owner"`
	Epoch      int64   `json:"epoch"`
	Position   string  `json:"position"`
	LagMS      float64 `json:"lag_ms"` // negative: not known
	InFlight   int     `json:"in_flight"`
	Handled    int64   `json:"handled"`
	Reconnects int64   `json:"reconnects"`
	LastError  string  `json:"last_error,omitempty"`
}

func followerMetricsOf(s mongostream.Status) followerMetrics {
	return followerMetrics{
		Name: s.Name, Following: s.Following, Owner: s.Owner, Epoch: s.Epoch, Position: position(s), LagMS: milliseconds(s.Lag),
		InFlight: s.InFlight, Handled: s.Handled, Reconnects: s.Reconnects, LastError: s.LastError,
	}
}

func position(s mongostream.Status) string { return fmt.Sprintf("%d.%d", s.Position.T, s.Position.I) }
