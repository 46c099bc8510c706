package consumers

import (
	"context"
	"fmt"
	"time"
)

// Deadline limits one attempt at a message to timeout. The error of an attempt that took
// longer says so and wraps the handler's.
func Deadline(timeout time.Duration) Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, m Message) error {
			bounded, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			err := next(bounded, m)
			if err != nil && bounded.Err() != nil && ctx.Err() == nil {
				return fmt.Errorf("not done after %v: %w", timeout, err)
			}
			return err
		}
	}
}
