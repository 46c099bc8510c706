package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/migrate/internal/process"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

const (
	// undoTimeout bounds one undoing; writes wait while it lasts.
	undoTimeout = 30 * time.Second
	// leaseSlack is how long other processes wait beyond the lease of the one that
	// undoes its own work.
	leaseSlack = 400 * time.Millisecond
)

// undo brings an entity back from switching to shadowing, and removes a fence that a
// paused process left behind in shadowing. It first changes the
// record, so that a switch that is still under way, or whose answer was lost, can
// no longer take effect; if it has, errForward. Any number of processes may call
// it at once; each waits for the lease of the one before, unless the record is at revision mine,
// which the caller wrote.
func (e *Engine) undo(ctx context.Context, mine int64) (ownership.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, undoTimeout)
	defer cancel()
	var seen int64
	since := time.Now()
	for {
		rec, err := e.record(ctx)
		if err != nil {
			return rec, err
		}
		if rec.Revision != seen {
			seen, since = rec.Revision, time.Now()
		}
		switch {
		case rec.Owner == ownership.DynamoDB:
			return rec, errForward
		case rec.Phase != ownership.Switching:
			if left, err := e.leftFence(ctx, rec); err != nil || !left {
				return rec, err
			}
		case rec.Revision != mine && time.Since(since) < e.leaseOf(rec):
			if err := backoff.Sleep(ctx, 20*time.Millisecond); err != nil {
				return rec, fmt.Errorf("wait for another process's cut-over: %w", err)
			}
			continue
		}
		rec, err = e.undoOnce(ctx, rec)
		if err == nil || ctx.Err() != nil || !errors.Is(err, ownership.ErrConflict) && !errors.Is(err, context.DeadlineExceeded) {
			return rec, err
		}
		mine = rec.Revision // the lease was too short, or another process's
		if err := retry.Wait(ctx, 1); err != nil {
			return rec, err
		}
	}
}

// leaseOf is how long a record must be unchanged before others may act on it.
func (e *Engine) leaseOf(rec ownership.Record) time.Duration {
	if process.Ended(rec.By) {
		return process.Grace
	}
	return e.Plan.Budgets.Hold + leaseSlack
}

// leftFence reports whether a fence is left that no cut-over is responsible for.
func (e *Engine) leftFence(ctx context.Context, rec ownership.Record) (bool, error) {
	if rec.Phase != ownership.Shadowing {
		return false, nil
	}
	at, err := e.newFence(rec).inspect(ctx)
	return at.fenced, err
}

// undoOnce makes one attempt, within one lease. The record returned is the last one written.
func (e *Engine) undoOnce(ctx context.Context, rec ownership.Record) (ownership.Record, error) {
	lease, cancel := context.WithTimeout(ctx, e.Plan.Budgets.Hold)
	defer cancel()
	claimed, err := e.owners.Update(ctx, rec, func(r *ownership.Record) {
		r.Hold, r.Phase, r.HoldUntil, r.By = true, ownership.Switching, time.Now().Add(e.Plan.Budgets.Hold), process.Self()
	})
	if err != nil {
		return ownership.Record{}, err
	}
	if err := e.crash("undo claimed"); err != nil {
		return claimed, err
	}
	if err := e.newFence(claimed).lower(lease); err != nil {
		return claimed, err
	}
	next, err := e.owners.Update(ctx, claimed, func(r *ownership.Record) {
		r.Hold, r.HoldUntil, r.Phase, r.By = false, time.Time{}, ownership.Shadowing, ""
	})
	if err != nil {
		return claimed, fmt.Errorf("release writes in MongoDB: %w", err)
	}
	return next, nil
}
