package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// Watch says which alarms, metric and composite ones, turn a deployment back.
// The zero value watches those whose name begins with the function's and "-", as
// the Terraform modules name them.
type Watch struct {
	// Names of alarms, which all have to exist; with Prefix empty only these are
	// watched.
	Names []string
	// Prefix of names. Empty without Names: the function's name and "-".
	Prefix string
	// Ignore names alarms that may be raised.
	Ignore []string
	// None watches nothing.
	None bool
}

// alarm is one with its state.
type alarm struct{ name, state, reason string }

const maxNames = 100 // of one DescribeAlarms

// read returns all alarms that are watched, or an error that says which are
// missing.
func (w Watch) read(ctx context.Context, api Alarms, function string) ([]alarm, error) {
	var all []alarm
	for part := range slices.Chunk(w.Names, maxNames) {
		found, err := pages(ctx, api, &cloudwatch.DescribeAlarmsInput{AlarmNames: part})
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	if missing := w.missing(all); len(missing) > 0 {
		return nil, fmt.Errorf("%w: there is no alarm named %s", ErrRefused, strings.Join(missing, ", "))
	}
	if w.Prefix == "" && len(w.Names) == 0 {
		w.Prefix = function + "-"
	}
	if w.Prefix != "" {
		found, err := pages(ctx, api, &cloudwatch.DescribeAlarmsInput{AlarmNamePrefix: &w.Prefix})
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	all = slices.DeleteFunc(all, func(a alarm) bool { return slices.Contains(w.Ignore, a.name) })
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: no alarm would turn this deployment back: there is none whose name begins with %q; name some, or say that there are none (--no-alarms)", ErrRefused, w.Prefix)
	}
	return all, nil
}

func (w Watch) missing(found []alarm) (missing []string) {
	for _, name := range w.Names {
		if !slices.ContainsFunc(found, func(a alarm) bool { return a.name == name }) {
			missing = append(missing, name)
		}
	}
	return missing
}

func pages(ctx context.Context, api Alarms, in *cloudwatch.DescribeAlarmsInput) ([]alarm, error) {
	var all []alarm
	in.AlarmTypes = []types.AlarmType{types.AlarmTypeMetricAlarm, types.AlarmTypeCompositeAlarm}
	for {
		out, err := api.DescribeAlarms(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("read the alarms: %w", err)
		}
		for _, a := range out.MetricAlarms {
			all = append(all, alarm{aws.ToString(a.AlarmName), string(a.StateValue), aws.ToString(a.StateReason)})
		}
		for _, a := range out.CompositeAlarms {
			all = append(all, alarm{aws.ToString(a.AlarmName), string(a.StateValue), aws.ToString(a.StateReason)})
		}
		if aws.ToString(out.NextToken) == "" {
			return all, nil
		}
		in.NextToken = out.NextToken
	}
}

// check is one look: an error where an alarm is raised.
func (d *Deployer) check(ctx context.Context, t Target) error {
	if d.cfg.Watch.None {
		return nil
	}
	all, err := d.cfg.Watch.read(ctx, d.cfg.Alarms, t.Function)
	if err != nil {
		return err
	}
	for _, a := range all {
		if a.state == string(types.StateValueAlarm) {
			return fmt.Errorf("%w: %s (%s)", ErrAlarm, a.name, or(a.reason, "no reason given"))
		}
	}
	return nil
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// watch looks at the alarms for the interval of a step. Alarms that cannot be
// read are tried again until Config.Blind is over.
func (d *Deployer) watch(ctx context.Context, t Target) error {
	end, seen := d.cfg.Now().Add(d.cfg.Interval), d.cfg.Now()
	for {
		err := d.check(ctx, t)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
		case errors.Is(err, ErrAlarm), errors.Is(err, ErrRefused):
			return err
		case err != nil && d.cfg.Now().Sub(seen) >= d.cfg.Blind:
			return fmt.Errorf("%w since %v: %w", ErrBlind, d.cfg.Blind, err)
		case err == nil:
			seen = d.cfg.Now()
			if !seen.Before(end) {
				return nil
			}
		}
		if !sleep(ctx, d.pause(end)) {
			return fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
		}
	}
}

// pause is until the next look: the last comes at the end of the step.
func (d *Deployer) pause(end time.Time) time.Duration {
	if left := end.Sub(d.cfg.Now()); left > 0 {
		return min(d.cfg.Poll, left)
	}
	return d.cfg.Poll
}
