package consumers

import (
	"context"
	"errors"
	"fmt"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// Retry calls the handler again after an error, at most attempts times in all, and
// waits in between as delays says. It returns at once on [Permanent] errors, and
// when ctx ends.
func Retry(attempts int, delays backoff.Backoff) Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, m Message) error {
			for attempt := 1; ; attempt++ {
				err := next(ctx, m)
				if err == nil || errors.Is(err, ErrStale) || IsPermanent(err) {
					return err
				}
				if attempt >= attempts || ctx.Err() != nil || delays.Wait(ctx, attempt-1) != nil {
					return &gaveUp{attempt, err}
				}
			}
		}
	}
}

// gaveUp is the error of a retry that has no attempts, or no time, left.
type gaveUp struct {
	attempts int
	err      error
}

func (g *gaveUp) Error() string {
	return fmt.Sprintf("gave up after %d attempts: %v", g.attempts, g.err)
}

func (g *gaveUp) Unwrap() error { return g.err }

// attemptsOf is how many attempts at a message ended in err.
func attemptsOf(err error) int {
	if g, ok := errors.AsType[*gaveUp](err); ok {
		return g.attempts
	}
	return 1
}
