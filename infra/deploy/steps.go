package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Steps are the shares of invocations, in percent, that a version gets one after
// the other. They grow, and the last is 100.
type Steps []int

// DefaultSteps are 10, 50 and 100 %.
var DefaultSteps = Steps{10, 50, 100}

// ParseSteps reads steps as in "10,50,100".
func ParseSteps(text string) (Steps, error) {
	var s Steps
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("steps %q: %q is no number", text, part)
		}
		s = append(s, n)
	}
	return s, s.Validate()
}

// Validate reports what is wrong with s.
func (s Steps) Validate() error {
	before := 0
	for _, n := range s {
		if n <= before || n > 100 {
			return fmt.Errorf("steps %v: they have to grow from more than 0 up to 100", s)
		}
		before = n
	}
	if before != 100 {
		return fmt.Errorf("steps %v: the last has to be 100", s)
	}
	return nil
}

// after are the steps that are left at a percentage.
func (s Steps) after(percent int) Steps {
	return slices.DeleteFunc(slices.Clone(s), func(n int) bool { return n <= percent })
}

// rollOut moves the alias step by step, until version has
// everything, and back where an alarm is raised.
func (d *Deployer) rollOut(ctx context.Context, l *alarmWatcher, at AliasState, version string, steps Steps) (AliasState, error) {
	before := at
	if !at.Stable() {
		at = at.towards(version)
		before = AliasState{Version: at.Version}
		steps = steps.after(min(at.Percent, 99)) // at 100 the alias has yet to point there
	}
	l.between = [2]string{before.Version, version}
	for _, percent := range steps {
		to := AliasState{Version: before.Version, Next: version, Percent: percent}
		if percent == 100 {
			to = AliasState{Version: version, Before: before.Version}
		}
		if percent == 100 && l.provisioned {
			to.Before = "" // or Lambda would refuse to scale its provisioned concurrency
		}
		next, err := d.step(ctx, l, l.current(ctx, at), to, percent)
		if err != nil {
			return d.abort(ctx, l, next, before, err)
		}
		at = next
	}
	return at, nil
}

// step moves the alias and watches the alarms. The state that it returns is true also
// where it fails.
func (d *Deployer) step(ctx context.Context, l *alarmWatcher, at, to AliasState, percent int) (AliasState, error) {
	if ctx.Err() != nil {
		return at, fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
	}
	t := l.t
	next, err := d.move(context.WithoutCancel(ctx), t, at, to) // or nobody knew whether it moved
	if err != nil {
		return at, err
	}
	version := cmp.Or(to.Next, to.Version)
	d.report("moved", t, version, percent, "%s: %d %% to version %s", t, percent, version)
	if l.provisioned && percent == 100 {
		if next, err = d.awaitShift(ctx, t, next, version); err != nil {
			return next, err
		}
	}
	switch {
	case d.cfg.Interval < 0:
	case d.cfg.Watch.None:
		d.report("watching", t, version, percent, "waiting for %v without looking at alarms", d.cfg.Interval)
	default:
		d.report("watching", t, version, percent, "watching the alarms (%d) for %v", len(l.announced), d.cfg.Interval)
	}
	return next, l.watch(ctx)
}

// abort ends a rollout that failed: back to where it began, or not.
func (d *Deployer) abort(ctx context.Context, l *alarmWatcher, at, before AliasState, cause error) (AliasState, error) {
	t := l.t
	switch {
	case errors.Is(cause, ErrConflict), errors.Is(cause, ErrUnknown):
		return at, cause
	case at.same(before):
		return at, fmt.Errorf("%w; the alias %s stays at %s", cause, t, at)
	case errors.Is(cause, ErrInterrupted) && !d.cfg.RollbackOnInterrupt:
		return at, fmt.Errorf("%w; the alias %s was left at %s: continue with promote, or go back with rollback", cause, t, at)
	}
	d.report("alarm", t, cmp.Or(at.Next, at.Version), at.Percent, "%v", cause)
	if l.provisioned {
		before.Before = ""
	}
	back, err := d.moveWithRetries(ctx, t, l.current(ctx, at), before)
	if err != nil {
		return at, fmt.Errorf("%w; moving the alias %s back to %s FAILED, it may still be at %s: %w; run rollback", cause, t, before, at, err)
	}
	d.report("rolled back", t, back.Version, 100, "%s: back to %s", t, back)
	return back, fmt.Errorf("%w; the alias %s is back at %s", cause, t, back)
}
