package fence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/internal/worker"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/source"
)

// giveBackTimeout bounds the giving back of the public name, most of which is waiting for
// late commands. Writes wait only in turns of one budget.
const giveBackTimeout = 3 * time.Minute

// ErrAbandoning says that an abandonment was begun, and is not finished.
var ErrAbandoning error = retry.Permanent("the migration is being abandoned: run `banyan-migrate abandon` again to finish")

// Abandon gives the collection its public name back, and lets everyone write to it again.
// It may be killed at any instant and called again. It is refused once the owner has
// switched.
func (f *Fence) Abandon(ctx context.Context) (ownership.Record, error) {
	rec, err := f.Owners.Load(ctx, f.Entity)
	if err != nil {
		return rec, err
	}
	if rec, err = f.awaitMongoDBs(ctx, rec.Phase); err != nil {
		return rec, err
	}
	if rec.Move == nil && rec.Collection == "" { // never encapsulated, or given back
		if rec, err = f.Owners.Update(ctx, rec, func(r *ownership.Record) { r.Phase = ownership.Abandoned }); err != nil {
			return rec, err
		}
		return rec, f.clearPhysical(ctx, rec)
	}
	if rec, err = f.adoptReplacement(ctx, rec); err != nil {
		return rec, err
	}
	return f.giveBack(ctx, rec, ownership.Abandoned)
}

// adoptReplacement makes what stands under the collection's name the collection, where that
// is gone: somebody dropped or replaced it. Its UUID is persisted before anything moves, or
// it could not be told from a stray at either name after a crash.
func (f *Fence) adoptReplacement(ctx context.Context, rec ownership.Record) (ownership.Record, error) {
	if rec.CollectionUUID != "" {
		f.UUID = rec.CollectionUUID
	}
	l, err := f.look(ctx)
	if err != nil || rec.Move != nil || l.Locate(f.UUID) != "" {
		return rec, err
	}
	e, there := l.At(rec.Collection)
	if !there || e.View {
		return rec, nil
	}
	next, err := f.Owners.Update(ctx, rec, func(r *ownership.Record) { r.CollectionUUID = e.UUID })
	if err != nil {
		return rec, err
	}
	f.UUID = e.UUID
	return next, nil
}

// GiveBack finishes the undoing of an encapsulation, where another process began it and
// has died.
func (f *Fence) GiveBack(ctx context.Context) (ownership.Record, error) {
	rec, err := f.awaitMongoDBs(ctx, ownership.Legacy)
	if err != nil || !f.GivesBack(rec) {
		return rec, err
	}
	return f.giveBack(ctx, rec, ownership.Legacy)
}

// GivesBack reports whether an encapsulation is being undone.
func (f *Fence) GivesBack(rec ownership.Record) bool {
	return rec.Phase == ownership.Legacy && rec.Hold && rec.Move != nil && rec.Move.To == string(f.Names)
}

// giveBack returns the collection to its public name. A name is entered again only here,
// so it must be proved first that no earlier command can arrive any more: it could drop
// the collection, or move it away. That is waited for while writes go on. Where it takes
// longer than one turn while they are held, the collection moves on to a further name, as
// in an undo, writes go on, and all begins again; an encapsulation is then done, and stays.
func (f *Fence) giveBack(ctx context.Context, rec ownership.Record, phase ownership.Phase) (ownership.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, giveBackTimeout)
	defer cancel()
	if rec.Move != nil && !rec.Hold && rec.Collection == "" { // only announced: nothing was sent
		return f.Owners.Update(ctx, rec, func(r *ownership.Record) {
			r.Phase, r.Move, r.HoldUntil, r.By = phase, nil, time.Time{}, ""
		})
	}
	for f := *f; ; f.Budget = 2 * f.turn() { // a turn that was too short for this machine would be so again
		if !rec.Hold {
			if err := f.awaitAlone(ctx); err != nil {
				return rec, err
			}
		}
		var stillHeld bool
		var err error
		if rec, stillHeld, err = f.giveBackInTurn(ctx, rec, phase); err == nil {
			return rec, f.clearPhysical(ctx, rec)
		}
		if !stillHeld {
			return rec, err
		}
		f.Log.Warn("give the public name back: failed, so the collection moves on, and writes go on", "error", err)
		if phase == ownership.Legacy {
			return f.moveOnAndRelease(ctx, rec, ownership.Encapsulated)
		}
		rec, err = f.moveOnAndRelease(ctx, rec, phase)
		if err != nil && (ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, errTaken)) {
			return rec, err
		}
	}
}

// giveBackInTurn holds writes for at most one turn; stillHeld says that it failed, and that they
// still are. The record is returned as last written.
func (f *Fence) giveBackInTurn(ctx context.Context, rec ownership.Record, phase ownership.Phase) (_ ownership.Record, stillHeld bool, err error) {
	turn, cancel := context.WithTimeout(ctx, f.turn())
	defer cancel()
	now := time.Now()
	held, err := f.Owners.Update(turn, rec, func(r *ownership.Record) {
		switch {
		case r.Move == nil || !r.Hold: // an announced move was not sent
			r.Move = &ownership.Move{From: r.Collection, To: string(f.Names)}
		case r.Move.To != string(f.Names):
			r.Move = &ownership.Move{From: r.Move.To, To: string(f.Names)}
		}
		if !r.Hold {
			r.HeldAt = now.UTC()
		}
		r.Hold, r.HoldUntil, r.By = true, now.Add(f.turn()), worker.ThisProcess()
		if phase == ownership.Abandoned {
			r.Phase = phase
		}
	})
	if err != nil {
		return rec, false, err
	}
	err = f.Owners.AwaitAck(turn, f.Entity, held.Revision)
	if err == nil {
		held, err = f.lower(turn, held)
	}
	if err == nil {
		held, err = f.settleHome(turn, held)
	}
	if err != nil && !errors.Is(err, source.ErrGone) {
		return held, ctx.Err() == nil && !errors.Is(err, ownership.ErrConflict), err
	}
	home, err := f.Owners.Update(ctx, held, func(r *ownership.Record) {
		r.Collection, r.CollectionUUID, r.Move = "", "", nil
		r.Hold, r.HoldUntil, r.Phase, r.By = false, time.Time{}, phase, ""
	})
	if err != nil {
		return held, false, err
	}
	return home, false, nil
}

// settleHome makes sure that the collection has its public name for good, and, on servers
// without collectionUUID, that views stand under all others.
func (f *Fence) settleHome(ctx context.Context, rec ownership.Record) (ownership.Record, error) {
	for {
		err := f.settle(ctx, string(f.Names), func(l source.Layout) string {
			if f.Conditional {
				return ""
			}
			return f.astray(l, string(f.Names), rec.Generation)
		})
		if err == nil {
			err = f.RestoreExpiry(ctx, string(f.Names))
		}
		if !errors.Is(err, ErrNotFenced) {
			return rec, err
		}
		if rec, err = f.lower(ctx, rec); err != nil {
			return rec, err
		}
	}
}

// lower drops the view under the public name and renames the collection to it. It looks
// after each command, and proves before each that it is alone.
func (f *Fence) lower(ctx context.Context, rec ownership.Record) (ownership.Record, error) {
	public := string(f.Names)
	for attempt := 0; ; attempt++ {
		err := f.awaitAlone(ctx)
		var l source.Layout
		if err == nil {
			l, err = f.lookInTurn(ctx, rec)
		}
		if err == nil {
			at := f.replacement(l, rec)
			switch e, there := l.At(public); {
			case there && !e.View && (at == public || at == ""), !there && at == "":
				stray, standing := f.strayUnderPhysical(l, rec.Generation)
				if !standing {
					return rec, f.coverPhysical(ctx, l, rec.Generation)
				}
				rec, err = f.setAside(ctx, rec, stray)
			case there && !e.View:
				rec, err = f.setAside(ctx, rec, e)
			default:
				err = f.enterPublic(ctx, l, at, there)
			}
		}
		if err := f.retryable(ctx, err, attempt); err != nil {
			return rec, fmt.Errorf("give %s its name back: %w", public, err)
		}
	}
}

// enterPublic drops the view under the public name, if it is there, and renames what is
// called at to it.
func (f *Fence) enterPublic(ctx context.Context, l source.Layout, at string, view bool) error {
	if view {
		if err := f.DDL.drop(ctx, string(f.Names), ""); err != nil || at == "" {
			return err
		}
	}
	e, _ := l.At(at)
	return f.DDL.rename(ctx, at, string(f.Names), f.condition(e.UUID))
}

// awaitAlone waits until no other connection is open over which a command may arrive. It
// keeps none of its own meanwhile: others may wait for that.
func (f *Fence) awaitAlone(ctx context.Context) error {
	var waitedFor error
	for {
		err := f.DDL.proveAlone(ctx, f.DB.Client().Database("admin"))
		switch {
		case errors.Is(err, ErrNotAlone):
			waitedFor = err
		case waitedFor != nil && (ctx.Err() != nil || mongo.IsTimeout(err)):
			return waitedFor
		default:
			return err
		}
		f.DDL.Close()
		if backoff.Sleep(ctx, 100*time.Millisecond) != nil {
			return waitedFor
		}
	}
}

// strayUnderPhysical is a collection of somebody else under a physical name.
func (f *Fence) strayUnderPhysical(l source.Layout, generations int64) (source.Entry, bool) {
	for _, name := range f.Names.Vacated(string(f.Names), generations) {
		if e, there := l.At(name); there && !e.View && e.UUID != f.UUID {
			return e, true
		}
	}
	return source.Entry{}, false
}

// coverPhysical has views of the public name stand under all physical names, on a server
// without collectionUUID: a member that sleeps could still write to one.
func (f *Fence) coverPhysical(ctx context.Context, l source.Layout, generations int64) error {
	if f.Conditional {
		return nil
	}
	for _, name := range f.Names.Vacated(string(f.Names), generations) {
		if _, there := l.At(name); there {
			continue
		}
		err := f.DDL.createView(ctx, name, string(f.Names), l.Collation(f.UUID))
		if err != nil && !mongoerr.HasCode(err, mongoerr.NamespaceExists) {
			return err
		}
	}
	return nil
}

// clearPhysical drops the views under the physical names of a collection that is home, since
// nothing ever stands there again. Writes go on meanwhile: each of many generations costs a
// command, and were they held for it, a turn would fail the likelier the more of them it had
// failed before.
func (f *Fence) clearPhysical(ctx context.Context, rec ownership.Record) error {
	if !f.Conditional {
		return nil
	}
	for attempt := 0; ; attempt++ {
		done, err := f.dropView(ctx, rec)
		if done || errors.Is(err, ownership.ErrConflict) { // somebody encapsulates it again, and needs them
			return nil
		}
		if err := f.retryable(ctx, err, attempt); err != nil {
			return fmt.Errorf("%s has its name back, and is written to; drop the views under its former names (`banyan-migrate abandon` "+
				"again does): %w", f.Names, err)
		}
	}
}

// dropView drops one view under a physical name; done says that none is left. It looks before each
// whether they are needed again.
func (f *Fence) dropView(ctx context.Context, rec ownership.Record) (done bool, err error) {
	l, err := f.lookInTurn(ctx, rec)
	if err != nil {
		return false, err
	}
	for _, name := range f.Names.Vacated(string(f.Names), rec.Generation) {
		if e, there := l.At(name); there && e.View {
			return false, f.DDL.drop(ctx, name, "")
		}
	}
	return true, nil
}
