package consumers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/banyan-fig/banyan/events"
)

// Defaults of [Config].
const (
	defaultAttempts    = 5
	defaultConcurrency = 32
	defaultTimeout     = 30 * time.Second
	defaultMargin      = 2 * time.Second
	defaultMaxChain    = 100
)

// Config configures a consumer. Name and Handler are required, and DeadLetters unless
// Policy is [Halt].
type Config struct {
	// Name of the consumer: in dead letters, logs and metrics.
	Name string
	// Handler applies one message.
	Handler Handler
	// Middleware goes around everything else, the first outermost.
	Middleware []Middleware
	// Registry decodes the payloads of the types that it has, see Message.Payload. An
	// event that does not fit, or has a version that the registry lacks, is treated as
	// one that cannot be decoded. Types that it does not have pass whole. May be nil.
	Registry *events.Registry
	// Open opens the personal members of an event for Payload, such as personal.Sealer.Open
	// does. events.ErrMalformed is the event's fault, any other error [Unavailable]. nil: they
	// are withheld, see Message.Withheld.
	Open func(context.Context, events.Event) (events.Event, error)
	// Policy for events that cannot be decoded or handled; [KeepDeadLetter] by default.
	Policy Policy
	// DeadLetters stores dead letters.
	DeadLetters DeadLetters
	// Notes keeps what must outlive the process, see [Notes]. nil: a batch that ends the
	// process is delivered for as long as the mapping retries, as it is with [Halt].
	Notes Notes
	// Attempts at a message, the first included. Those of an earlier delivery count where
	// the message used up its share. 0: 5.
	Attempts int
	// Concurrency is how many messages are handled at the same time. 0: 32.
	Concurrency int
	// Timeout of one attempt. 0: 30 s. The share bounds it as well.
	Timeout time.Duration
	// Share is the longest that one message may be handled in one delivery, all attempts
	// included. 0: half of the function's time less Margin, or three quarters where the
	// batch has one message, which is also the most.
	Share time.Duration
	// Margin is the part of the function's time that is reserved for dead letters and the
	// response: no handler runs in it. 0: 2 s, but never more than a fifth of
	// the time that the batch had when it began.
	Margin time.Duration
	// MaxChain is the longest call chain of a message that is handled, see [StopLoops]. 0: 100.
	MaxChain int
	// Observe is called once with the figures of each batch, see [EMF]. May be nil.
	Observe func(context.Context, Report)
	// Now is the clock. nil: time.Now.
	Now func() time.Time
}

// Validate returns an error that names everything that is invalid in c.
func (c Config) Validate() error {
	var errs []error
	invalid := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Name == "" {
		invalid("Name is empty: dead letters and metrics need it")
	}
	if c.Handler == nil {
		invalid("Handler is nil")
	}
	if slices.ContainsFunc(c.Middleware, func(m Middleware) bool { return m == nil }) {
		invalid("Middleware has one that is nil")
	}
	if policyNames[c.Policy] == "" {
		invalid("Policy is %v: must be KeepDeadLetter or Halt", c.Policy)
	}
	if c.Policy == KeepDeadLetter && c.DeadLetters == nil {
		invalid("DeadLetters is nil: must be set unless Policy is Halt")
	}
	if c.Attempts < 0 || c.Concurrency < 0 || c.Timeout < 0 || c.Share < 0 || c.Margin < 0 || c.MaxChain < 0 {
		invalid("Attempts, Concurrency, Timeout, Share, Margin and MaxChain must not be negative")
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("consumers: config of %q: %w", c.Name, errors.Join(errs...))
}

func (c Config) withDefaults() Config {
	c.Attempts = cmp.Or(c.Attempts, defaultAttempts)
	c.Concurrency = cmp.Or(c.Concurrency, defaultConcurrency)
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	c.Margin = cmp.Or(c.Margin, defaultMargin)
	c.MaxChain = cmp.Or(c.MaxChain, defaultMaxChain)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Policy == Halt {
		c.Notes = nil // nothing is given up
	}
	return c
}

// EventShare is the longest that a function with a timeout may handle one message of a
// batch of several in one delivery, all attempts included: see Share.
func (c Config) EventShare(timeout time.Duration) time.Duration {
	return c.withDefaults().shareOf(timeout, 2)
}

func (c Config) shareOf(timeout time.Duration, messages int) time.Duration {
	work := timeout - c.marginOf(timeout)
	most := work * 3 / 4 // so that who ignores its end is found out before the function's own
	if messages == 1 {
		return min(cmp.Or(c.Share, most), most)
	}
	return min(cmp.Or(c.Share, work/2), most)
}

func (c Config) marginOf(timeout time.Duration) time.Duration { return min(c.Margin, timeout/5) }
