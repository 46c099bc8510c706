package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// Watch says which alarms, metric and composite ones, turn a deployment back.
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

// lookout looks at the alarms of one deployment.
type lookout struct {
	*Deployer
	t Target

	listed bool
	longer []string // names of functions that begin like this one's and "-", once listed
	told   []string // which alarms were told to be watched
	once   bool     // the SDK does not retry: the watch does
}

func (d *Deployer) lookout(t Target) *lookout { return &lookout{Deployer: d, t: t} }

// first is the look before a deployment, with what the SDK retries.
func (l *lookout) first(ctx context.Context) error {
	if l.cfg.Watch.None {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, l.cfg.Blind)
	defer cancel()
	err := l.look(within)
	l.once = true
	if err != nil && within.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w since %v: %w", ErrBlind, l.cfg.Blind, err)
	}
	return err
}

// look returns an error where an alarm is raised.
func (l *lookout) look(ctx context.Context) error {
	watched, left, err := l.read(ctx)
	if err != nil {
		return err
	}
	l.announce(watched, left)
	for _, a := range watched {
		if a.state == string(types.StateValueAlarm) {
			return fmt.Errorf("%w: %s (%s)", ErrAlarm, a.name, or(a.reason, "no reason given"))
		}
	}
	return nil
}

// announce tells which alarms are watched, and again when these are others.
func (l *lookout) announce(watched []alarm, left []foreign) {
	names := make([]string, len(watched))
	for i, a := range watched {
		names[i] = a.name
	}
	if slices.Equal(names, l.told) {
		return
	}
	l.told = names
	text := "alarms that turn this back: " + strings.Join(names, ", ")
	if len(left) > 0 {
		text += "; not those of other functions: " + enumerate(left)
	}
	l.cfg.Progress(Progress{Did: "alarms", Function: l.t.Function, Alias: l.t.Alias, Alarms: names, Text: text})
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// watch looks at the alarms for the interval of a step. Alarms that cannot be
// read are tried again until Config.Blind is over, whatever the client does.
func (l *lookout) watch(ctx context.Context) error {
	end := l.cfg.Now().Add(l.cfg.Interval)
	for dark := (darkness{}); ; {
		began := l.cfg.Now()
		err := l.lookUntil(ctx, dark.until(began, l.cfg.Blind).Sub(began))
		switch now := l.cfg.Now(); {
		case ctx.Err() != nil:
			return fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
		case errors.Is(err, ErrAlarm), errors.Is(err, ErrRefused):
			return err
		case err != nil:
			if dark.note(began, err) {
				l.tell("blind", l.t, "", 0, "%v; moving back unless they can be read within %v", err, l.cfg.Blind)
			}
			if !now.Before(dark.until(began, l.cfg.Blind)) {
				return fmt.Errorf("%w since %v: %w", ErrBlind, l.cfg.Blind, dark.why)
			}
		case !now.Before(end):
			return nil
		default:
			dark = darkness{}
		}
		if !sleep(ctx, l.pause(end)) {
			return fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
		}
	}
}

// lookUntil is a look that ends in time.
func (l *lookout) lookUntil(ctx context.Context, within time.Duration) error {
	if l.cfg.Watch.None {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return l.look(ctx)
}

// darkness is a time in which the alarms cannot be read.
type darkness struct {
	since time.Time // when the first look began that failed; zero: none did
	why   error
}

// until is when it has lasted too long, if it began now at the latest.
func (d *darkness) until(now time.Time, blind time.Duration) time.Time {
	if !d.since.IsZero() {
		now = d.since
	}
	return now.Add(blind)
}

// note takes down a look that failed, and tells whether it was the first. A look
// that its end cut off says less than the one before it.
func (d *darkness) note(began time.Time, err error) (first bool) {
	if first = d.since.IsZero(); first {
		d.since = began
	}
	if d.why == nil || !errors.Is(err, context.DeadlineExceeded) {
		d.why = err
	}
	return first
}

// pause is until the next look: the last comes at the end of the step.
func (l *lookout) pause(end time.Time) time.Duration {
	if left := end.Sub(l.cfg.Now()); left > 0 {
		return min(l.cfg.Poll, left)
	}
	return l.cfg.Poll
}

// attempts are those of one call to CloudWatch.
func (l *lookout) attempts(o *cloudwatch.Options) {
	if l.once {
		o.RetryMaxAttempts = 1
	}
}
