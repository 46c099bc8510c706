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
				if err == nil || errors.Is(err, ErrStale) || IsPermanent(err) || ctx.Err() != nil {
					return err
				}
				if attempt >= attempts {
					return fmt.Errorf("gave up after %d attempts: %w", attempt, err)
				}
				if delays.Wait(ctx, attempt-1) != nil {
					return err
				}
			}
		}
	}
}
