package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/migrate/internal/process"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/source"
	"github.com/banyan-fig/banyan/migrate/target"
)

// Switch is the state of a cut-over, and in the end its summary. It is stored with the
// job, so that status shows it after the process has ended.
type Switch struct {
	Entity     string    `dynamodbav:"entity" json:"entity"`
	Epoch      int64     `dynamodbav:"epoch" json:"epoch"` // the one that ends
	Step       string    `dynamodbav:"step" json:"step"`
	StartedAt  time.Time `dynamodbav:"startedAt" json:"startedAt"`
	HeldAt     time.Time `dynamodbav:"heldAt" json:"heldAt,omitzero"`
	ReleasedAt time.Time `dynamodbav:"releasedAt" json:"releasedAt,omitzero"`
	// Held is for how long writes were held, in milliseconds.
	Held      int64    `dynamodbav:"heldMs" json:"heldMs"`
	Compared  int64    `dynamodbav:"compared" json:"comparedBefore"`    // changed since the verification, compared before the hold
	TailKeys  int64    `dynamodbav:"tailKeys" json:"comparedWhileHeld"` // compared while writes were held
	Recreated int      `dynamodbav:"recreated" json:"recreated"`
	Problems  []string `dynamodbav:"problems" json:"problems,omitempty"` // why it was refused or undone
	DryRun    bool     `dynamodbav:"-" json:"dryRun,omitempty"`
	Verified  string   `dynamodbav:"verified" json:"verification"`
}

// Steps of a cut-over, as Switch.Step and status show them.
const (
	StepPreTail  = "comparing what changed since the verification"
	StepHold     = "holding writes"
	StepFence    = "fencing the collection"
	StepDrain    = "draining the changes"
	StepTail     = "comparing the tail"
	StepSwitch   = "switching the owner"
	StepRelease  = "releasing writes"
	StepDone     = "done"
	StepUndone   = "undone"
	StepPossible = "possible"
)

var (
	// ErrRefused: a precondition of the cut-over is not met; nothing was touched.
	ErrRefused = errors.New("the cut-over is refused")
	// ErrUndone: the cut-over was begun, and everything is as it was before.
	ErrUndone = errors.New("the cut-over was undone; writes go on in MongoDB")
	// errForward: the owner has switched, so there is nothing to undo.
	errForward = errors.New("the owner has switched")
)

// CutoverOptions change how Cutover goes about it.
type CutoverOptions struct {
	// DryRun only looks at the preconditions. It touches nothing, not even
	// progress (gh-ost#1769).
	DryRun bool
	// Step, if set, is called as each step begins.
	Step func(step string)
}

// Cutover makes DynamoDB the owner. It may be killed at any instant and called
// again: what was begun before the switch is undone first, what was begun after
// it is finished. Before the switch, an error or the hold's budget undoes
// everything (ErrUndone); from the switch on there is only forward, whatever
// becomes of ctx (vitess#19680).
func (e *Engine) Cutover(ctx context.Context, opts CutoverOptions) (Switch, error) {
	rec, err := e.record(ctx)
	if err != nil {
		return Switch{}, err
	}
	c := &cutover{opts: opts, sum: Switch{Entity: e.Plan.Entity, Epoch: rec.Epoch, StartedAt: time.Now().UTC(), DryRun: opts.DryRun}}
	if rec.Owner == ownership.DynamoDB {
		return c.resume(ctx, e, rec)
	}
	if rec.Phase == ownership.Switching && !opts.DryRun {
		if rec, err = e.undo(ctx, 0); errors.Is(err, errForward) {
			return c.resume(ctx, e, rec)
		} else if err != nil {
			return c.sum, err
		}
	}
	v, problems, err := e.unmetPreconditions(ctx, rec)
	if err != nil {
		return c.sum, err
	}
	if c.sum.Problems = problems; len(problems) > 0 {
		return c.sum, fmt.Errorf("%w: %s", ErrRefused, strings.Join(problems, "; "))
	}
	c.sum.Verified = v.ID
	if opts.DryRun {
		c.sum.Step = StepPossible
		return c.sum, nil
	}
	err = e.whileFollowing(ctx, func(ctx context.Context, e *Engine) error {
		c.e, c.tail = e, e.newTail()
		return c.withTail(ctx, v, rec)
	})
	if c.sum.Step == StepDone || errors.Is(c.err, ErrUndone) {
		err = c.err
	}
	return c.sum, err
}

// resume finishes a cut-over whose owner has switched, or returns the summary of one
// that is complete.
func (c *cutover) resume(ctx context.Context, e *Engine, rec ownership.Record) (Switch, error) {
	c.e = e
	j := &job{}
	if _, err := e.state.Load(ctx, jobKey, j); err != nil {
		return c.sum, err
	}
	if j.Cutover != nil {
		c.sum = *j.Cutover
	}
	c.sum.DryRun = c.opts.DryRun
	if !rec.Hold || c.opts.DryRun {
		c.sum.Step = StepDone
		return c.sum, nil
	}
	return c.sum, c.release(ctx, rec)
}

// unmetPreconditions lists why a cut-over would be refused, and what to do about it.
func (e *Engine) unmetPreconditions(ctx context.Context, rec ownership.Record) (*Verification, []string, error) {
	var problems []string
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	j := &job{}
	if _, err := e.state.Load(ctx, jobKey, j); err != nil {
		return nil, nil, err
	}
	row := &changesRow{}
	if _, err := e.state.Load(ctx, changesKey, row); err != nil {
		return nil, nil, err
	}
	v, err := e.lastVerification(ctx)
	if err != nil {
		return nil, nil, err
	}
	b, now := e.Plan.Budgets, time.Now()
	if rec.Phase != ownership.Shadowing || !j.Copied {
		add("the phase is %s, not shadowing: %s", rec.Phase, phaseRemedy(rec.Phase))
	}
	if lag := row.summary(now).Lag; row.Worker != "" && lag < 0 {
		add("the lag of the changes is not known yet: wait a moment")
	} else if row.Worker != "" && lag > b.Lag {
		add("the changes lag by %s, allowed are %s: wait, or start `banyan-migrate run` if `banyan-migrate status` shows no live worker",
			lag.Round(time.Millisecond), b.Lag)
	}
	if age := now.Sub(row.OutOfBand.LastAt); row.OutOfBand.Writes > 0 && age < b.OutOfBandQuiet {
		add("an out-of-band write changed document %s %s ago: make that writer use the service, and wait until %s have passed",
			row.OutOfBand.LastID, age.Round(time.Second), b.OutOfBandQuiet)
	}
	switch {
	case v == nil || v.Generation != j.Generation:
		add("nothing was verified yet: run `banyan-migrate verify`")
	case v.Mismatches > 0:
		add("the last verification found %d mismatches: run `banyan-migrate verify --repair`", v.Mismatches)
	case now.Sub(v.FinishedAt) > b.Verification:
		add("the last verification is %s old, allowed are %s: run `banyan-migrate verify` again", now.Sub(v.FinishedAt).Round(time.Second), b.Verification)
	}
	return v, problems, nil
}

// phaseRemedy says how a migration in a phase gets to shadowing.
func phaseRemedy(phase ownership.Phase) string {
	if phase == ownership.Switching {
		return "a cut-over is under way; if its process has died, `banyan-migrate run` undoes it, and `banyan-migrate cutover` begins it again"
	}
	return "let `banyan-migrate run` copy until it says so"
}

type cutover struct {
	e    *Engine
	opts CutoverOptions
	tail *tail
	sum  Switch
	err  error // the outcome of the cut-over itself, not of the goroutines beside it
}

// withTail runs the cut-over beside the tail; past the switch, the end of the
// group's context no longer matters.
func (c *cutover) withTail(ctx context.Context, v *Verification, rec ownership.Record) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.tail.follow(ctx, v, rec.Epoch) })
	g.Go(func() error {
		if c.err = c.perform(ctx, rec); c.err != nil {
			return c.err
		}
		return errDone
	})
	if err := g.Wait(); !errors.Is(err, errDone) {
		return err
	}
	return nil
}

func (c *cutover) perform(ctx context.Context, rec ownership.Record) error {
	if err := c.preTail(ctx, rec.Epoch); err != nil {
		return err
	}
	held, err := c.untilSwitch(ctx, rec)
	if err == nil || c.e.crashed.Load() {
		if err != nil {
			return err
		}
		return c.release(ctx, held)
	}
	now, undoErr := c.e.undo(context.WithoutCancel(ctx), held.Revision)
	switch {
	case errors.Is(undoErr, errForward):
		return c.release(ctx, now)
	case undoErr != nil:
		return fmt.Errorf("the cut-over failed (%w) and could not be undone; run `banyan-migrate cutover` again: %w", err, undoErr)
	}
	failed := c.sum.Step
	c.sum.Problems = append(c.sum.Problems, err.Error())
	c.recordRelease()
	c.storeStep(context.WithoutCancel(ctx), StepUndone)
	return fmt.Errorf("%w: while %s: %w", ErrUndone, failed, err)
}

// preTail compares what changed since the verification until little is left, so that
// little remains to compare while writes are held.
func (c *cutover) preTail(ctx context.Context, epoch int64) error {
	c.storeStep(ctx, StepPreTail)
	if err := c.e.owners.Sweep(ctx, c.e.Plan.Entity); err != nil { // a dead member would cost the hold a lease
		return err
	}
	var again []bson.RawValue
	for range 20 {
		if err := c.tail.awaitBarrier(ctx, epoch, 10*time.Millisecond); err != nil {
			return err
		}
		ids := append(c.tail.removeKeys(), again...)
		bad, unstable, err := c.tail.compare(ctx, ids, epoch)
		if err != nil {
			return err
		}
		if len(bad) > 0 {
			if bad, err = c.e.recheck(ctx, bad, epoch); err != nil {
				return err
			}
		}
		if len(bad) > 0 {
			return fmt.Errorf("%w: document %s is %s (%s), and %d more: run `banyan-migrate verify --repair`", ErrRefused, bad[0].ID,
				bad[0].Kind, bad[0].Detail, len(bad)-1)
		}
		c.sum.Compared += int64(len(ids) - len(unstable))
		if again = unstable; len(ids) <= c.e.Plan.Budgets.Tail {
			c.tail.addKeys(unstable)
			return nil
		}
	}
	return fmt.Errorf("%w: documents change faster than they can be compared; cut over at a quieter time, or raise budgets.tail", ErrRefused)
}

// addKeys adds keys that have to be compared again.
func (t *tail) addKeys(ids []bson.RawValue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		t.keys[source.IDKey(id)] = id
	}
}

// announce writes into the record that a switch is near. From their acknowledgement on,
// members read the record several times as often, so that the hold, during which
// clients wait, is short.
func (c *cutover) announce(ctx context.Context, rec ownership.Record) (ownership.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, c.e.Plan.Budgets.Hold)
	defer cancel()
	near, err := c.e.owners.Update(ctx, rec, func(r *ownership.Record) { r.Phase, r.By = ownership.Switching, process.Self() })
	if err != nil {
		return rec, err
	}
	return near, c.e.owners.AwaitAck(ctx, c.e.Plan.Entity, near.Revision)
}

// untilSwitch goes from holding writes to the new owner. The record returned is
// the last one known, also with an error.
func (c *cutover) untilSwitch(ctx context.Context, rec ownership.Record) (ownership.Record, error) {
	rec, err := c.announce(ctx, rec)
	if err != nil {
		return rec, err
	}
	budget := c.e.Plan.Budgets.Hold
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	c.storeStep(ctx, StepHold)
	until := time.Now().Add(budget)
	c.sum.HeldAt = time.Now().UTC()
	held, err := c.e.owners.Update(ctx, rec, func(r *ownership.Record) {
		r.Hold, r.HoldUntil = true, until
	})
	if err != nil {
		return rec, err
	}
	if err := c.e.crash("held"); err != nil {
		return held, err
	}
	if err := c.e.owners.AwaitAck(ctx, c.e.Plan.Entity, held.Revision); err != nil {
		return held, err
	}
	for _, s := range []struct {
		name string
		do   func(context.Context, ownership.Record) error
	}{{StepFence, c.fence}, {StepDrain, c.drain}, {StepTail, c.compareTail}, {StepSwitch, c.stillFenced}} {
		c.setStep(s.name)
		if err := s.do(ctx, held); err != nil {
			return held, err
		}
		if err := c.e.crash("after " + s.name); err != nil {
			return held, err
		}
	}
	if left := time.Until(until); left < budget/10 {
		return held, fmt.Errorf("the budget of %s is used up", budget)
	}
	next, err := c.e.owners.Update(ctx, held, func(r *ownership.Record) {
		r.Owner, r.Epoch, r.Phase, r.HoldUntil, r.By = ownership.DynamoDB, r.Epoch+1, ownership.Switched, time.Time{}, ""
	})
	if err != nil {
		return held, err // undo finds out whether it took effect all the same
	}
	return next, nil
}

func (c *cutover) fence(ctx context.Context, held ownership.Record) error {
	f := c.e.newFence(held)
	err := f.raise(ctx)
	c.sum.Recreated = f.recreated
	return err
}

func (c *cutover) drain(ctx context.Context, held ownership.Record) error {
	return c.tail.awaitBarrier(ctx, held.Epoch, 5*time.Millisecond)
}

// stillFenced fails if another process has removed the fence.
func (c *cutover) stillFenced(ctx context.Context, held ownership.Record) error {
	at, err := c.e.newFence(held).inspect(ctx)
	if err == nil && (!at.fenced || at.own != "view") {
		return fmt.Errorf("the fence of %s was removed from outside", c.e.source.Name)
	}
	return err
}

// compareTail compares what changed since the last pass before the hold. The
// fence stands, so nothing moves any more.
func (c *cutover) compareTail(ctx context.Context, held ownership.Record) error {
	ids := c.tail.removeKeys()
	c.sum.TailKeys = int64(len(ids))
	bad, unstable, err := c.tail.compare(ctx, ids, held.Epoch)
	if err != nil {
		return err
	}
	if len(bad)+len(unstable) > 0 {
		return fmt.Errorf("%d documents of the tail differ, %v among them", len(bad)+len(unstable), firstOf(bad, unstable))
	}
	return nil
}

func firstOf(bad []target.Mismatch, unstable []bson.RawValue) string {
	if len(bad) > 0 {
		return bad[0].ID + " (" + bad[0].Kind + ")"
	}
	return showIDs(unstable)[0]
}

// forwardTimeout bounds what is left to do after the switch.
const forwardTimeout = time.Minute

// release lets writes go on in DynamoDB once all members know of it. It has a
// context of its own: the owner has switched.
func (c *cutover) release(ctx context.Context, rec ownership.Record) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forwardTimeout)
	defer cancel()
	if err := c.e.crash("switched"); err != nil {
		return err
	}
	c.setStep(StepRelease)
	if err := c.e.owners.AwaitAck(ctx, c.e.Plan.Entity, rec.Revision); err != nil {
		return fmt.Errorf("the owner has switched, but not every instance has acknowledged it; run `banyan-migrate cutover` again to finish: %w", err)
	}
	if err := c.endHold(ctx, rec); err != nil {
		return fmt.Errorf("the owner has switched, but writes are still held; run `banyan-migrate cutover` again to finish: %w", err)
	}
	if err := c.e.crash("released"); err != nil {
		return err
	}
	c.recordRelease()
	c.storeStep(ctx, StepDone)
	return nil
}

// endHold ends the hold, unless another cut-over has done so at the same time or the
// record has changed in another way.
func (c *cutover) endHold(ctx context.Context, rec ownership.Record) error {
	for mine := rec; rec.Hold && rec.Epoch == mine.Epoch && rec.Phase == mine.Phase; {
		_, err := c.e.owners.Update(ctx, rec, func(r *ownership.Record) { r.Hold = false })
		if !errors.Is(err, ownership.ErrConflict) {
			return err
		}
		if rec, err = c.e.record(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *cutover) recordRelease() {
	c.sum.ReleasedAt = time.Now().UTC()
	if !c.sum.HeldAt.IsZero() {
		c.sum.Held = c.sum.ReleasedAt.Sub(c.sum.HeldAt).Milliseconds()
	}
}

// setStep notes a step in memory only: while writes are held, the record itself is
// what a restart goes by.
func (c *cutover) setStep(step string) {
	c.sum.Step = step
	if c.opts.Step != nil {
		c.opts.Step(step)
	}
}

// storeStep notes a step in the job too.
func (c *cutover) storeStep(ctx context.Context, step string) {
	c.setStep(step)
	sum := c.sum
	_, err := c.e.updateJob(ctx, func(j *job) bool {
		j.Cutover = &sum
		return true
	})
	if err != nil {
		c.e.Log.Warn("store the cut-over's step: failed; the cut-over continues", "step", step, "error", err)
	}
}
