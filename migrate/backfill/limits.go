package backfill

import (
	"context"
	"time"

	"golang.org/x/time/rate"
)

// Limits bound what a process copies, of one entity or of several that share them: ranges at
// once, and so the documents that it holds in memory, and documents a second. They are safe for
// concurrent use.
type Limits struct {
	slots chan struct{}
	rate  *rate.Limiter
}

// NewLimits returns limits of so many ranges at once, at least one, and documents a second; 0
// is unlimited.
func NewLimits(ranges, perSecond int) *Limits {
	l := &Limits{slots: make(chan struct{}, max(1, ranges)), rate: rate.NewLimiter(rate.Inf, 0)}
	if perSecond > 0 {
		l.rate = rate.NewLimiter(rate.Limit(perSecond), max(1, perSecond/10))
	}
	return l
}

// acquire waits for a slot, at most so long, and reports whether it got one. Whoever waits for
// longest gets the next: no entity keeps the others from copying.
func (l *Limits) acquire(ctx context.Context, timeout time.Duration) (bool, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case l.slots <- struct{}{}:
		return true, nil
	case <-timer.C:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (l *Limits) release() { <-l.slots }

// await waits until so many documents may be written.
func (l *Limits) await(ctx context.Context, documents int) error {
	for documents > 0 && l.rate.Limit() != rate.Inf {
		n := min(documents, l.rate.Burst())
		if err := l.rate.WaitN(ctx, n); err != nil {
			return err
		}
		documents -= n
	}
	return nil
}
