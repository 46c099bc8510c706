package sqsloop

import (
	"context"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// retryDelays come on top of the SDK's own.
var retryDelays = backoff.Backoff{Min: 50 * time.Millisecond, Max: 2 * time.Second}

// defaultPatience is how long a throttled request is retried.
const defaultPatience = 5 * time.Second

// retryFor calls do until it succeeds, fails for good, or patience or ctx ends. The
// error is do's last.
func retryFor(ctx context.Context, patience time.Duration, permanent func(error) bool, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last error
	for attempt := 0; ; attempt++ {
		err := do(ctx)
		if err == nil || permanent(err) {
			return err
		}
		if last == nil || ctx.Err() == nil {
			last = err // an attempt that the end of ctx cut short says nothing of the cause
		}
		if retryDelays.Wait(ctx, attempt) != nil {
			return last
		}
	}
}
