package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/migrate/changes"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/fence"
	"github.com/banyan-fig/banyan/migrate/internal/worker"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/reverse"
	"github.com/banyan-fig/banyan/migrate/source"
)

// RunOptions choose how far Run goes.
type RunOptions struct {
	// UntilShadowing returns when everything is copied, the changes have been caught up
	// with, and the way back has carried a probe.
	UntilShadowing bool
	// UntilSwitched returns when DynamoDB owns the entity, instead of going on with the way
	// back.
	UntilSwitched bool
	// FromStart copies everything afresh, from a new position in the change
	// stream; what is in the target is replaced where it is older, and removed where it is
	// no longer in the source.
	FromStart bool
	// VerifyRate is how many documents and items a second are verified, in rounds, by one of
	// the processes that follow; 0 verifies nothing.
	VerifyRate int
}

// Run copies the collection and follows its changes, and after the switch those of the
// table, on the way back, until the migration is complete. It may be killed at any instant,
// and any number of processes may run it at once. A run that could not reach the control
// table for longer than its lease restarts by itself.
func (e *Engine) Run(ctx context.Context, opts RunOptions) error {
	for {
		m, rec, err := e.prepare(ctx, opts)
		if err != nil || m == nil {
			return err
		}
		opts.FromStart = false
		err = e.runOnce(ctx, m, rec.Owner, opts)
		m.fence.DDL.Close()
		switch {
		case errors.Is(err, changes.ErrDone):
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("run of %s interrupted: %w", e.Plan.Entity, ctx.Err())
		case errors.Is(err, worker.ErrLeaseLost):
			e.Log.Warn("lease lost, restarting")
		case !errors.Is(err, errOtherOwner):
			return err
		}
	}
}

// errOtherOwner: the owner has changed, so that other things are to be followed.
var errOtherOwner = errors.New("the owner has changed")

// prepare checks what a run needs, and creates the tables and the job. The migration is nil
// where there is nothing to do.
func (e *Engine) prepare(ctx context.Context, opts RunOptions) (*migration, ownership.Record, error) {
	rec, err := e.record(ctx)
	if err != nil {
		return nil, rec, err
	}
	switch {
	case rec.Owner == ownership.DynamoDB && (opts.UntilShadowing || opts.UntilSwitched || opts.FromStart || !reverse.Active(rec.Phase)):
		e.Progress(Progress{At: time.Now(), Entity: e.Plan.Entity, Phase: rec.Phase, Message: "the owner has switched already; nothing to do"})
		return nil, rec, nil
	case rec.Owner == ownership.DynamoDB:
		m, err := e.open(ctx)
		return m, rec, err
	case rec.Collection == "":
		if _, err := e.open(ctx); err != nil {
			return nil, rec, err
		}
		return nil, rec, fmt.Errorf("copy %s: %w", e.Plan.Entity, ErrNotEncapsulated)
	case opts.FromStart:
		if err := e.bindAfresh(ctx); err != nil {
			return nil, rec, err
		}
	}
	m, err := e.open(ctx)
	if err != nil {
		return nil, rec, err
	}
	e.restoreProfilers(ctx)
	if err := e.ensureTables(ctx); err != nil {
		return nil, rec, err
	}
	if opts.FromStart {
		if err := e.resetCopy(ctx, m); err != nil {
			return nil, rec, err
		}
	}
	j, err := e.startJob(ctx)
	if err != nil {
		return nil, rec, err
	}
	if j.Ended != "" {
		if err := undoDead(ctx, m); err != nil {
			return nil, rec, err
		}
		return nil, rec, fmt.Errorf("copy %s: %w", e.Plan.Entity, j.CheckEnded())
	}
	if rec, err = e.movePhase(ctx, ownership.Encapsulated, ownership.Copying); err == nil && rec.Phase != ownership.Copying {
		err = e.target.EnsureStream(ctx)
	}
	return m, rec, err
}

// startJob begins the job unless there is one. A table with items, of a migration that was
// abandoned, is copied to afresh: what is older there is replaced.
func (e *Engine) startJob(ctx context.Context) (*control.Job, error) {
	empty, err := e.target.IsEmpty(ctx)
	if err != nil {
		return nil, err
	}
	return e.control.UpdateJob(ctx, func(j *control.Job) bool {
		if j.Generation > 0 {
			return false
		}
		if j.Generation, j.StartedAt = 1, time.Now().UTC(); !empty {
			j.Generation = 2
		}
		return true
	})
}

// ensureTables creates the tables that are missing, and binds the migration to them.
func (e *Engine) ensureTables(ctx context.Context) error {
	tables, err := e.target.Ensure(ctx)
	if err != nil {
		return err
	}
	return e.binder.BindTables(ctx, tables)
}

// bindAfresh binds the migration to the plan, the tables and the collection as they are
// now. What stands in the collection's place becomes the source.
func (e *Engine) bindAfresh(ctx context.Context) error {
	m, err := e.bound(ctx)
	if err == nil {
		err = undoDead(ctx, m)
	}
	if err != nil {
		return err
	}
	uuid, err := m.fence.TakeReplacement(ctx)
	if err != nil {
		return fmt.Errorf("copy %s afresh: %w", e.Plan.Entity, err)
	}
	return e.binder.Bind(ctx, uuid)
}

// undoDead undoes a cut-over whose process has died, also of a collection that is gone: no
// run would, and writes may wait for it.
func undoDead(ctx context.Context, m *migration) error {
	defer m.fence.DDL.Close()
	rec, err := m.fence.Owners.Load(ctx, m.fence.Entity)
	if err == nil && fence.UnderWay(rec.Phase) {
		_, err = m.cutover.UndoDead(ctx)
	}
	if errors.Is(err, source.ErrGone) {
		return nil
	}
	return err
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

// resetCopy deletes the position; the ranges are planned anew, and no verification counts
// any more.
func (e *Engine) resetCopy(ctx context.Context, m *migration) error {
	start, name, err := changes.Beginning(ctx, m.source)
	if err != nil {
		return err
	}
	rec, err := e.movePhase(ctx, ownership.Shadowing, ownership.Copying)
	if err != nil {
		return err
	}
	if err := e.control.RestartChanges(ctx, rec.Epoch, start, name); err != nil {
		return err
	}
	void := ""
	_, err = e.control.UpdateJob(ctx, func(j *control.Job) bool {
		j.Generation, j.StartedAt = j.Generation+1, time.Now().UTC()
		void, j.Planning = j.Planning, ""
		j.Copied, j.CopiedAt, j.Ended = false, time.Time{}, ""
		return true
	})
	if err != nil {
		return err
	}
	return e.control.DeleteRanges(ctx, void)
}

// runOnce follows what is to be followed under an owner: both ways while MongoDB owns the
// entity, so that the way back is there at the switch.
func (e *Engine) runOnce(ctx context.Context, m *migration, owner ownership.Store, opts RunOptions) error {
	w, err := worker.Start(ctx, m.changes.Worker)
	if err != nil {
		return err
	}
	defer w.Stop()
	g, ctx := errgroup.WithContext(w.Bind(ctx))
	g.Go(func() error { return w.AwaitLoss(ctx) })
	if owner == ownership.MongoDB {
		g.Go(func() error { return m.changes.Follow(ctx, w) })
		g.Go(func() error { return e.copyThenShadow(ctx, m, w) })
	}
	g.Go(func() error { return m.reverse.Follow(ctx, w) })
	if opts.VerifyRate > 0 && !opts.UntilShadowing {
		g.Go(func() error { return e.verifyInRounds(ctx, m, w, owner, opts.VerifyRate) })
	}
	g.Go(func() error { return e.probe(ctx, m) })
	g.Go(func() error { return e.watch(ctx, m, owner, opts) })
	g.Go(func() error { return e.reportProgress(ctx, m) })
	return g.Wait()
}

// probe has the way back carry a barrier when it has begun, and from time to time: the
// cut-over needs one, and status shows it.
func (e *Engine) probe(ctx context.Context, m *migration) error {
	warn := rate.Sometimes{Interval: time.Minute}
	for {
		h, err := m.reverse.Health(ctx)
		if err == nil && !h.Begun.IsZero() && time.Since(h.ProbedAt) > probeEvery {
			err = m.reverse.Drain(ctx)
		}
		if err != nil && ctx.Err() == nil {
			e.Log.Warn("probe the way back: failed, trying again", "error", err)
		}
		warn.Do(func() {
			if h.TimeLeft > 0 && h.TimeLeft < reverse.Warning {
				e.Log.Error("the way back is about to end: the stream keeps changes for 24 hours", "left", h.TimeLeft.Round(time.Second), "lag", h.Lag)
			}
			e.watchOplog(ctx)
		})
		if err := backoff.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

// watchOplog warns when the changes are about to leave the oplog.
func (e *Engine) watchOplog(ctx context.Context) {
	row, err := e.control.Changes(ctx)
	if err != nil {
		return
	}
	rec, err := e.record(ctx)
	if err != nil {
		return
	}
	if left := e.oplogLeft(ctx, row, rec); left != nil && *left < oplogWarning {
		e.Log.Error("the position of the changes is about to leave the oplog; make that longer (replSetResizeOplog)", "left", left.Round(time.Second))
	}
}

// probeEvery is how old the last probe of the way back may be.
const probeEvery = time.Minute

// copyThenShadow copies what is left to copy, waits until the changes have
// caught up with it, and then sets the phase to shadowing.
func (e *Engine) copyThenShadow(ctx context.Context, m *migration, w *worker.Worker) error {
	if err := m.backfill.Run(ctx, w); err != nil {
		return err
	}
	rec, err := e.record(ctx)
	if err != nil || rec.Phase != ownership.Copying {
		return err
	}
	if err := e.target.EnsureStream(ctx); err != nil {
		return err
	}
	if _, err := m.barriers.Await(ctx, 50*time.Millisecond); err != nil {
		return err
	}
	if err := e.correctCopy(ctx, m); err != nil {
		return err
	}
	_, err = e.movePhase(ctx, ownership.Copying, ownership.Shadowing)
	return err
}

// finishAfter is how long a process may take behind a switch before others finish for it.
const finishAfter = 5 * time.Second

// watch ends the run when it has nothing more to do, or another owner, undoes or finishes
// a change of owner whose process has ended, since writes wait for it, and keeps the vacated
// names occupied.
func (e *Engine) watch(ctx context.Context, m *migration, owner ownership.Store, opts RunOptions) error {
	for i := 0; ; i++ {
		rec, err := e.record(ctx)
		switch {
		case err != nil:
			return err
		case rec.Phase == ownership.Complete, rec.Owner == ownership.DynamoDB && opts.UntilSwitched:
			return changes.ErrDone
		case rec.Owner != owner:
			return errOtherOwner
		case opts.UntilShadowing && rec.Phase == ownership.Shadowing:
			// It may have been so before: then the changes must still be followed.
			if _, err := m.barriers.Await(ctx, 50*time.Millisecond); err != nil {
				return err
			}
			if err := m.reverse.Drain(ctx); err != nil {
				return err
			}
			return changes.ErrDone
		case rec.Phase == ownership.Abandoned:
			return changes.ErrGivenBack
		case fence.UnderWay(rec.Phase):
			_, err = m.fence.Undo(ctx, 0)
			m.fence.DDL.Close()
		case rec.Hold && rec.Move == nil && time.Since(rec.HeldAt) > e.Plan.Budgets.Hold+finishAfter:
			_, err = m.cutover.Finish(ctx, rec)
			m.fence.DDL.Close()
		case i%10 == 0:
			err = m.fence.Mend(ctx, rec)
		}
		if err != nil && !errors.Is(err, ownership.ErrConflict) {
			e.Log.Warn("look after the collection's names: failed, trying again", "error", err)
		}
		if err := backoff.Sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// reportProgress calls Progress once a second.
func (e *Engine) reportProgress(ctx context.Context, m *migration) error {
	var speed meter
	for {
		p, err := e.progress(ctx, m)
		if err != nil {
			return err
		}
		p.PerSecond = speed.observe(p.At, p.Copied.Documents)
		p.ETA = eta(p.Copied, p.PerSecond)
		e.Progress(p)
		if err := backoff.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

func (e *Engine) progress(ctx context.Context, m *migration) (Progress, error) {
	rec, err := e.record(ctx)
	if err != nil {
		return Progress{}, err
	}
	c, err := e.control.Copied(ctx)
	if err != nil {
		return Progress{}, err
	}
	row, err := e.control.Changes(ctx)
	if err != nil {
		return Progress{}, err
	}
	back, err := m.reverse.Health(ctx)
	if err != nil {
		return Progress{}, err
	}
	last, err := e.control.LastVerification(ctx)
	if err != nil {
		return Progress{}, err
	}
	now := time.Now()
	return Progress{At: now.UTC(), Entity: e.Plan.Entity, Phase: rec.Phase, Copied: c, Changes: row.Following(now), Reverse: back,
		Verification: last, Verifying: m.verifying.Load()}, nil
}
