package cutover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/banyan-fig/banyan/migrate/binding"
	"github.com/banyan-fig/banyan/migrate/changes"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/fence"
	"github.com/banyan-fig/banyan/migrate/gate"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/source"
	"github.com/banyan-fig/banyan/migrate/verify"
)

// Steps of a cut-over and of a rollback, as control.Switch.Step and status show them. Those
// from announce to release are what the model in migrate/model has too.
const (
	StepPreTail  = "pretail"  // comparing what changed since the verification
	StepAnnounce = "announce" // telling the members the next name, which they try
	StepHold     = "hold"     // holding their writes
	StepFence    = "fence"    // moving the collection to that name
	StepDrain    = "drain"    // waiting until all its changes are applied, or all of the table carried back
	StepTail     = "tail"     // comparing what changed since the pretail
	StepConfirm  = "confirm"  // looking that all is as it was believed to be
	StepPosition = "position" // of a rollback: from where the changes are followed again
	StepSwitch   = "switch"   // changing the owner
	StepRelease  = "release"  // letting writes go on, in the other store
	StepDone     = "done"
	StepUndone   = "undone"
	StepPossible = "possible" // of a dry run
)

var (
	// ErrRefused: a precondition is not met; nothing was touched.
	ErrRefused = errors.New("refused")
	// ErrUndone: it was begun, and everything is as it was before.
	ErrUndone = errors.New("undone")
	// ErrStuck: it was begun, failed, and could not be undone; writes may wait.
	ErrStuck = errors.New("could not be undone")
)

// Options change how Run goes about it.
type Options struct {
	// DryRun only looks at the preconditions. It touches nothing, not even
	// progress (gh-ost#1769).
	DryRun bool
	// NoMembers accepts that no instance of the owning service is registered. Without
	// it that is refused: more likely they use another control table.
	NoMembers bool
	// Watch is for how long others who use the collection are looked for before; 0 looks
	// once at the operations that run on the primary.
	Watch time.Duration
	// Step, if set, is called as each step begins.
	Step func(step string)
	// Before, if set, is called before each step, within its time, and an error fails the
	// step: it refuses where it wraps ErrRefused, and undoes where it does not. From the
	// switch on, it must not fail.
	Before func(ctx context.Context, step string) error
}

// Cutover changes the owner of one entity. It is safe for concurrent use.
type Cutover struct {
	Plan     *plan.Plan
	Source   *source.Collection
	Control  *control.Store
	Owners   *ownership.Table
	Fence    *fence.Fence
	Gate     gate.Gate // of no name and no service yet
	Binder   *binding.Binder
	Changes  *changes.Follower // followed while a cut-over runs
	Reverse  WayBack           // followed while either runs
	Barriers changes.Barriers
	Verifier *verify.Verifier
	// Outboxes are where events wait, of the stores that have any.
	Outboxes map[ownership.Store]Outbox
	Log      *slog.Logger
}

// Run makes DynamoDB the owner; rec is the ownership record. It may be killed at any
// instant and called again: what was begun before the switch is undone first, what was
// begun after it is finished. Before the switch, an error or the hold's budget undoes
// everything (ErrUndone); from the switch on there is only forward, whatever becomes of
// ctx (vitess#19680).
func (e *Cutover) Run(ctx context.Context, rec ownership.Record, opts Options) (control.Switch, error) {
	return e.run(ctx, forth, rec, opts)
}

// RollBack makes MongoDB the owner again, in the same way. Nothing is copied after it: the
// changes are followed from there on, and a cut-over is possible again.
func (e *Cutover) RollBack(ctx context.Context, rec ownership.Record, opts Options) (control.Switch, error) {
	return e.run(ctx, back, rec, opts)
}

func (e *Cutover) run(ctx context.Context, d direction, rec ownership.Record, opts Options) (control.Switch, error) {
	c := &attempt{Cutover: e, direction: d, opts: opts}
	c.begin(rec)
	if !opts.DryRun {
		if err := c.tidy(ctx); err != nil {
			return c.sum, err
		}
	}
	if c.rec.Owner == d.to && c.rec.Epoch > 1 {
		return c.finish(ctx)
	}
	var err error
	if c.late, err = e.Reverse.CountLateWrites(ctx); err != nil {
		return c.sum, err
	}
	v, problems, err := e.unmetPreconditions(ctx, d, c.rec, opts.NoMembers)
	if err != nil {
		return c.sum, err
	}
	if len(problems) == 0 { // what costs time comes last
		if problems, err = c.watchOthers(ctx); err != nil {
			return c.sum, err
		}
	}
	if c.sum.Problems = problems; len(problems) > 0 {
		return c.sum, c.refuse("%s", Reasons(problems))
	}
	c.sum.Verified = v.ID
	if opts.DryRun {
		c.sum.Step = StepPossible
		return c.sum, nil
	}
	if c.tail, err = e.newTail(v, d); err != nil {
		return c.sum, err
	}
	err = e.Reverse.WhileFollowing(ctx, func(ctx context.Context) error {
		if d == back {
			return c.tail.whileCollecting(ctx, c.perform)
		}
		return e.Changes.WhileFollowing(ctx, func(ctx context.Context) error { return c.tail.whileCollecting(ctx, c.perform) })
	})
	return c.sum, err
}

// begin makes the attempt one of what the record says.
func (c *attempt) begin(rec ownership.Record) {
	c.rec = rec
	c.sum = control.Switch{Entity: c.Plan.Entity, Epoch: rec.Epoch, To: c.direction.to, StartedAt: time.Now().UTC(),
		DryRun: c.opts.DryRun, By: ownership.Operator()}
}

// tidy undoes what a process that has died began before the switch, in whichever direction,
// finishes what it began after it in the other one, and has the names occupied.
func (c *attempt) tidy(ctx context.Context) error {
	if fence.UnderWay(c.rec.Phase) {
		rec, err := c.UndoDead(ctx)
		if err != nil {
			return err
		}
		c.begin(rec)
	}
	if c.rec.Owner != c.to {
		rec, err := c.Finish(ctx, c.rec)
		if err != nil {
			return err
		}
		c.begin(rec)
	}
	if c.rec.Phase == ownership.Complete {
		return nil
	}
	if err := c.Fence.Mend(ctx, c.rec); err != nil {
		return err
	}
	rec, err := c.Owners.Load(ctx, c.Plan.Entity) // a stray that was set aside has raised the generation
	if err == nil {
		c.begin(rec)
	}
	return err
}

// UndoDead undoes a change of owner whose process has died. Its reader of the way back may
// have left a transaction open, for which a rename would wait up to a minute, and the writes
// with it: the way back is followed beside, so that somebody takes the shard over.
func (e *Cutover) UndoDead(ctx context.Context) (rec ownership.Record, err error) {
	err = e.Reverse.WhileFollowing(ctx, func(context.Context) error { // whose end is not that of the undo
		var undoErr error
		rec, undoErr = e.Fence.Undo(ctx, 0)
		return undoErr
	})
	return rec, err
}

// refuse returns an error that wraps ErrRefused.
func (c *attempt) refuse(format string, args ...any) error {
	return fmt.Errorf("the %s is %w:%w", c.name, ErrRefused, fmt.Errorf(format, args...))
}

// Finish finishes a change of owner whose process has died behind the switch: it lets writes
// go on, in the new owner. It returns the record as it then is.
func (e *Cutover) Finish(ctx context.Context, rec ownership.Record) (ownership.Record, error) {
	if !rec.Hold || rec.Move != nil || rec.Phase != forth.after && rec.Phase != back.after {
		return rec, nil
	}
	c := &attempt{Cutover: e, direction: forth}
	if rec.Owner == ownership.MongoDB {
		c.direction = back
	}
	c.begin(rec)
	_, err := c.finish(ctx)
	return c.rec, err
}

// attempt is one run in one direction.
type attempt struct {
	*Cutover
	direction
	opts Options
	tail *tail
	// suspended is how many TTL indexes were suspended behind the fence.
	suspended int
	backLag   time.Duration         // of the way back at the last probe
	late      int64                 // writes that the way back had kept as late before the preconditions
	tidyUp    func(context.Context) // behind the drain of a rollback; nil before
	rec       ownership.Record      // as last written
	sum       control.Switch
}

// perform runs the steps. Before the switch, an error undoes what was begun.
func (c *attempt) perform(ctx context.Context) error {
	defer func() {
		if c.tidyUp != nil {
			c.tidyUp(ctx)
		}
	}()
	before, held, after := c.steps()
	err := c.runSteps(ctx, before)
	if err == nil {
		err = c.runHeld(ctx, held)
	}
	if err != nil && (!c.begun() || errors.Is(err, ErrRefused)) {
		return err
	}
	if err != nil {
		if err = c.undo(ctx, err); err != nil {
			return err
		}
	}
	forward, cancel := context.WithTimeout(context.WithoutCancel(ctx), forwardTimeout)
	defer cancel()
	return c.runSteps(forward, after)
}

// forwardTimeout bounds what is left to do after the switch.
const forwardTimeout = time.Minute

// runHeld runs the steps that the budget for holding writes covers.
func (c *attempt) runHeld(ctx context.Context, steps []step) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Plan.Budgets.Hold, fmt.Errorf("the budget of %s is used up", c.Plan.Budgets.Hold))
	defer cancel()
	err := c.runSteps(ctx, steps)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}

func (c *attempt) runSteps(ctx context.Context, steps []step) error {
	for _, s := range steps {
		c.sum.Step = s.name
		if c.opts.Step != nil {
			c.opts.Step(s.name)
		}
		if c.opts.Before != nil {
			if err := c.opts.Before(ctx, s.name); err != nil {
				return err
			}
		}
		began := time.Now()
		err := s.do(ctx)
		if c.rec.Hold && s.name != StepRelease {
			c.sum.Steps = append(c.sum.Steps, control.Duration{Step: s.name, Milliseconds: float64(time.Since(began).Microseconds()) / 1000})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// begun reports whether the record may say that a switch is under way.
func (c *attempt) begun() bool { return c.sum.Step != StepPreTail }

// undo undoes what failed, and returns why it did, as ErrUndone. It returns nil when the
// owner has changed all the same.
func (c *attempt) undo(ctx context.Context, failure error) error {
	now, err := c.Fence.Undo(context.WithoutCancel(ctx), c.rec.Revision)
	switch {
	case err != nil:
		return fmt.Errorf("the %s failed (%w) and %w; run `%s` again: %w", c.name, failure, ErrStuck, c.command, err)
	case now.Epoch != c.rec.Epoch:
		c.rec = now
		return nil
	}
	failed, since := c.sum.Step, c.rec.HeldAt
	c.rec = now
	c.sum.Problems = append(c.sum.Problems, failure.Error())
	c.store(context.WithoutCancel(ctx), StepUndone, since)
	return fmt.Errorf("the %s was %w; writes go on in %s: at step %s: %w", c.name, ErrUndone, shown(c.from), failed, failure)
}

// finish finishes what has changed the owner, or returns the summary where that is complete.
func (c *attempt) finish(ctx context.Context) (control.Switch, error) {
	j, err := c.Control.Job(ctx)
	if err != nil {
		return c.sum, err
	}
	c.sum.Epoch, c.sum.StartedAt = c.rec.Epoch-1, c.rec.HeldAt // what is certain of another process's
	if j.Cutover != nil && j.Cutover.Epoch == c.rec.Epoch-1 {
		c.sum = *j.Cutover
	}
	c.sum.DryRun = c.opts.DryRun
	if !c.rec.Hold || c.opts.DryRun {
		died := c.sum.Step == StepRelease // right behind it
		if c.sum.Step = StepDone; died && !c.opts.DryRun {
			c.storeSummary(ctx)
		}
		return c.sum, nil
	}
	_, _, after := c.steps()
	forward, cancel := context.WithTimeout(context.WithoutCancel(ctx), forwardTimeout)
	defer cancel()
	return c.sum, c.runSteps(forward, after)
}

// store stores how the cut-over ended; writes were held since heldAt.
func (c *attempt) store(ctx context.Context, step string, heldAt time.Time) {
	c.sum.Step, c.sum.HeldAt = step, heldAt
	if !heldAt.IsZero() {
		c.sum.ReleasedAt = time.Now().UTC()
		c.sum.Held = max(1, c.sum.ReleasedAt.Sub(heldAt).Milliseconds())
	}
	c.storeSummary(ctx)
}

func (c *attempt) storeSummary(ctx context.Context) {
	sum := c.sum
	_, err := c.Control.UpdateJob(ctx, func(j *control.Job) bool {
		j.Cutover = &sum
		return true
	})
	if err != nil {
		c.Log.Warn("store how the cut-over ended: failed", "step", sum.Step, "error", err)
	}
}
