package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// Package is code to deploy.
type Package struct {
	Zip []byte
	// Architecture is that of the binary, "arm64" or "x86_64".
	Architecture string
	// Commit is where it was built from; list shows it. May be empty.
	Commit string
}

// maxUpload is what UpdateFunctionCode takes directly.
const maxUpload = 50 << 20

// Result is the outcome of a deployment, a promotion or a rollback.
type Result struct {
	Target
	// Version is what was to be brought into use.
	Version string `json:"version"`
	// Code is the SHA-256 of the archive as Lambda reports it, in base64.
	Code string `json:"codeSha256,omitempty"`
	// From and To are the states of the alias before and now.
	From AliasState `json:"from"`
	To   AliasState `json:"to"`
	// Uploaded reports whether the code was not there already.
	Uploaded bool `json:"uploaded"`
	DryRun   bool `json:"dryRun,omitempty"`
}

// Deploy uploads a package, publishes it as a version and moves the alias to it.
// What is done already is not done again, so a deployment that was killed before
// its first step is repeated; for one that was killed after it, see
// [Deployer.Promote] and [Deployer.Rollback]. An alias that does not exist is
// made where Config.CreateAlias says so or the function has none, else refused.
//
// The result has the state of the alias also where there is an error:
// [ErrConflict], [ErrInProgress], [ErrAlarm], [ErrAlarmsUnreadable], [ErrInterrupted],
// [ErrUnknown], [ErrRefused], or one of AWS.
func (d *Deployer) Deploy(ctx context.Context, t Target, p Package, steps Steps) (Result, error) {
	r := Result{Target: t, Code: Digest(p.Zip), DryRun: d.cfg.DryRun}
	if err := errors.Join(steps.Validate(), p.validate()); err != nil {
		return r, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	l := d.watchAlarms(t)
	err := d.prepare(ctx, l, p, &r)
	switch {
	case err == nil && !d.cfg.DryRun:
		return d.moveToVersion(ctx, l, r, steps)
	case err == nil, errors.Is(err, ErrRefused), errors.Is(err, ErrInProgress):
		return r, err
	case ctx.Err() != nil:
		err = fmt.Errorf("%w: %w (%w)", ErrInterrupted, context.Cause(ctx), err)
	}
	return r, fmt.Errorf("%w; the alias %s was not moved", err, t)
}

// prepare is what happens before the alias moves.
func (d *Deployer) prepare(ctx context.Context, l *alarmWatcher, p Package, r *Result) (err error) {
	t := l.t
	r.From, err = d.checkReady(ctx, l)
	if r.To = r.From; err != nil {
		return err
	}
	if err := d.checkMappings(ctx, t); err != nil {
		return err
	}
	if err := d.upload(ctx, t, p, r); err != nil || d.cfg.DryRun {
		return err
	}
	r.Version, err = d.publish(ctx, t, p, r.Code)
	return err
}

func (p Package) validate() error {
	if len(p.Zip) == 0 || len(p.Zip) > maxUpload {
		return fmt.Errorf("the package has %d bytes: Lambda accepts archives of up to %d MiB directly, and banyan-deploy supports no other way: make it smaller",
			len(p.Zip), maxUpload>>20)
	}
	if p.Architecture != ARM64 && p.Architecture != X8664 {
		return fmt.Errorf("architecture %q is neither %s nor %s", p.Architecture, ARM64, X8664)
	}
	return nil
}

// checkReady reads the alias and the alarms, and refuses where a deployment should not
// begin.
func (d *Deployer) checkReady(ctx context.Context, l *alarmWatcher) (AliasState, error) {
	t := l.t
	at, err := d.startingPoint(ctx, t)
	if err != nil {
		return at, err
	}
	if !at.Stable() {
		return at, fmt.Errorf("%w: %s is at %s. If no other deployment is running, continue with promote or go back with rollback", ErrInProgress, t, at)
	}
	if at.Version == latest {
		return at, fmt.Errorf("%w: the alias %s points to %s, which would get the upload at once: let it point to a version", ErrRefused, t, latest)
	}
	if l.provisioned, _, err = d.hasProvisioned(ctx, t); err != nil {
		return at, err
	}
	if err := l.checkBefore(ctx); err != nil {
		return at, fmt.Errorf("before the deployment: %w", err)
	}
	return at, nil
}

// checkMappings refuses where the upload would reach a mapping at once.
func (d *Deployer) checkMappings(ctx context.Context, t Target) error {
	if d.cfg.AllowLatest {
		return nil
	}
	in := &lambda.ListEventSourceMappingsInput{FunctionName: &t.Function}
	for {
		out, err := d.cfg.Functions.ListEventSourceMappings(ctx, in)
		if err != nil {
			return fmt.Errorf("list the event source mappings of %s: %w", t.Function, err)
		}
		for _, m := range out.EventSourceMappings {
			if unqualified(aws.ToString(m.FunctionArn)) {
				return fmt.Errorf("%w: the event source mapping %s of %s reads for %s and would get the upload at once: point it at the alias %s (or --allow-latest)",
					ErrRefused, aws.ToString(m.UUID), aws.ToString(m.EventSourceArn), latest, t)
			}
		}
		if aws.ToString(out.NextMarker) == "" {
			return nil
		}
		in.Marker = out.NextMarker
	}
}

// unqualified reports whether an ARN, arn:aws:lambda:region:account:function:name
// with a version or alias or without, means $LATEST.
func unqualified(arn string) bool {
	parts := strings.Split(arn, ":")
	return len(parts) == 7 || len(parts) == 8 && parts[7] == latest
}

// upload uploads the code to $LATEST, unless it is there.
func (d *Deployer) upload(ctx context.Context, t Target, p Package, r *Result) error {
	now, err := d.waitUntilReady(ctx, t, "")
	if err != nil {
		return err
	}
	if aws.ToString(now.CodeSha256) == r.Code && len(now.Architectures) == 1 && string(now.Architectures[0]) == p.Architecture {
		d.report("unchanged", t, "", 0, "%s has this code already", t.Function)
		return nil
	}
	r.Uploaded = true
	rebuilt := ""
	if len(now.Architectures) == 1 && string(now.Architectures[0]) != p.Architecture {
		rebuilt = fmt.Sprintf(", for %s instead of %s", p.Architecture, now.Architectures[0])
	}
	if d.cfg.DryRun {
		then := fmt.Sprintf("move %s from %s", t, r.From)
		if r.From.Version == "" {
			then = "make " + t.String()
		}
		d.report("uploaded", t, "", 0, "would upload %d KiB to %s%s, publish it, and %s", len(p.Zip)>>10, t.Function, rebuilt, then)
		return nil
	}
	_, err = d.cfg.Functions.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{
		FunctionName: &t.Function, ZipFile: p.Zip, RevisionId: now.RevisionId,
		Architectures: []types.Architecture{types.Architecture(p.Architecture)},
	})
	if err != nil && !isStale(err) {
		return fmt.Errorf("upload to %s: %w", t.Function, err)
	}
	// A refusal may be that of a repeated request which had taken effect, so the
	// code decides whose it is.
	after, waitErr := d.waitUntilReady(ctx, t, "")
	if waitErr != nil {
		return waitErr
	}
	if aws.ToString(after.CodeSha256) != r.Code {
		return fmt.Errorf("upload to %s: %w: its code is not what was uploaded. Deploy again", t.Function, ErrConflict)
	}
	d.report("uploaded", t, "", 0, "uploaded %d KiB to %s%s", len(p.Zip)>>10, t.Function, rebuilt)
	return nil
}

// waitUntilReady waits until a function, or a version of it, is neither being made nor
// being changed.
func (d *Deployer) waitUntilReady(ctx context.Context, t Target, version string) (*lambda.GetFunctionConfigurationOutput, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.cfg.UploadTimeout, fmt.Errorf("it was not ready within %v", d.cfg.UploadTimeout))
	defer cancel()
	delays := backoff.Backoff{Min: 50 * time.Millisecond, Max: time.Second}
	for attempt := 0; ; attempt++ {
		out, err := d.configuration(ctx, t, version)
		switch {
		case err != nil:
			return nil, err
		case out.State == types.StateFailed || out.LastUpdateStatus == types.LastUpdateStatusFailed:
			return nil, fmt.Errorf("the function %s %s is not usable: %s %s", t.Function, version, aws.ToString(out.StateReason),
				aws.ToString(out.LastUpdateStatusReason))
		case out.State != types.StatePending && out.LastUpdateStatus != types.LastUpdateStatusInProgress:
			return out, nil
		}
		if delays.Wait(ctx, attempt) != nil {
			return nil, fmt.Errorf("wait for the function %s: %w", t.Function, context.Cause(ctx))
		}
	}
}

// publish makes $LATEST a version, if it still has the code that was uploaded.
// Lambda does not publish twice what has not changed, so it may be repeated.
func (d *Deployer) publish(ctx context.Context, t Target, p Package, code string) (string, error) {
	out, err := d.cfg.Functions.PublishVersion(ctx, &lambda.PublishVersionInput{
		FunctionName: &t.Function, CodeSha256: &code, Description: describe(p),
	})
	var invalid *types.InvalidParameterValueException
	if err != nil && (isStale(err) || errors.As(err, &invalid)) {
		return "", fmt.Errorf("publish %s: %w: it was changed since the upload. Deploy again (%w)", t.Function, ErrConflict, err)
	}
	if err != nil {
		return "", fmt.Errorf("publish %s: %w", t.Function, err)
	}
	version := aws.ToString(out.Version)
	if aws.ToString(out.CodeSha256) != code {
		return "", fmt.Errorf("publish %s: %w: version %s has other code than was uploaded. Deploy again", t.Function, ErrConflict, version)
	}
	if _, err := d.waitUntilReady(ctx, t, version); err != nil {
		return "", err
	}
	d.report("published", t, version, 0, "published version %s of %s", version, t.Function)
	return version, nil
}

// describe is what a version says of itself; commitOf reads it.
func describe(p Package) *string {
	if p.Commit == "" {
		return nil
	}
	return aws.String(commitPrefix + p.Commit + " " + p.Architecture)
}

const commitPrefix = "commit "

func commitOf(description string) string {
	rest, found := strings.CutPrefix(description, commitPrefix)
	if !found {
		return ""
	}
	commit, _, _ := strings.Cut(rest, " ")
	return commit
}

// moveToVersion moves the alias to the result's version.
func (d *Deployer) moveToVersion(ctx context.Context, l *alarmWatcher, r Result, steps Steps) (Result, error) {
	var err error
	switch t := l.t; {
	case r.From.Version == "":
		r.To, err = d.create(ctx, t, r.Version)
	case r.From.Stable() && r.From.Version == r.Version:
		d.report("unchanged", t, r.Version, 100, "%s is at version %s already", t, r.Version)
	default:
		r.To, err = d.rollOut(ctx, l, r.From, r.Version, steps)
	}
	return r, err
}

// create makes an alias. Nobody has used it yet, so there is nothing to watch.
func (d *Deployer) create(ctx context.Context, t Target, version string) (AliasState, error) {
	out, err := d.cfg.Functions.CreateAlias(ctx, &lambda.CreateAliasInput{FunctionName: &t.Function, Name: &t.Alias, FunctionVersion: &version})
	if isStale(err) {
		if now, readErr := d.readAlias(ctx, t); readErr == nil && now.same(AliasState{Version: version}) {
			return now, nil // by a request that was repeated because its answer was lost
		}
		return AliasState{}, fmt.Errorf("create the alias %s: %w: another process created it. Deploy again (%w)", t, ErrConflict, err)
	}
	if err != nil {
		return AliasState{}, fmt.Errorf("make the alias %s: %w", t, err)
	}
	d.report("created", t, version, 100, "made the alias %s, which there was not, at version %s", t, version)
	return aliasState(out.FunctionVersion, out.RevisionId, out.RoutingConfig), nil
}
