package consumers

import (
	"context"
	"fmt"
	"time"
)

// Deadline bounds one attempt at a message. The error of an attempt that ran
// out of its own time says so, and wraps context.DeadlineExceeded.
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
