package consumers

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// delivery is one batch in one invocation.
type delivery struct {
	*Consumer
	ctx    context.Context // ends with the function's time
	work   context.Context // in which handlers run
	late   context.Context // in which those that ignore the end of work are waited for
	cancel func()
	share  time.Duration // of a message, see Config.Share
	grace  time.Duration // in which a handler returns when its share ends
	tasks  []*task
	errs   []error // of the notes
}

// maxGrace is more than a handler needs to return on a machine that is very busy.
const maxGrace = 5 * time.Second

func (c *Consumer) newDelivery(ctx context.Context, tasks []*task) *delivery {
	d := &delivery{Consumer: c, ctx: ctx, tasks: tasks, share: time.Duration(c.cfg.Attempts) * (c.cfg.Timeout + delays.Max), grace: maxGrace}
	var ends [2]context.CancelFunc
	d.cancel = func() { ends[0](); ends[1]() }
	deadline, ok := ctx.Deadline()
	if !ok {
		d.work, ends[0] = context.WithCancel(ctx)
		d.late, ends[1] = context.WithCancel(ctx)
		return d
	}
	left := time.Until(deadline)
	margin := c.cfg.marginOf(left)
	d.work, ends[0] = context.WithDeadline(ctx, deadline.Add(-margin))
	d.late, ends[1] = context.WithDeadline(ctx, deadline.Add(-margin/2))
	d.share, d.grace = c.cfg.shareOf(left, len(tasks)), min(maxGrace, (left-margin)/5)
	return d
}

// run handles the batch: whole, or part by part where it may be one that ends the process.
func (d *delivery) run() {
	if len(d.tasks) == 0 {
		return
	}
	if !d.isStream() {
		d.runPart(d.tasks, d.settle)
		return
	}
	died := false
	if known := d.memory.recall(d.tasks, d.cfg.Now()); d.cfg.Notes != nil && !known {
		died = d.runNoted()
	} else {
		d.runPart(d.tasks, d.settle)
	}
	d.countAttempts()
	d.memory.remember(d.tasks, !died, d.cfg.Now())
}

// isStream reports whether what the batch is from can be read again from a position.
func (d *delivery) isStream() bool { return !d.tasks[0].Message.Position.IsZero() }

// runPart handles some of the tasks, and reports whether none of them is redelivered.
func (d *delivery) runPart(tasks []*task, settle func(*task, error) outcome) bool {
	b := &batch{
		work: d.work, late: d.late, share: d.share, grace: d.grace,
		handle: d.handleTask, settle: settle, abandoned: &d.abandoned,
	}
	b.line(tasks)
	b.run(d.cfg.Concurrency)
	return len(firstRedelivered(tasks)) == 0
}

// spent is the error of a message that used up its share.
type spent struct {
	error
	share time.Duration
}

func (s spent) Error() string {
	return fmt.Sprintf("not done within %v, its share of the invocation: %v", s.share, s.error)
}

func (s spent) Unwrap() error { return s.error }

// handleTask runs the handler; ctx ends with the task's share.
func (d *delivery) handleTask(ctx context.Context, t *task) error {
	if t.Broken != nil {
		return t.Broken
	}
	m := t.Message
	if m.Withheld && d.cfg.Open != nil {
		if err := m.open(ctx, &d.cfg); err != nil {
			return err
		}
	}
	err := d.handle(ctx, m)
	if err != nil && ctx.Err() != nil && d.work.Err() == nil {
		return spent{err, d.share}
	}
	return err
}

// settle decides the outcome of a message: applied, stale, a dead letter, or redelivered.
// A dead letter may use the whole time of the function.
func (d *delivery) settle(t *task, err error) outcome {
	isOwn := t.Broken != nil || err == errDeaf || err == errGoexit // fault, whatever the time
	switch {
	case err == nil:
		return outcome{kind: applied}
	case errors.Is(err, ErrStale):
		return outcome{kind: stale}
	case !isOwn && d.work.Err() != nil:
		return outcome{kind: unhandled, err: err} // out of time, whatever the error says
	case d.cfg.Policy == Halt || IsUnavailable(err) || !d.isStream():
		return outcome{kind: failed, err: err}
	}
	if _, ok := errors.AsType[spent](err); ok && !IsPermanent(err) {
		if t.attempts += attemptsOf(err); t.attempts < d.cfg.Attempts {
			return outcome{kind: failed, err: err}
		}
	}
	return d.writeDeadLetter(d.ctx, t, err)
}

// countAttempts counts, for all processes, the attempts at the message that the batch
// waits for, where it used up its share. It is given up when there were enough.
func (d *delivery) countAttempts() {
	first := firstRedelivered(d.tasks)
	if d.cfg.Notes == nil || len(first) == 0 || first[0].done.kind != failed {
		return
	}
	t := first[0]
	reason, ok := errors.AsType[spent](t.done.err)
	if !ok || d.cfg.Policy == Halt || IsUnavailable(reason) {
		return
	}
	total, err := d.cfg.Notes.AddAttempts(d.ctx, d.reader(), t.Message.Position, attemptsOf(reason))
	if err != nil {
		d.errs = append(d.errs, fmt.Errorf("count the attempts at an event: %w", err))
		return
	}
	if t.attempts = max(t.attempts, total); t.attempts >= d.cfg.Attempts {
		t.done = d.writeDeadLetter(d.ctx, t, reason)
	}
}
