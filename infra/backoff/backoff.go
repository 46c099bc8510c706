// Package backoff computes delays between attempts, and waits. How often to
// try, and which errors are worth another attempt, is for the caller to decide.
//
// A delay doubles with each attempt up to a maximum and is spread at random over
// its upper half, so that clients which failed together do not come back together.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is a series of delays. It is a value without state: safe for concurrent
// use if Random is.
type Backoff struct {
	// Min is the delay before the second attempt; at least 1 ns is waited.
	Min time.Duration
	// Max bounds the delay. Zero means Min: every delay is the same.
	Max time.Duration
	// Random gives numbers in [0,1) for the jitter. Default math/rand/v2.
	Random func() float64
}

// Delay returns how long to wait after attempt has failed, counted from 0.
func (b Backoff) Delay(attempt int) time.Duration {
	random := b.Random
	if random == nil {
		random = rand.Float64
	}
	d := max(b.Min, 1)
	for limit := max(b.Max, d); attempt > 0 && d < limit; attempt-- {
		if d > limit/2 {
			d = limit
		} else {
			d *= 2
		}
	}
	half := d / 2
	return d - half + time.Duration(random()*float64(half))
}

// Wait sleeps for [Backoff.Delay] of attempt. It returns the cause of ctx where that
// ends first.
func (b Backoff) Wait(ctx context.Context, attempt int) error {
	return Sleep(ctx, b.Delay(attempt))
}

// Sleep waits for d, or returns the cause of ctx where that ends first, or has
// ended already.
func Sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
