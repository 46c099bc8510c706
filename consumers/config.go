package consumers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/events"
)

// Defaults of [Config].
const (
	DefaultAttempts    = 5
	DefaultConcurrency = 32
	DefaultTimeout     = 30 * time.Second
	DefaultMargin      = 2 * time.Second
)

// Config says how a consumer runs. Name and Handler are required, and
// DeadLetters with [Park]; the rest has defaults.
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
	// Policy for events that cannot be decoded or handled; [Park] if not set.
	Policy Policy
	// DeadLetters keeps what is parked.
	DeadLetters DeadLetters
	// Attempts at a message in one delivery, the first included. 0: 5.
	Attempts int
	// Concurrency is how many messages are handled at the same time. 0: 32.
	Concurrency int
	// Timeout of one attempt. 0: 30 s.
	Timeout time.Duration
	// Margin is the part of the function's time that is kept for parking and
	// answering: no handler runs in it. 0: 2 s, but never more than a fifth of
	// the time that the batch had when it began.
	Margin time.Duration
	// Observe is told the figures of each batch after it, see [EMF]. It is never
	// called concurrently for one batch, and may be nil.
	Observe func(context.Context, Report)
	// Now is the clock. nil: time.Now.
	Now func() time.Time
}

// Validate names everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Name == "" {
		wrong("Name is empty: it marks the consumer's dead letters and metrics")
	}
	if c.Handler == nil {
		wrong("Handler is nil")
	}
	if c.Policy != Park && c.Policy != Halt {
		wrong("Policy %d is neither Park nor Halt", c.Policy)
	}
	if c.Policy == Park && c.DeadLetters == nil {
		wrong("DeadLetters is nil: with Park, events need somewhere to be parked")
	}
	if c.Attempts < 0 || c.Concurrency < 0 || c.Timeout < 0 || c.Margin < 0 {
		wrong("Attempts, Concurrency, Timeout and Margin cannot be negative")
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("consumers: config of %q: %w", c.Name, errors.Join(errs...))
}

func (c Config) withDefaults() Config {
	if c.Attempts == 0 {
		c.Attempts = DefaultAttempts
	}
	if c.Concurrency == 0 {
		c.Concurrency = DefaultConcurrency
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Margin == 0 {
		c.Margin = DefaultMargin
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}
