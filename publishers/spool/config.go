package spool

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/backoff"
)

// Config of a spool. Path is needed; the zero value of everything else is a
// sensible default.
type Config struct {
	// Path is the file, on a local disk. Its directory must exist; the spool puts
	// other files beside it, whose names begin with this one.
	Path string
	// LockTimeout is how long Open waits for another process to release the
	// file. 0 means 5 s, negative not at all.
	LockTimeout time.Duration

	// Check reports whether an event keeps the promise of its type, such as
	// [events.Registry.Check]; Enqueue refuses one that does not. Events that come
	// encoded were checked before they were encoded. nil: only envelopes are checked.
	Check func(events.Event) error

	// MaxBytes bounds the events on disk with 48 bytes each for their record,
	// refused ones included. 0 means 1 GiB. The file can be about a fifth larger,
	// and by 16 MiB.
	MaxBytes int64
	// MaxEvents is the same in events. 0 means no limit but MaxBytes.
	MaxEvents int64
	// RefuseWhenFull makes Enqueue fail with ErrFull at those limits, and the
	// receipts of what a full disk has no space for, instead of waiting.
	RefuseWhenFull bool
	// MaxEventBytes bounds one event with its partition key, so that a caller
	// learns at once what the stream would never accept. 0 means 1 MiB, the limit of
	// a stream unless it was raised; 10 MiB at most.
	MaxEventBytes int
	// MaxPendingBytes bounds the events in memory that are enqueued and not on disk
	// yet. Callers beyond it wait for the disk. 0 means 8 MiB, at
	// least MaxEventBytes.
	MaxPendingBytes int

	// Window is how many events a drain may have in flight to the destination.
	// 0 means 1,000.
	Window int
	// PerKey is how many of these may be of one partition key. 0 means as many as
	// Window. See Drain for when it should be 1.
	PerKey int
	// Permanent reports whether an error of the destination means that it will never
	// accept that event. Nil means those that are events.ErrMalformed.
	Permanent func(error) bool
	// BackoffMin and BackoffMax bound the pause after a failure of the destination
	// or of the disk, which doubles with each and is then cut by up to a half at
	// random. 0 means 100 ms and 5 s.
	BackoffMin, BackoffMax time.Duration
	// AckTimeout is how long a drain whose context has ended waits for the events in
	// flight to be acknowledged, so that they need not be sent again. 0 means 5 s, negative not at
	// all.
	AckTimeout time.Duration

	// Log gets damage, and failures when they begin and end. Nil means
	// slog.Default.
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Random gives numbers from 0 up to 1 for the back-off; nil means
	// math/rand/v2.
	Random func() float64
}

const (
	maxEvent  = events.MaxSize + 4*events.MaxPartitionKey
	maxRecord = maxEvent + recordHeader + maxReason + 10
	minSpool  = 64 << 10
)

// Validate returns an error that says what is wrong with c, nil if nothing.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Path != "", "Path is missing: name a file on a local disk")
	check(c.MaxBytes >= minSpool, "MaxBytes %d is less than %d", c.MaxBytes, minSpool)
	check(c.MaxEvents >= 0, "MaxEvents %d is negative", c.MaxEvents)
	check(c.MaxEventBytes > 0 && c.MaxEventBytes <= events.MaxSize, "MaxEventBytes %d is not between 1 and 10 MiB", c.MaxEventBytes)
	check(int64(c.MaxEventBytes)+recordHeader <= c.MaxBytes,
		"MaxBytes %d is less than MaxEventBytes %d, so a large event could never be enqueued", c.MaxBytes, c.MaxEventBytes)
	check(c.MaxPendingBytes >= c.MaxEventBytes,
		"MaxPendingBytes %d is less than MaxEventBytes %d, so a large event could never be enqueued", c.MaxPendingBytes, c.MaxEventBytes)
	check(c.Window > 0 && c.PerKey >= 0, "Window %d or PerKey %d is negative", c.Window, c.PerKey)
	check(c.BackoffMin > 0 && c.BackoffMin <= c.BackoffMax,
		"BackoffMin %v and BackoffMax %v are not positive and in order", c.BackoffMin, c.BackoffMax)
	if len(errs) > 0 {
		return fmt.Errorf("publishers/spool: config: %w", errors.Join(errs...))
	}
	return nil
}

func (c Config) withDefaults() Config {
	c.LockTimeout = cmp.Or(c.LockTimeout, 5*time.Second)
	c.MaxBytes = cmp.Or(c.MaxBytes, 1<<30)
	c.MaxEventBytes = cmp.Or(c.MaxEventBytes, int(min(1<<20, max(c.MaxBytes-recordHeader, 1))))
	c.MaxPendingBytes = cmp.Or(c.MaxPendingBytes, max(8<<20, c.MaxEventBytes))
	c.Window = cmp.Or(c.Window, 1000)
	c.BackoffMin = cmp.Or(c.BackoffMin, 100*time.Millisecond)
	c.BackoffMax = cmp.Or(c.BackoffMax, max(5*time.Second, c.BackoffMin))
	c.AckTimeout = cmp.Or(c.AckTimeout, 5*time.Second)
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.Permanent == nil {
		c.Permanent = func(err error) bool { return errors.Is(err, events.ErrMalformed) }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// retryDelays are the pauses between attempts.
func (c *Config) retryDelays() backoff.Backoff {
	return backoff.Backoff{Min: c.BackoffMin, Max: c.BackoffMax, Random: c.Random}
}
