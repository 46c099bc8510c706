package deploy

import (
	"context"
	"fmt"
)

// Promote continues a deployment that was left between two versions, from the
// step that it has reached.
func (d *Deployer) Promote(ctx context.Context, t Target, steps Steps) (Result, error) {
	l := d.watchAlarms(t)
	r, err := d.promotion(ctx, l, steps)
	if err != nil {
		return r, err
	}
	if r.From.Version == "" {
		return r, d.noSuchAlias(ctx, t, "")
	}
	if r.From.Stable() {
		return r, fmt.Errorf("%w: %s is at %s: there is no deployment to continue. To move it to what another stage has, name that (--from)",
			ErrRefused, t, r.From)
	}
	r.Version = r.From.Next
	if d.cfg.DryRun {
		d.report("moved", t, r.Version, 0, "would continue with %s from %s, in steps %v", t, r.From, steps.after(r.From.Percent))
		return r, nil
	}
	return d.moveToVersion(ctx, l, r, steps)
}

// PromoteFrom moves an alias to the version of another, without a build: from
// stage to stage. The other has to be stable. Where this one was left on its way
// to the same version, it goes on.
func (d *Deployer) PromoteFrom(ctx context.Context, t Target, stage string, steps Steps) (Result, error) {
	l := d.watchAlarms(t)
	r, err := d.promotion(ctx, l, steps)
	if err != nil {
		return r, err
	}
	source, err := d.Status(ctx, Target{t.Function, stage})
	if err != nil {
		return r, err
	}
	switch r.Version = source.Version; {
	case source.Version == latest:
		return r, fmt.Errorf("%w: %s:%s is at %s: deploy a version there first", ErrRefused, t.Function, stage, source)
	case !source.Stable():
		return r, fmt.Errorf("%w: %s:%s is at %s: finish that first", ErrInProgress, t.Function, stage, source)
	case !r.From.Stable() && r.From.Next != source.Version && r.From.Version != source.Version:
		return r, fmt.Errorf("%w: %s is at %s, on its way elsewhere: finish that first, or rollback", ErrInProgress, t, r.From)
	}
	if d.cfg.DryRun {
		d.report("moved", t, r.Version, 0, "would move %s from %s to version %s", t, r.From, r.Version)
		return r, nil
	}
	return d.moveToVersion(ctx, l, r, steps)
}

func (d *Deployer) promotion(ctx context.Context, l *alarmWatcher, steps Steps) (Result, error) {
	t, r := l.t, Result{Target: l.t, DryRun: d.cfg.DryRun}
	if err := steps.Validate(); err != nil {
		return r, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	at, err := d.startingPoint(ctx, t)
	r.From, r.To = at, at
	if err != nil {
		return r, err
	}
	if at.Version == latest {
		return r, fmt.Errorf("%w: the alias %s points to %s: let it point to a version", ErrRefused, t, latest)
	}
	if l.provisioned, _, err = d.hasProvisioned(ctx, t); err != nil {
		return r, fmt.Errorf("%w; the alias %s was not moved", err, t)
	}
	if err := l.checkBefore(ctx); err != nil {
		return r, fmt.Errorf("before the promotion: %w; the alias was not moved", err)
	}
	return r, nil
}

// Rollback moves an alias back at once, whatever the alarms say: to the older of
// the two versions that it is between, to the one before the last
// deployment, or to the one given.
func (d *Deployer) Rollback(ctx context.Context, t Target, to string) (Result, error) {
	r := Result{Target: t, DryRun: d.cfg.DryRun}
	at, err := d.Status(ctx, t)
	r.From, r.To = at, at
	if err != nil {
		return r, err
	}
	if r.Version, err = at.rollbackVersion(t, to); err != nil {
		return r, err
	}
	if to == latest {
		return r, fmt.Errorf("%w: %s is no version that stays as it is", ErrRefused, to)
	}
	if _, err := d.configuration(ctx, t, r.Version); err != nil {
		return r, err
	}
	if d.cfg.DryRun {
		d.report("rolled back", t, r.Version, 100, "would move %s from %s to version %s", t, at, r.Version)
		return r, nil
	}
	if r.To, err = d.moveWithRetries(ctx, t, at, AliasState{Version: r.Version}); err != nil {
		return r, err
	}
	d.report("rolled back", t, r.Version, 100, "%s: back to version %s", t, r.Version)
	provisioned, _, err := d.hasProvisioned(ctx, t)
	if provisioned {
		r.To, err = d.awaitShift(ctx, t, r.To, r.Version)
	}
	return r, err
}

// rollbackVersion is the version that a rollback goes to.
func (s AliasState) rollbackVersion(t Target, to string) (string, error) {
	switch {
	case to != "":
		return to, nil
	case !s.Stable():
		return s.Version, nil
	case s.Before != "":
		return s.Before, nil
	}
	return "", fmt.Errorf("%w: the alias %s is at %s and does not know what was before, as one with provisioned concurrency never does: "+
		"say the version (--to); list shows them", ErrRefused, t, s)
}
