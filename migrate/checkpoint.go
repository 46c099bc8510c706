package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/internal/state"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
)

// errEpochMoved: the owner changed since the follower was made, and with it the names
// of the collections to follow.
var errEpochMoved = errors.New("the ownership record has another epoch")

// Acquire implements mongostream.Checkpoint: the changes are free unless a live worker holds
// them.
func (f *follower) Acquire(ctx context.Context) (mongostream.Position, bool, error) {
	acquired, err := f.acquireChanges(ctx)
	if err != nil {
		return mongostream.Position{}, false, fmt.Errorf("%w: %w", mongostream.ErrCheckpointRefused, err)
	}
	p := mongostream.Position{
		Start: f.row.Start.Timestamp(), Token: f.row.Token, Invalidated: f.row.Invalidated,
		At: f.row.Applied.Timestamp(), Index: -1, CaughtUp: f.row.CaughtUp, Changes: f.row.Events,
	}
	if len(f.row.Token) == 0 {
		p.Token = nil
	}
	return p, acquired, nil
}

func (f *follower) acquireChanges(ctx context.Context) (bool, error) {
	if !f.heartbeat.holdsLease() {
		return false, errLeaseLost
	}
	row := changesRow{}
	if _, err := f.e.state.Load(ctx, changesKey, &row); err != nil {
		return false, err
	}
	if row.Worker != f.e.worker {
		if dead, err := f.liveness.isDead(ctx, row.Worker); err != nil || !dead {
			return false, err
		}
	}
	row.Worker, row.Error = f.e.worker, ""
	if row.Start == 0 {
		now, err := f.e.sourceTime(ctx)
		if err != nil {
			return false, err
		}
		row.Start = now
	}
	switch rec, err := f.e.record(ctx); {
	case err != nil:
		return false, err
	case rec.Epoch != f.epoch:
		return false, errEpochMoved
	}
	if err := f.e.state.Save(ctx, &row); err != nil {
		if errors.Is(err, state.ErrConflict) {
			err = nil
		}
		return false, err
	}
	f.resetLocalState(row)
	return true, f.e.crash("changes held")
}

// resetLocalState makes what belongs to one acquisition: the queues of the appliers
// and the counters.
func (f *follower) resetLocalState(row changesRow) {
	f.row = row
	f.queues, f.stopped, f.failure = make([]chan *change, f.e.Appliers), make(chan struct{}), nil
	for i := range f.queues {
		f.queues[i] = make(chan *change, applierQueue)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.barriers, f.outOfBand = row.Barriers, row.OutOfBand
}

// Save implements mongostream.Checkpoint.
func (f *follower) Save(ctx context.Context, p mongostream.Position) error {
	if f.e.crashed.Load() {
		return fmt.Errorf("%w: %w", mongostream.ErrCheckpointRefused, errCrash)
	}
	if err := f.e.crash("position"); err != nil {
		return fmt.Errorf("%w: %w", mongostream.ErrCheckpointRefused, err)
	}
	f.row.Token, f.row.Invalidated = p.Token, p.Invalidated
	f.row.Applied = max(f.row.Applied, stamp.ClusterTimeOf(p.At))
	f.row.CaughtUp, f.row.Events = p.CaughtUp, p.Changes
	f.mu.Lock()
	f.row.Barriers, f.row.OutOfBand = slices.Clone(f.barriers), f.outOfBand
	f.mu.Unlock()
	return f.saveRow(ctx)
}

func (f *follower) saveRow(ctx context.Context) error {
	f.row.SavedAt = time.Now().UTC()
	err := f.e.state.Save(ctx, &f.row)
	switch {
	case errors.Is(err, state.ErrConflict):
		return fmt.Errorf("%w: %w", mongostream.ErrLeaseLost, err)
	case retry.IsPermanent(err):
		return fmt.Errorf("%w: %w", mongostream.ErrCheckpointRefused, err)
	}
	return err
}

// Release implements mongostream.Checkpoint. The cause stays for status.
func (f *follower) Release(ctx context.Context, cause error) error {
	if cause != nil && !errors.Is(cause, errDone) {
		f.row.Error = f.explain(cause).Error()
	}
	f.row.Worker = ""
	return f.saveRow(ctx)
}

// Held implements mongostream.Checkpoint.
func (f *follower) Held() bool { return f.heartbeat.holdsLease() }

// Holder implements mongostream.Checkpoint. The state's revision, and not a number
// of the holder, makes saves conditional.
func (f *follower) Holder() (owner string, epoch int64) { return f.e.worker, 0 }
