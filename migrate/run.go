package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/migrate/internal/state"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
)

// RunOptions choose how far Run goes.
type RunOptions struct {
	// UntilShadowing returns when everything is copied and the changes have been
	// caught up with, instead of following until the owner has switched.
	UntilShadowing bool
	// FromStart copies everything afresh, from a new position in the change
	// stream; what is in the target is replaced where it is older.
	FromStart bool
}

// errDone ends a run that has done what it was asked for.
var errDone = errors.New("done")

// Run copies the collection and follows its changes until the owner has
// switched. It may be killed at any instant, and any number of processes may run it
// at once. A run that could not reach the control table for longer than its lease
// restarts by itself.
func (e *Engine) Run(ctx context.Context, opts RunOptions) error {
	rec, err := e.prepare(ctx, opts)
	if err != nil || rec.Owner == ownership.DynamoDB {
		return err
	}
	for {
		err := e.runOnce(ctx, opts)
		switch {
		case errors.Is(err, errDone):
			return nil
		case ctx.Err() != nil && !e.crashed.Load():
			return fmt.Errorf("run of %s interrupted: %w", e.Plan.Entity, ctx.Err())
		case !errors.Is(err, errLeaseLost):
			return err
		}
		e.Log.Warn("lease lost, restarting", "worker", e.worker)
		e.worker = uuid.NewString()
	}
}

// prepare checks what a run needs, and creates the tables and the job.
func (e *Engine) prepare(ctx context.Context, opts RunOptions) (ownership.Record, error) {
	rec, err := e.record(ctx)
	if err != nil {
		return rec, err
	}
	if rec.Owner == ownership.DynamoDB {
		e.Progress(Progress{At: time.Now(), Phase: rec.Phase, Message: "the owner has switched already; nothing to do"})
		return rec, nil
	}
	if err := e.source.MustExist(ctx, rec.Epoch); err != nil {
		return rec, err
	}
	if err := e.target.Ensure(ctx); err != nil {
		return rec, err
	}
	if opts.FromStart {
		if err := e.resetCopy(ctx); err != nil {
			return rec, err
		}
	}
	_, err = e.updateJob(ctx, func(j *job) bool {
		if j.Generation > 0 {
			return false
		}
		j.Generation, j.StartedAt = 1, time.Now().UTC()
		return true
	})
	if err != nil {
		return rec, err
	}
	return e.movePhase(ctx, ownership.Legacy, ownership.Copying)
}

// movePhase changes the phase if it is still from.
func (e *Engine) movePhase(ctx context.Context, from, to ownership.Phase) (ownership.Record, error) {
	for i := 0; ; i++ {
		rec, err := e.record(ctx)
		if err != nil || rec.Phase != from {
			return rec, err
		}
		next, err := e.owners.Update(ctx, rec, func(r *ownership.Record) { r.Phase = to })
		if !errors.Is(err, ownership.ErrConflict) || i > 20 {
			return next, err
		}
	}
}

// resetCopy deletes the position and the verifications; the ranges are planned anew.
func (e *Engine) resetCopy(ctx context.Context) error {
	rec, err := e.record(ctx)
	if err != nil {
		return err
	}
	if rec.Phase == ownership.Switching {
		return fmt.Errorf("copy %s afresh: a cut-over is in progress; wait for its end, or run `banyan-migrate cutover` again, first", e.Plan.Entity)
	}
	start, err := e.sourceTime(ctx)
	if err != nil {
		return err
	}
	if _, err := e.movePhase(ctx, ownership.Shadowing, ownership.Copying); err != nil {
		return err
	}
	if err := e.deleteVerifications(ctx); err != nil {
		return err
	}
	if err := e.restartChanges(ctx, start); err != nil {
		return err
	}
	_, err = e.updateJob(ctx, func(j *job) bool {
		j.Generation, j.StartedAt = j.Generation+1, time.Now().UTC()
		j.Planned, j.Copied, j.CopiedAt = false, false, time.Time{}
		return true
	})
	return err
}

// restartChanges resets the position. The process that follows the changes notices at
// its next save.
func (e *Engine) restartChanges(ctx context.Context, start stamp.ClusterTime) error {
	for {
		row := &changesRow{}
		if _, err := e.state.Load(ctx, changesKey, row); err != nil {
			return err
		}
		*row = changesRow{Row: row.Row, Start: start, OutOfBand: row.OutOfBand}
		if err := e.state.Save(ctx, row); !errors.Is(err, state.ErrConflict) {
			return err
		}
	}
}

func (e *Engine) runOnce(ctx context.Context, opts RunOptions) error {
	h, lost, stop, err := e.startHeartbeat(ctx)
	if err != nil {
		return err
	}
	defer stop()
	l := e.newLiveness()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		select {
		case <-lost:
			return errLeaseLost
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	g.Go(func() error { return e.follow(ctx, h, l) })
	g.Go(func() error { return e.copyThenShadow(ctx, h, l) })
	g.Go(func() error { return e.watchOwner(ctx, opts) })
	g.Go(func() error { return e.reportProgress(ctx) })
	return g.Wait()
}

// copyThenShadow copies what is left to copy, waits until the changes have
// caught up with it, and then sets the phase to shadowing.
func (e *Engine) copyThenShadow(ctx context.Context, h *heartbeat, l *liveness) error {
	if err := e.newBackfill(h, l).run(ctx); err != nil {
		return err
	}
	rec, err := e.record(ctx)
	if err != nil || rec.Phase != ownership.Copying {
		return err
	}
	if _, err := e.awaitBarrier(ctx, rec.Epoch, 50*time.Millisecond); err != nil {
		return err
	}
	if err := e.crash("shadowing"); err != nil {
		return err
	}
	_, err = e.movePhase(ctx, ownership.Copying, ownership.Shadowing)
	return err
}

// watchOwner ends the run when it has nothing more to do, and undoes a cut-over
// whose process has ended: its fence would refuse writes forever.
func (e *Engine) watchOwner(ctx context.Context, opts RunOptions) error {
	for {
		rec, err := e.record(ctx)
		switch {
		case err != nil:
			return err
		case rec.Owner == ownership.DynamoDB:
			return errDone
		case opts.UntilShadowing && rec.Phase == ownership.Shadowing:
			return errDone
		case rec.Phase == ownership.Switching || rec.Phase == ownership.Shadowing:
			_, err := e.undo(ctx, 0)
			if e.crashed.Load() {
				return err
			}
			if err != nil && !errors.Is(err, errForward) {
				e.Log.Warn("undo of an unfinished cut-over failed, retrying", "error", err)
			}
		}
		if err := backoff.Sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// reportProgress calls Progress once a second.
func (e *Engine) reportProgress(ctx context.Context) error {
	var m meter
	for {
		p, err := e.progress(ctx)
		if err != nil {
			return err
		}
		p.PerSecond = m.observe(p.At, p.Copied.Documents)
		p.ETA = eta(p.Copied, p.PerSecond)
		e.Progress(p)
		if err := backoff.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

func (e *Engine) progress(ctx context.Context) (Progress, error) {
	rec, err := e.record(ctx)
	if err != nil {
		return Progress{}, err
	}
	c, err := e.copied(ctx)
	if err != nil {
		return Progress{}, err
	}
	row := &changesRow{}
	if _, err := e.state.Load(ctx, changesKey, row); err != nil {
		return Progress{}, err
	}
	now := time.Now()
	return Progress{At: now.UTC(), Phase: rec.Phase, Copied: c, Changes: row.summary(now)}, nil
}
