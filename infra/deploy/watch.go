package deploy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// Watch selects the alarms, metric and composite ones, that roll a deployment back.
// The zero value watches those of the function, found as the package's doc says.
type Watch struct {
	// Names of alarms, which all have to exist; with Prefix empty only these are
	// watched.
	Names []string
	// Prefix of names; all alarms that begin so are watched, whatever they are
	// about. Empty without Names: the function's own alarms.
	Prefix string
	// Ignore names alarms that may be raised.
	Ignore []string
	// None watches nothing.
	None bool
}

// alarmWatcher reads the alarms of one deployment.
type alarmWatcher struct {
	*Deployer
	t Target

	provisioned bool                 // the alias has provisioned concurrency
	between     [2]string            // the versions that the deployment moves the alias between
	changed     map[string]time.Time // when each alarm had changed at the last check

	listed    bool
	longer    []string // names of functions that begin like this one's and "-", once listed
	announced []string // the alarms of the last announcement
	once      bool     // the SDK does not retry: the watch does
}

func (d *Deployer) watchAlarms(t Target) *alarmWatcher {
	return &alarmWatcher{Deployer: d, t: t, changed: map[string]time.Time{}}
}

// checkBefore checks the alarms before a deployment, with the SDK's retries.
func (l *alarmWatcher) checkBefore(ctx context.Context) error {
	if l.cfg.Watch.None {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, l.cfg.AlarmOutage)
	defer cancel()
	err := l.check(within)
	l.once = true
	if err != nil && within.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w since %v: %w", ErrAlarmsUnreadable, l.cfg.AlarmOutage, err)
	}
	return err
}

// check returns an error where an alarm is raised.
func (l *alarmWatcher) check(ctx context.Context) error {
	watched, left, err := l.readWatched(ctx)
	if err != nil {
		return err
	}
	l.announce(watched, left)
	for _, a := range watched {
		if a.state == string(types.StateValueAlarm) {
			return fmt.Errorf("%w: %s (%s)", ErrAlarm, a.name, cmp.Or(a.reason, "no reason given"))
		}
		if err := l.checkHistory(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// checkHistory returns an error where an alarm rose and fell since the last check. That
// it changed is seen without its history, which is asked only then.
func (l *alarmWatcher) checkHistory(ctx context.Context, a alarm) error {
	last, known := l.changed[a.name]
	if !known || last.Equal(a.changed) {
		l.changed[a.name] = a.changed
		return nil
	}
	in := &cloudwatch.DescribeAlarmHistoryInput{AlarmName: &a.name, AlarmTypes: alarmTypes, HistoryItemType: types.HistoryItemTypeStateUpdate, StartDate: &last}
	for {
		out, err := l.cfg.Alarms.DescribeAlarmHistory(ctx, in, l.limitAttempts)
		if err != nil {
			return fmt.Errorf("read the history of the alarm %s: %w", a.name, err)
		}
		for _, item := range out.AlarmHistoryItems {
			var change struct {
				NewState struct{ StateValue, StateReason string }
			}
			err := json.Unmarshal([]byte(aws.ToString(item.HistoryData)), &change)
			at := aws.ToTime(item.Timestamp)
			if err == nil && at.After(last) && change.NewState.StateValue == string(types.StateValueAlarm) {
				return fmt.Errorf("%w: %s at %s, and fell since (%s)", ErrAlarm, a.name, at.Format(time.RFC3339),
					cmp.Or(change.NewState.StateReason, "no reason given"))
			}
			if !at.Before(a.changed) {
				l.changed[a.name] = a.changed // else the history is behind, and asked again
			}
		}
		if aws.ToString(out.NextToken) == "" {
			return nil
		}
		in.NextToken = out.NextToken
	}
}

// announce reports which alarms are watched, and again when these are others.
func (l *alarmWatcher) announce(watched []alarm, left []otherAlarm) {
	names := make([]string, len(watched))
	for i, a := range watched {
		names[i] = a.name
	}
	if slices.Equal(names, l.announced) {
		return
	}
	l.announced = names
	text := "alarms that turn this back: " + strings.Join(names, ", ")
	if len(left) > 0 {
		text += "; not those of other functions: " + listAlarms(left)
	}
	l.cfg.Progress(Progress{Did: "alarms", Function: l.t.Function, Alias: l.t.Alias, Alarms: names, Text: text})
}

// watch checks the alarms during the interval of a step. Alarms that cannot be
// read are tried again until Config.AlarmOutage is over, whatever the client does.
func (l *alarmWatcher) watch(ctx context.Context) error {
	end := l.cfg.Now().Add(l.cfg.Interval)
	for out := (outage{}); ; {
		began := l.cfg.Now()
		err := l.checkWithin(ctx, out.until(began, l.cfg.AlarmOutage).Sub(began))
		switch now := l.cfg.Now(); {
		case ctx.Err() != nil:
			return fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
		case errors.Is(err, ErrAlarm), errors.Is(err, ErrRefused):
			return err
		case err != nil:
			if out.record(began, err) {
				l.report("alarms unreadable", l.t, "", 0, "%v; moving back unless they can be read within %v", err, l.cfg.AlarmOutage)
			}
			if !now.Before(out.until(began, l.cfg.AlarmOutage)) {
				return fmt.Errorf("%w since %v: %w", ErrAlarmsUnreadable, l.cfg.AlarmOutage, out.why)
			}
		case !now.Before(end):
			return nil
		default:
			out = outage{}
		}
		if backoff.Sleep(ctx, l.pause(end)) != nil {
			return fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
		}
	}
}

// checkWithin is a check with a deadline.
func (l *alarmWatcher) checkWithin(ctx context.Context, within time.Duration) error {
	if l.cfg.Watch.None {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return l.check(ctx)
}

// outage is a time in which the alarms cannot be read.
type outage struct {
	since time.Time // when the first failed check began; zero: none did
	why   error
}

// until is when it has lasted too long, if it began now at the latest.
func (d *outage) until(now time.Time, blind time.Duration) time.Time {
	if !d.since.IsZero() {
		now = d.since
	}
	return now.Add(blind)
}

// record notes a check that failed, and reports whether it was the first. A check
// that its end cut off says less than the one before it.
func (d *outage) record(began time.Time, err error) (first bool) {
	if first = d.since.IsZero(); first {
		d.since = began
	}
	if d.why == nil || !errors.Is(err, context.DeadlineExceeded) {
		d.why = err
	}
	return first
}

// pause is the time until the next check: the last comes at the end of the step.
func (l *alarmWatcher) pause(end time.Time) time.Duration {
	if left := end.Sub(l.cfg.Now()); left > 0 {
		return min(l.cfg.Poll, left)
	}
	return l.cfg.Poll
}

// limitAttempts leaves the retries of one call to watch.
func (l *alarmWatcher) limitAttempts(o *cloudwatch.Options) {
	if l.once {
		o.RetryMaxAttempts = 1
	}
}
