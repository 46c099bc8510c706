package deploy

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// hasProvisioned reports whether an alias has provisioned concurrency, and the state
// of that.
func (d *Deployer) hasProvisioned(ctx context.Context, t Target) (found bool, status string, err error) {
	in := &lambda.ListProvisionedConcurrencyConfigsInput{FunctionName: &t.Function}
	for {
		out, err := d.cfg.Functions.ListProvisionedConcurrencyConfigs(ctx, in)
		if err != nil {
			return false, "", fmt.Errorf("list the provisioned concurrency of %s: %w", t.Function, err)
		}
		for _, c := range out.ProvisionedConcurrencyConfigs {
			if strings.HasSuffix(aws.ToString(c.FunctionArn), ":function:"+t.String()) {
				return true, strings.TrimSpace(string(c.Status) + " " + aws.ToString(c.StatusReason)), nil
			}
		}
		if aws.ToString(out.NextMarker) == "" {
			return false, "", nil
		}
		in.Marker = out.NextMarker
	}
}

// current is the state that an alias is to be moved from: with provisioned concurrency
// Lambda sets weights of its own between the two versions of the deployment, each time
// with another revision, and that is no conflict.
func (l *alarmWatcher) current(ctx context.Context, at AliasState) AliasState {
	if !l.provisioned {
		return at
	}
	now, err := l.readAliasWithRetries(context.WithoutCancel(ctx), l.t)
	if err != nil || !now.isBetween(l.between) {
		return at
	}
	return now
}

// isBetween reports whether a state has none but these two versions.
func (s AliasState) isBetween(versions [2]string) bool {
	within := func(version string) bool { return version == versions[0] || version == versions[1] }
	return within(s.Version) && (s.Next == "" || within(s.Next))
}

// awaitShift waits until Lambda sends everything to the version that an alias was moved
// to, which it does not before the provisioned concurrency is ready there.
func (d *Deployer) awaitShift(ctx context.Context, t Target, at AliasState, version string) (AliasState, error) {
	within, cancel := context.WithTimeout(ctx, d.cfg.ProvisionTimeout)
	defer cancel()
	for attempt := 0; ; attempt++ {
		now, err := d.readAlias(within, t)
		switch {
		case err != nil && isFinal(err):
			return at, err
		case err == nil && now.Stable() && now.Version == version:
			return now, nil
		case err == nil && (now.Stable() || now.Version != version && now.Next != version):
			return at, fmt.Errorf("%w: the alias %s was moved to version %s and is at %s now", ErrConflict, t, version, now)
		case err == nil:
			at = now
		}
		if attempt == 0 {
			d.report("provisioning", t, version, 0, "%s is at %s: waiting until Lambda has the provisioned concurrency of version %s", t, at, version)
		}
		if moveDelays.Wait(within, attempt) == nil {
			continue
		}
		if ctx.Err() != nil {
			return at, fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
		}
		_, status, err := d.hasProvisioned(ctx, t)
		if err != nil {
			status = err.Error()
		}
		return at, fmt.Errorf("%w: Lambda left %s at %s for %v, because the provisioned concurrency of version %s is not ready: %s",
			ErrInProgress, t, at, d.cfg.ProvisionTimeout, version, status)
	}
}
