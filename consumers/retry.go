package consumers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// RetryConfig bounds [Retry]. The zero value is usable.
type RetryConfig struct {
	Attempts int           // in all; 0: 5
	Base     time.Duration // the longest first pause, doubled each time; 0: 50 ms
	Max      time.Duration // the longest pause; 0: 2 s
	// Random gives a number in [0,1) for the jitter; nil: math/rand/v2. It must
	// be safe for concurrent use.
	Random func() float64
}

// Retry calls the handler again after an error, at most Attempts times in all.
// It waits between 0 and a growing limit ("full jitter",
// https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/),
// so that the keys of a batch which failed together do not return together.
// It gives up at once on [Permanent] errors, and when ctx ends.
func Retry(cfg RetryConfig) Middleware {
	cfg = cfg.withDefaults()
	return func(next Handler) Handler {
		return func(ctx context.Context, m Message) error {
			return cfg.call(ctx, m, next)
		}
	}
}

func (cfg RetryConfig) withDefaults() RetryConfig {
	if cfg.Attempts == 0 {
		cfg.Attempts = DefaultAttempts
	}
	if cfg.Base == 0 {
		cfg.Base = 50 * time.Millisecond
	}
	if cfg.Max == 0 {
		cfg.Max = 2 * time.Second
	}
	if cfg.Random == nil {
		cfg.Random = rand.Float64
	}
	return cfg
}

func (cfg RetryConfig) call(ctx context.Context, m Message, next Handler) error {
	limit := cfg.Base
	for attempt := 1; ; attempt++ {
		err := next(ctx, m)
		if err == nil || errors.Is(err, ErrStale) || IsPermanent(err) || ctx.Err() != nil {
			return err
		}
		if attempt >= cfg.Attempts {
			return fmt.Errorf("gave up after %d attempts: %w", attempt, err)
		}
		if !pause(ctx, time.Duration(cfg.Random()*float64(limit))) {
			return err
		}
		limit = min(2*limit, cfg.Max)
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
