package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/migrate/changes"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/internal/worker"
)

// Progress is how far a verification has come: what is finished, so that it is true after
// a resume too.
type Progress struct {
	ID        string    `json:"verification"`
	StartedAt time.Time `json:"startedAt"`
	Documents int64     `json:"documents"`
	Items     int64     `json:"items"`
	Finished  int       `json:"unitsFinished"` // ranges of the source and segments of the target
	Units     int       `json:"units"`
}

// join goes on with the verification that is under way, if that holds, or begins one.
func (v *verification) join(ctx context.Context) error {
	from, place, err := v.beginning(ctx)
	if err != nil {
		return err
	}
	for {
		row, err := v.Control.Verifying(ctx, v.opts.Kind())
		if err != nil {
			return err
		}
		j, err := v.Control.Job(ctx)
		if err != nil {
			return err
		}
		if j.Ended != "" && !v.isBack() {
			return fmt.Errorf("verify %s: %w", v.Plan.Entity, j.CheckEnded())
		}
		if row.Result.Epoch > v.Epoch {
			return fmt.Errorf("verify %s: %w", v.Plan.Entity, ErrNotComparable)
		}
		holds, rows, err := v.holds(ctx, row, j)
		switch {
		case err != nil:
			return err
		case rows != nil:
			v.row = *row
			return v.reopen(ctx, rows)
		case holds:
			if err := backoff.Sleep(ctx, 50*time.Millisecond); err != nil {
				return err
			}
			continue
		}
		result := control.Verification{ID: newestLast(), Epoch: v.Epoch, StartedAt: time.Now().UTC(), Covered: "whole", AsOf: from.Applied,
			Token: from.Token, Place: place, Generation: j.Generation, Changed: j.Changed, Plan: v.Plan.Digest(), UUID: v.UUID, Collection: from.Collection}
		err = v.divide(ctx, row, control.Verifying{Row: row.Row, Result: result, Planner: worker.Of(ctx).ID})
		if !errors.Is(err, control.ErrConflict) {
			return err
		}
	}
}

// beginning is a place of the change stream, and one of the table's stream where the table is
// right: what is changed since is behind them.
func (v *verification) beginning(ctx context.Context) (from *control.Changes, place []byte, err error) {
	if !v.isBack() { // behind the barrier, what happened to the collection as a whole before is counted
		from, err = v.Barriers.Await(ctx, 20*time.Millisecond)
		return from, nil, err
	}
	if err := v.Back.Drain(ctx); err != nil {
		return nil, nil, err
	}
	if place, err = v.Back.Place(ctx); err != nil {
		return nil, nil, err
	}
	from = &control.Changes{}
	from.Applied, from.Collection, err = changes.Beginning(ctx, v.Changes.Source)
	return from, place, err
}

// holds reports whether a verification is under way that still counts. It returns the ranges
// once it is divided.
func (v *verification) holds(ctx context.Context, row *control.Verifying, j *control.Job) (holds bool, rows []control.Range, err error) {
	r, age := &row.Result, time.Since(row.Result.StartedAt)
	if !r.IsOf(j, v.Epoch) || r.Plan != v.Plan.Digest() || r.UUID != v.UUID || age < 0 || age >= v.Plan.Budgets.Verification {
		return false, nil, nil
	}
	last, err := v.Control.LastVerification(ctx)
	if err != nil || last != nil && last.ID >= r.ID {
		return false, nil, err
	}
	if row.Ranges == 0 {
		dead, err := worker.Of(ctx).IsDead(ctx, row.Planner)
		return !dead, nil, err
	}
	rows, err = v.Control.Ranges(ctx, r.ID)
	if err != nil || len(rows) != row.Units() { // somebody deletes them, to begin another one
		return false, nil, err
	}
	return true, rows, nil
}

// reopen has the ranges compared again in which a process that has died found mismatches: they
// may be right by now.
func (v *verification) reopen(ctx context.Context, rows []control.Range) error {
	for i := range rows {
		r := &rows[i]
		if len(r.Mismatches) == 0 {
			continue
		}
		dead, err := worker.Of(ctx).IsDead(ctx, r.Worker)
		if err != nil {
			return err
		}
		if !dead {
			continue
		}
		r.Done, r.Found, r.Mismatches = false, nil, nil
		if err := v.Control.Save(ctx, r); err != nil && !errors.Is(err, control.ErrConflict) {
			return err
		}
	}
	return nil
}

// divide begins a verification in the place of another one that does not hold, and divides it
// into ranges. It fails with [control.ErrConflict] where another process does.
func (v *verification) divide(ctx context.Context, old *control.Verifying, row control.Verifying) error {
	if old.Rev > 0 {
		if err := v.Control.DeleteRanges(ctx, old.Result.ID); err != nil {
			return err
		}
	}
	if err := v.Control.SaveVerifying(ctx, v.opts.Kind(), &row); err != nil {
		return err
	}
	n, err := worker.Plan(ctx, v.Control, row.Result.ID, v.RangeSize, v.From.Divide)
	if err != nil {
		return err
	}
	segments := min(max(n, comparers/2), 64)
	if row.Ranges, row.Segments = n, segments; len(v.Plan.Unique) > 0 {
		row.Unique = segments
	}
	for ; n < row.Units(); n++ {
		if err := v.Control.AddRange(ctx, row.Result.ID, n, nil, nil); err != nil {
			return err
		}
	}
	err = v.Control.SaveVerifying(ctx, v.opts.Kind(), &row)
	if errors.Is(err, control.ErrConflict) {
		return errors.Join(err, v.Control.DeleteRanges(ctx, row.Result.ID)) // nobody else's
	}
	v.row = row
	return err
}

// errReplaced: another process took the verification for void, and began one in its place.
var errReplaced = errors.New("the verification was replaced by another one")

// compare compares what is left, together with other processes, and returns all ranges.
func (v *verification) compare(ctx context.Context) ([]control.Range, error) {
	rows, err := worker.Of(ctx).Ranges(v.row.Result.ID).Work(ctx, comparers, nil, v.compareUnit)
	if err == nil && len(rows) != v.row.Units() {
		err = errReplaced
	}
	return rows, err
}

// reportAsFinished reports once a second what is finished, until compared is closed.
func (v *verification) reportAsFinished(ctx context.Context, compared <-chan struct{}) error {
	if v.opts.Progress == nil {
		return nil
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		rows, err := v.Control.Ranges(ctx, v.row.Result.ID)
		if err != nil {
			return err
		}
		if p := ProgressOf(&v.row, rows); p.Finished > 0 {
			v.opts.Progress(p)
		}
		select {
		case <-compared:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// ProgressOf is how far a verification has come that has these ranges.
func ProgressOf(row *control.Verifying, rows []control.Range) Progress {
	p := Progress{ID: row.Result.ID, StartedAt: row.Result.StartedAt, Units: row.Units()}
	sum := sumOf(rows)
	p.Documents, p.Items = sum.Documents, sum.Items
	for _, r := range rows {
		if r.Done {
			p.Finished++
		}
	}
	return p
}

func sumOf(rows []control.Range) (sum control.Counts) {
	for _, r := range rows {
		if r.Found != nil {
			sum.Add(*r.Found)
		}
	}
	return sum
}
