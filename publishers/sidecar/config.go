package sidecar

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers"
)

// Config of a Handler. Publisher is needed; the zero value of everything else is
// a sensible default.
type Config struct {
	// Publisher keeps the events.
	Publisher publishers.Publisher
	// Check reports whether an event keeps the promise of its type, such as
	// [events.Registry.Check]; a request with one that does not is refused. nil:
	// only envelopes are checked.
	Check func(events.Event) error
	// TooLarge reports whether the publisher refused an event for its size; nil
	// means that it never does.
	TooLarge func(error) bool

	// Timeout bounds how long a request waits for its events to be kept. 0 means
	// 10 s.
	Timeout time.Duration
	// ReadTimeout bounds how long a body may take to arrive. 0 means 10 s.
	ReadTimeout time.Duration
	// MaxBodyBytes bounds a body. 0 means 4 MiB.
	MaxBodyBytes int64
	// MaxEvents bounds a batch. 0 means 500.
	MaxEvents int
	// MaxEventBytes bounds an encoded event together with its partition key, so
	// that a batch is refused before any of it is published. 0 means 1 MiB, the
	// limit of a stream that was not raised.
	MaxEventBytes int
	// MaxRequests bounds the requests that are served at once. 0 means 1,024.
	MaxRequests int
	// MaxInFlightBytes bounds their bodies taken together; a body of unknown
	// length counts as MaxBodyBytes. 0 means 64 MiB or MaxBodyBytes, whichever is
	// more.
	MaxInFlightBytes int64

	// Clock gives the sequences; nil means one of the handler's own.
	Clock *events.Clock
	// Now gives the times; nil means time.Now.
	Now func() time.Time
	// Log gets internal failures, never mistakes of callers. nil means
	// slog.Default.
	Log *slog.Logger
}

// Validate returns an error that says what is wrong with c, nil if nothing.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Publisher != nil, "Publisher is missing")
	check(c.Timeout > 0, "Timeout %v is negative", c.Timeout)
	check(c.ReadTimeout > 0, "ReadTimeout %v is negative", c.ReadTimeout)
	check(c.MaxBodyBytes > 0, "MaxBodyBytes %d is negative", c.MaxBodyBytes)
	check(c.MaxEvents > 0, "MaxEvents %d is negative", c.MaxEvents)
	check(c.MaxEventBytes > 0, "MaxEventBytes %d is negative", c.MaxEventBytes)
	check(c.MaxRequests > 0, "MaxRequests %d is negative", c.MaxRequests)
	check(c.MaxInFlightBytes >= c.MaxBodyBytes,
		"MaxInFlightBytes %d is less than MaxBodyBytes %d, so a large body could never be accepted", c.MaxInFlightBytes, c.MaxBodyBytes)
	if len(errs) > 0 {
		return fmt.Errorf("publishers/sidecar: config: %w", errors.Join(errs...))
	}
	return nil
}

func (c Config) withDefaults() Config {
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	c.ReadTimeout = cmp.Or(c.ReadTimeout, 10*time.Second)
	c.MaxBodyBytes = cmp.Or(c.MaxBodyBytes, 4<<20)
	c.MaxEvents = cmp.Or(c.MaxEvents, 500)
	c.MaxEventBytes = cmp.Or(c.MaxEventBytes, 1<<20)
	c.MaxRequests = cmp.Or(c.MaxRequests, 1024)
	c.MaxInFlightBytes = cmp.Or(c.MaxInFlightBytes, max(64<<20, c.MaxBodyBytes))
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.TooLarge == nil {
		c.TooLarge = func(error) bool { return false }
	}
	if c.Clock == nil {
		c.Clock = new(events.Clock)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}
