package sqsloop

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aws/smithy-go"
)

// The pauses between attempts, on top of those that the SDK makes.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// persist calls do until it succeeds, fails for good, or patience or ctx is at
// an end. The error is do's last.
func persist(ctx context.Context, patience time.Duration, permanent func(error) bool, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last error
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := do(ctx)
		if err == nil || permanent(err) {
			return err
		}
		if last == nil || ctx.Err() == nil {
			last = err // what the context's end made of an attempt says nothing
		}
		if !wait(ctx, pause) {
			return last
		}
	}
}

// wait tells whether the time went by before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func code(err error) *string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return nil
	}
	c := api.ErrorCode()
	return &c
}

// refused tells of requests that are wrong or not allowed: trying again does
// not help, but somebody may mend the cause.
func refused(err error) bool {
	c := code(err)
	return c != nil && slices.Contains([]string{
		"AccessDeniedException", "AccessDenied", "ResourceNotFoundException", "ValidationException",
		"UnrecognizedClientException", "InvalidParameterValueException", "RequestTooLargeException",
		"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "InvalidParameterValue",
	}, *c)
}
