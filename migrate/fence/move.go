package fence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/internal/worker"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/source"
)

// slack is how long other processes wait beyond the deadline of the one that holds writes.
const slack = 400 * time.Millisecond

// undoTimeout bounds one undoing, from its turn on; writes wait while it lasts.
const undoTimeout = 30 * time.Second

// ErrSwitched says that DynamoDB is the owner, so the public name cannot be given or given
// back.
var ErrSwitched error = retry.Permanent("DynamoDB is the owner; make MongoDB the owner first, with `banyan-migrate rollback`")

// undone are the phases to which a change of owner that is under way is undone.
var undone = map[ownership.Phase]ownership.Phase{
	ownership.Switching:   ownership.Shadowing,
	ownership.RollingBack: ownership.Switched,
}

// UnderWay reports whether the owner is about to change.
func UnderWay(phase ownership.Phase) bool { return undone[phase] != "" }

// Announce persists that the collection is about to move to its next name, and waits
// until every member has tried that it may use it. Nothing moves yet, and writes go on.
func (f *Fence) Announce(ctx context.Context, rec ownership.Record, phase ownership.Phase) (ownership.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, max(f.Budget, 5*time.Second))
	defer cancel()
	next, err := f.Owners.Update(ctx, rec, func(r *ownership.Record) {
		f.moveOn(r)
		r.Phase, r.By, r.Hold, r.HoldUntil = phase, worker.ThisProcess(), false, time.Now().Add(f.Budget)
	})
	if err != nil {
		return rec, err
	}
	return next, f.awaitFollowers(ctx, next)
}

// awaitFollowers waits until every member has acknowledged the record, and fails where one
// does not follow the collection to another name: it may have registered since somebody
// looked at the members.
func (f *Fence) awaitFollowers(ctx context.Context, rec ownership.Record) error {
	if err := f.Owners.AwaitAck(ctx, f.Entity, rec.Revision); err != nil {
		return err
	}
	members, err := f.Owners.Members(ctx, f.Entity)
	for _, m := range members {
		if problem := m.CannotFollow(); problem != "" {
			return errors.New(problem)
		}
	}
	return err
}

// moveOn lets r say that the collection moves to a name that was never used.
func (f *Fence) moveOn(r *ownership.Record) {
	r.Generation++
	from := f.Names.Physical(0)
	if r.Collection != "" {
		from = r.Collection
	}
	r.Move = &ownership.Move{From: from, To: f.Names.Physical(r.Generation)}
	r.CollectionUUID = f.UUID // so that the members' writes are conditional on it from now on
}

// Hold holds the writes of all members, and waits until none is in flight. From then on
// the announced move may have been sent.
func (f *Fence) Hold(ctx context.Context, rec ownership.Record) (ownership.Record, error) {
	now := time.Now()
	held, err := f.Owners.Update(ctx, rec, func(r *ownership.Record) {
		r.Hold, r.HeldAt, r.HoldUntil = true, now.UTC(), now.Add(f.Budget)
	})
	if err != nil {
		return rec, err
	}
	return held, f.awaitFollowers(ctx, held)
}

// Raise moves the collection as rec.Move says, and has views occupy the names that it
// left. The record is returned as last written.
func (f *Fence) Raise(ctx context.Context, rec ownership.Record) (ownership.Record, error) {
	return f.raise(ctx, rec)
}

// Undo undoes a change of owner that is under way: the collection moves on to a further
// name, which the members are told, and the phase is the one before. It first changes the
// record, so that a switch whose answer was lost can no longer take effect; whether it has
// is what the record that is returned says. Any number of processes may call it at once;
// each waits for the deadline of the one before, unless the record is at revision mine,
// which the caller wrote.
func (f *Fence) Undo(ctx context.Context, mine int64) (ownership.Record, error) {
	patient := *f
	f = &patient
	for attempt := 0; ; attempt++ {
		rec, err := f.awaitTurn(ctx, UnderWay, mine)
		back := undone[rec.Phase]
		if err != nil || back == "" {
			return rec, err
		}
		if attempt == 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, undoTimeout)
			defer cancel()
		}
		if !rec.Hold { // only announced: nothing was sent
			rec, err = f.Owners.Update(ctx, rec, func(r *ownership.Record) {
				r.Phase, r.Move, r.HoldUntil, r.By = back, nil, time.Time{}, ""
			})
		} else {
			rec, err = f.moveOnAndRelease(ctx, rec, back)
		}
		switch {
		case err == nil:
			return rec, nil
		case ctx.Err() != nil || !errors.Is(err, ownership.ErrConflict) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, errTaken):
			return rec, err
		}
		if errors.Is(err, context.DeadlineExceeded) { // too short for this machine, and it would be so again
			f.Budget = 2 * f.turn()
		}
		mine = rec.Revision // the time was too short, the name taken, or another process's turn came
		if err := retry.Wait(ctx, min(attempt, 3)); err != nil {
			return rec, err
		}
	}
}

// awaitTurn waits, while a move is under way in one of some phases, until the process at it
// is done, or has passed its deadline or died.
func (f *Fence) awaitTurn(ctx context.Context, in func(ownership.Phase) bool, mine int64) (ownership.Record, error) {
	var seen int64
	since := time.Now()
	for {
		rec, err := f.Owners.Load(ctx, f.Entity)
		if err != nil {
			return rec, err
		}
		if rec.Revision != seen {
			seen, since = rec.Revision, time.Now()
		}
		switch {
		case !in(rec.Phase) || rec.Move == nil, rec.Revision == mine, time.Since(since) >= f.patience(rec):
			return rec, nil
		}
		if err := backoff.Sleep(ctx, 20*time.Millisecond); err != nil {
			return rec, fmt.Errorf("wait for another process at %s: %w", f.Entity, err)
		}
	}
}

// awaitMongoDBs is awaitTurn of a verb that only MongoDB's ownership allows.
func (f *Fence) awaitMongoDBs(ctx context.Context, phase ownership.Phase) (ownership.Record, error) {
	rec, err := f.awaitTurn(ctx, func(p ownership.Phase) bool { return p == phase }, 0)
	if err == nil && rec.Owner == ownership.DynamoDB {
		err = ErrSwitched
	}
	return rec, err
}

// patience is how long a record must be unchanged before others may act on it: as long as
// the process at it said that it may take.
func (f *Fence) patience(rec ownership.Record) time.Duration {
	if worker.HasEnded(rec.By) {
		return worker.Grace
	}
	return cmp.Or(rec.Turn, f.Budget) + slack
}

// turn is how long one process may take while writes wait.
func (f *Fence) turn() time.Duration { return max(f.Budget, time.Second) }

// moveOnAndRelease moves the collection on, within one turn, and to a phase. The record
// returned is the last one written.
func (f *Fence) moveOnAndRelease(ctx context.Context, rec ownership.Record, phase ownership.Phase) (ownership.Record, error) {
	turn, cancel := context.WithTimeout(ctx, f.turn())
	defer cancel()
	mine, err := f.Owners.Update(ctx, rec, func(r *ownership.Record) {
		f.moveOn(r)
		r.HoldUntil, r.By = time.Now().Add(f.Budget), worker.ThisProcess()
	})
	if err != nil {
		return rec, err
	}
	next, err := f.adopt(turn, mine, phase)
	if errors.Is(err, source.ErrGone) {
		return f.releaseGone(ctx, next, phase, err)
	}
	return next, err
}

// adopt moves the collection as rec.Move says, for good, tells the members, and releases
// their writes. The record is returned as last written.
func (f *Fence) adopt(ctx context.Context, rec ownership.Record, phase ownership.Phase) (ownership.Record, error) {
	for attempt := 0; ; attempt++ {
		var err error
		if rec, err = f.raise(ctx, rec); err == nil && rec.Owner == ownership.MongoDB {
			err = f.RestoreExpiry(ctx, rec.Move.To)
		}
		if err == nil {
			err = f.settle(ctx, rec.Move.To, func(l source.Layout) string { return f.astray(l, rec.Move.To, rec.Generation) })
		}
		if err == nil {
			break
		}
		if !errors.Is(err, ErrNotFenced) || retry.Wait(ctx, min(attempt, 3)) != nil {
			return rec, err
		}
	}
	next, err := f.Owners.Update(ctx, rec, func(r *ownership.Record) {
		r.Collection, r.CollectionUUID, r.Move = r.Move.To, f.UUID, nil
		r.Hold, r.HoldUntil, r.Phase, r.By = false, time.Time{}, phase, ""
	})
	if err != nil {
		return rec, err
	}
	return next, nil
}

// releaseGone ends a move whose collection is gone, and returns why.
func (f *Fence) releaseGone(ctx context.Context, rec ownership.Record, phase ownership.Phase, gone error) (ownership.Record, error) {
	if rec.Collection == "" { // it never arrived under a name of its own
		phase = ownership.Legacy
	}
	next, err := f.Owners.Update(ctx, rec, func(r *ownership.Record) {
		r.Move, r.Hold, r.HoldUntil, r.Phase, r.By = nil, false, time.Time{}, phase, ""
	})
	if err != nil {
		return rec, err
	}
	return next, gone
}
