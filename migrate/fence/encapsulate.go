package fence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/internal/worker"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// Encapsulate gives the collection its first physical name, which only the members are
// told, and puts a read-only view in its place: from then on MongoDB refuses the writes of
// whoever still uses the public name. It may be killed at any instant and called again.
// When it fails, the collection has its public name again, unless the error says otherwise.
//
// Between the rename and the view the public name is vacant for as long as two commands
// take: what somebody writes there then is kept as a stray, which fails the call with
// ErrStray though the collection is encapsulated, as the record returned says.
func (f *Fence) Encapsulate(ctx context.Context) (rec ownership.Record, err error) {
	for attempt := range 5 {
		rec, err = f.encapsulateOnce(ctx)
		if !errors.Is(err, ownership.ErrConflict) {
			break
		}
		if err := retry.Wait(ctx, attempt); err != nil {
			return rec, err
		}
	}
	return rec, err
}

func (f *Fence) encapsulateOnce(ctx context.Context) (ownership.Record, error) {
	rec, err := f.awaitMongoDBs(ctx, ownership.Legacy)
	switch {
	case err != nil:
		return rec, err
	case rec.Phase == ownership.Abandoned && (rec.Move != nil || rec.Collection != ""):
		return rec, ErrAbandoning
	case rec.Phase != ownership.Legacy && rec.Phase != ownership.Abandoned:
		return rec, nil
	case f.GivesBack(rec):
		if rec, err = f.giveBack(ctx, rec, ownership.Legacy); err != nil || rec.Collection != "" {
			return rec, f.confirmEncapsulated(ctx, rec, err)
		}
	}
	if !rec.Hold {
		f.begin("announce")
		rec, err = f.Announce(ctx, rec, ownership.Legacy)
	}
	if err == nil {
		rec, err = f.encapsulateHeld(ctx, rec)
	}
	if err == nil || errors.Is(err, ownership.ErrConflict) || rec.Move == nil { // done, another's turn, or not begun
		return rec, f.confirmEncapsulated(ctx, rec, err)
	}
	back, undoErr := f.giveBack(context.WithoutCancel(ctx), rec, ownership.Legacy)
	if undoErr != nil {
		return back, fmt.Errorf("%w; the public name could not be given back: run `banyan-migrate encapsulate` again to finish, or "+
			"`banyan-migrate abandon` to undo it; writes wait until then: %w", err, undoErr)
	}
	if back.Collection != "" { // it was done rather than undone
		err = nil
	}
	return back, f.confirmEncapsulated(ctx, back, err)
}

// EncapsulationSteps are the names of the steps of an encapsulation, in their order.
func EncapsulationSteps() []string { return []string{"announce", "hold", "fence"} }

func (f *Fence) begin(step string) {
	if f.Step != nil {
		f.Step(step)
	}
}

// confirmEncapsulated returns err, or what is wrong with the names of an encapsulated
// collection.
func (f *Fence) confirmEncapsulated(ctx context.Context, rec ownership.Record, err error) error {
	if err == nil {
		err = f.Confirm(ctx, rec.Collection, rec.Generation)
	}
	if err != nil && rec.Collection != "" {
		return fmt.Errorf("the collection is encapsulated as %s, but: %w", rec.Collection, err)
	}
	return err
}

// encapsulateHeld holds writes, or goes on where another process did so, and moves.
func (f *Fence) encapsulateHeld(ctx context.Context, rec ownership.Record) (ownership.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, f.turn())
	defer cancel()
	f.begin("hold")
	rec, err := f.claimTurn(ctx, rec)
	if err != nil {
		return rec, err
	}
	if err := f.awaitFollowers(ctx, rec); err != nil {
		return rec, err
	}
	f.begin("fence")
	return f.adopt(ctx, rec, ownership.Encapsulated)
}

// claimTurn holds writes and makes this process the one at work.
func (f *Fence) claimTurn(ctx context.Context, rec ownership.Record) (ownership.Record, error) {
	now := time.Now()
	held, err := f.Owners.Update(ctx, rec, func(r *ownership.Record) {
		if !r.Hold {
			r.HeldAt = now.UTC()
		}
		r.Hold, r.HoldUntil, r.By = true, now.Add(f.Budget), worker.ThisProcess()
	})
	if err != nil {
		return rec, err
	}
	return held, nil
}
