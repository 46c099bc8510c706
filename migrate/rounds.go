package migrate

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/fence"
	"github.com/banyan-fig/banyan/migrate/internal/worker"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/side"
	"github.com/banyan-fig/banyan/migrate/verify"
)

// correctCopy makes a copy that was not made into an empty table equal, once: all processes
// compare all, and remove what was deleted in the source while nobody followed. What somebody
// else wrote to the table stays, as a mismatch.
func (e *Engine) correctCopy(ctx context.Context, m *migration) error {
	j, err := e.control.Job(ctx)
	if err != nil || j.Generation <= 1 || !j.Copied {
		return err
	}
	last, err := e.control.LastVerification(ctx)
	if err != nil || last != nil && last.Generation == j.Generation {
		return err
	}
	return e.verifyBeside(ctx, m, verify.Options{Repair: true, OwnOnly: true, Pace: e.paceOf(rate.Inf)})
}

// verifyInRounds compares both stores again and again, in the direction that is followed, at
// so many documents and items a second. One process does. What it finds ends nothing.
func (e *Engine) verifyInRounds(ctx context.Context, m *migration, w *worker.Worker, owner ownership.Store, perSecond int) error {
	opts := verify.Options{Pace: e.paceOf(rate.Limit(perSecond)), Progress: func(p verify.Progress) { m.verifying.Store(&p) }}
	for {
		pause := time.Second
		due, err := e.roundDue(ctx, owner)
		if err == nil && due {
			due, err = e.claimVerifier(ctx, w)
		}
		if err == nil && due {
			err = e.verifyBeside(ctx, m, opts)
			m.verifying.Store(nil)
		}
		if err != nil && ctx.Err() == nil {
			e.Log.Warn("verify while following: failed, trying again", "error", err)
			pause = 10 * time.Second
		}
		if err := backoff.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// roundDue reports whether the last verification does not count, or will not for long.
func (e *Engine) roundDue(ctx context.Context, owner ownership.Store) (bool, error) {
	rec, err := e.record(ctx)
	if err != nil || rec.Owner != owner || rec.Phase != ownership.Shadowing && rec.Phase != ownership.Switched {
		return false, err
	}
	j, err := e.control.Job(ctx)
	if err != nil || !j.Copied || j.Ended != "" && owner == ownership.MongoDB {
		return false, err
	}
	last, err := e.control.LastVerification(ctx)
	return err == nil && (last == nil || !last.IsOf(j, rec.Epoch) || time.Since(last.FinishedAt) > e.Plan.Budgets.Verification/4), err
}

// claimVerifier makes this process the one that verifies while it follows, unless one that
// lives is.
func (e *Engine) claimVerifier(ctx context.Context, w *worker.Worker) (bool, error) {
	j, err := e.control.Job(ctx)
	if err != nil || j.Verifier == w.ID {
		return err == nil, err
	}
	before := j.Verifier
	if dead, err := w.IsDead(ctx, before); err != nil || !dead {
		return false, err
	}
	j, err = e.control.UpdateJob(ctx, func(j *control.Job) bool {
		claim := j.Verifier == before
		if claim {
			j.Verifier = w.ID
		}
		return claim
	})
	return err == nil && j.Verifier == w.ID, err
}

// paceOf lets so many documents and items a second be compared, and none while copying would
// wait, or the owner changes.
func (e *Engine) paceOf(perSecond rate.Limit) func(context.Context, int) error {
	limit, asked := rate.NewLimiter(perSecond, max(1, int(min(perSecond, 1000)))), e.collection("")
	return func(ctx context.Context, n int) error {
		for {
			j, err := e.control.Job(ctx)
			if err != nil {
				return err
			}
			rec, err := e.record(ctx)
			if err != nil {
				return err
			}
			load, err := asked.Load(ctx)
			if err != nil {
				load = side.Load{} // whoever reads meets the reason
			}
			if !j.Paused && j.Waits(load) == "" && !rec.Hold && !fence.UnderWay(rec.Phase) {
				break
			}
			if err := backoff.Sleep(ctx, 200*time.Millisecond); err != nil {
				return err
			}
		}
		for ; n > 0; n -= limit.Burst() {
			if err := limit.WaitN(ctx, min(n, limit.Burst())); err != nil {
				return err
			}
		}
		return nil
	}
}

// verifyBeside verifies, and logs what that finds, but not all where it is much.
func (e *Engine) verifyBeside(ctx context.Context, m *migration, opts verify.Options) error {
	some := rate.Sometimes{First: 20, Interval: time.Second}
	opts.Report = func(m side.Mismatch) {
		if !m.Repaired {
			some.Do(func() { e.Log.Error("the stores differ", "document", m.ID, "kind", m.Kind, "detail", m.Detail) })
		}
	}
	v, err := m.verifier.RunBeside(ctx, opts)
	if v.Mismatches > 0 && err == nil {
		e.Log.Error("the stores differ: run `banyan-migrate repair`, and find out who wrote to the table", "mismatches", v.Mismatches)
	}
	return err
}
