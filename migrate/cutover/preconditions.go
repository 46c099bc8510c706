package cutover

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// UnmetPreconditions lists why the next change of owner, a cut-over or a rollback, would be
// refused, and what to do about it.
func (e *Cutover) UnmetPreconditions(ctx context.Context, rec ownership.Record, noMembers bool) (*control.Verification, []string, error) {
	if rec.Owner == ownership.DynamoDB {
		return e.unmetPreconditions(ctx, back, rec, noMembers)
	}
	return e.unmetPreconditions(ctx, forth, rec, noMembers)
}

func (e *Cutover) unmetPreconditions(ctx context.Context, d direction, rec ownership.Record, noMembers bool) (*control.Verification, []string, error) {
	j, err := e.Control.Job(ctx)
	if err != nil {
		return nil, nil, err
	}
	row, err := e.Control.Changes(ctx)
	if err != nil {
		return nil, nil, err
	}
	v, err := e.Control.LastVerification(ctx)
	if err != nil {
		return nil, nil, err
	}
	var p problems
	if rec.Phase != d.before || !j.Copied {
		p.add("the phase is %s, not %s: %s", rec.Phase, d.before, d.phaseRemedy(rec.Phase))
	}
	if d == forth {
		if j.Ended != "" {
			p.add("%s", j.Ended)
		}
		e.addChanges(&p, row)
	}
	e.addVerification(&p, v, j, rec.Epoch)
	if err := e.addNames(ctx, &p, rec); err != nil {
		return v, p, err
	}
	if err := e.addMisfits(ctx, &p); err != nil {
		return v, p, err
	}
	if err := e.addClients(ctx, &p); err != nil {
		return v, p, err
	}
	if err := e.addReverse(ctx, &p, d, rec.Phase); err != nil {
		return v, p, err
	}
	if err := e.addOrder(ctx, &p, d); err != nil {
		return v, p, err
	}
	return v, p, e.addMembers(ctx, &p, noMembers)
}

// addReverse adds what is wrong with the way back. While MongoDB owns the entity one that has
// ended begins anew by itself. Its lag is looked at behind the probe of the pretail.
func (e *Cutover) addReverse(ctx context.Context, p *problems, d direction, phase ownership.Phase) error {
	h, err := e.Reverse.Health(ctx)
	if err != nil {
		return err
	}
	if d == forth {
		h.Ended, h.TimeLeft = "", 0
	}
	*p = append(*p, h.Problems()...)
	if phase == d.before && h.Ended == "" && h.ProbedAt.IsZero() {
		p.add("the way back has not carried a probe yet: let `banyan-migrate run` go on until it has")
	}
	return nil
}

func (e *Cutover) addMisfits(ctx context.Context, p *problems) error {
	all, err := e.Control.Misfits(ctx)
	if len(all) > 0 {
		p.add("%d documents do not fit and are set aside, the first is %s (%s): %s", len(all), all[0].Shown, all[0].Why, all[0].WayOut)
	}
	return err
}

// Reasons is the end of a sentence that names reasons: one on the same line, several each on
// a line of its own.
func Reasons(all []string) string {
	if len(all) == 1 {
		return " " + all[0]
	}
	return "\n  " + strings.Join(all, "\n  ")
}

type problems []string

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

func (e *Cutover) addChanges(p *problems, row *control.Changes) {
	b, now := e.Plan.Budgets, time.Now()
	if lag := row.Following(now).Lag; row.Worker != "" && lag < 0 {
		p.add("the lag of the changes is not known yet: wait a moment")
	} else if row.Worker != "" && lag > b.Lag {
		p.add("the changes lag by %s, allowed are %s: wait, or start `banyan-migrate run` if `banyan-migrate status` shows no live worker",
			lag.Round(time.Millisecond), b.Lag)
	}
	if age := now.Sub(row.OutOfBand.LastAt); row.OutOfBand.Writes > 0 && age < b.OutOfBandQuiet {
		p.add("an out-of-band write changed document %s %s ago: make that writer use the service, and wait until %s have passed",
			row.OutOfBand.LastID, age.Round(time.Second), b.OutOfBandQuiet)
	}
}

func (e *Cutover) addVerification(p *problems, v *control.Verification, j *control.Job, epoch int64) {
	b, now := e.Plan.Budgets, time.Now()
	switch {
	case v == nil || v.Generation != j.Generation:
		p.add("nothing was verified yet: run `banyan-migrate verify`")
	case v.Epoch != epoch:
		p.add("nothing was verified yet since the owner changed: run `banyan-migrate verify`")
	case v.Changed != j.Changed:
		p.add("the collection as a whole was changed, or a late write came, since the last verification: run `banyan-migrate repair`")
	case v.Plan != e.Plan.Digest() || v.UUID != e.Source.UUID:
		p.add("the last verification is of another plan or collection: run `banyan-migrate verify` again")
	case v.Mismatches > 0:
		p.add("the last verification found %d mismatches: run `banyan-migrate repair`", v.Mismatches)
	case v.IsAhead(now):
		p.add("the last verification is dated %s ahead: set the clock of this machine or of the one that verified, and run "+
			"`banyan-migrate verify` again", v.FinishedAt.Sub(now).Round(time.Second))
	case now.Sub(v.FinishedAt) > b.Verification:
		p.add("the last verification is %s old, allowed are %s: run `banyan-migrate verify` again", now.Sub(v.FinishedAt).Round(time.Second), b.Verification)
	}
}

func (e *Cutover) addNames(ctx context.Context, p *problems, rec ownership.Record) error {
	if rec.Collection == "" || rec.Move != nil {
		return nil // the phase says it
	}
	found, err := e.Fence.Check(ctx, rec)
	*p = append(*p, found...)
	return err
}

func (e *Cutover) addMembers(ctx context.Context, p *problems, none bool) error {
	members, err := e.Owners.Members(ctx, e.Plan.Entity)
	if err == nil && !ownership.HasOwner(members) && !none {
		p.add("no instance of the owning service is registered in the control table %s: start it with this table, account and region, "+
			"or say --no-members if none runs", e.Control.Table())
	}
	for _, m := range members {
		if age := time.Since(m.Shadow.LastAt); m.Shadow.Different > 0 && age < e.Plan.Budgets.OutOfBandQuiet {
			p.add("the instance %s has read different things from both stores %d times, %s ago %s: run `banyan-migrate verify`, and look at the "+
				"service's log if that finds nothing", m.ID, m.Shadow.Different, age.Round(time.Second), m.Shadow.Last)
		}
	}
	return err
}

// phaseRemedy says how a migration in a phase gets to the one before the change of owner.
func (d direction) phaseRemedy(phase ownership.Phase) string {
	switch {
	case phase == d.during:
		return fmt.Sprintf("a %s is under way; if its process has died, `banyan-migrate run` undoes it, and `%s` begins it again", d.name, d.command)
	case d == back && phase == ownership.Complete:
		return "the migration is complete, and there is no way back any more"
	case d == back:
		return "MongoDB is the owner"
	}
	switch phase {
	case ownership.Legacy, ownership.Abandoned:
		return "run `banyan-migrate encapsulate`, then `banyan-migrate run`"
	}
	return "let `banyan-migrate run` copy until it says so"
}
