package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/migrate/ownership"
)

// undoTimeout bounds one undoing; writes wait while it lasts.
const undoTimeout = 30 * time.Second

// undo brings an entity back from switching to shadowing. It first changes the
// record, so that a switch that is still under way, or whose answer was lost,
// can no longer take effect; if it has, errForward. Any number of processes may
// undo at once.
func (e *Engine) undo(ctx context.Context, rec ownership.Record) (ownership.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, undoTimeout)
	defer cancel()
	for {
		rec, err := e.record(ctx)
		switch {
		case err != nil:
			return rec, err
		case rec.Owner == ownership.DynamoDB:
			return rec, errForward
		case rec.Phase != ownership.Switching:
			return rec, nil
		}
		rec, err = e.undoOnce(ctx, rec)
		if !errors.Is(err, ownership.ErrConflict) {
			return rec, err
		}
		if err := sleep(ctx, backoff(2)); err != nil {
			return rec, err
		}
	}
}

func (e *Engine) undoOnce(ctx context.Context, rec ownership.Record) (ownership.Record, error) {
	claimed, err := e.owners.Update(ctx, rec, func(r *ownership.Record) { r.HoldUntil = time.Now().Add(2 * time.Second) })
	if err != nil {
		return rec, err
	}
	if err := e.crash("undo claimed"); err != nil {
		return claimed, err
	}
	if err := e.unfence(ctx, claimed.Epoch); err != nil {
		return claimed, err
	}
	next, err := e.owners.Update(ctx, claimed, func(r *ownership.Record) {
		r.Hold, r.HoldUntil, r.Phase = false, time.Time{}, ownership.Shadowing
	})
	if err != nil {
		return claimed, fmt.Errorf("give writes back to MongoDB: %w", err)
	}
	return next, nil
}
