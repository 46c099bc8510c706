package consumers

import (
	"context"
	"fmt"
	"runtime/debug"
)

// PanicError is the error of a handler that panicked, see [Recover].
type PanicError struct {
	Value any
	Stack []byte
}

// Error leaves the stack out, which would flood dead letters.
func (e *PanicError) Error() string { return fmt.Sprintf("the handler panicked: %v", e.Value) }

// Recover returns a panic of the handler as a [PanicError], so that one event cannot end
// the process and with it the whole batch. A consumer has it around the handler, so that
// a panic is retried, and around all middleware.
func Recover() Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, m Message) (err error) {
			defer func() {
				if v := recover(); v != nil {
					err = &PanicError{Value: v, Stack: debug.Stack()}
				}
			}()
			return next(ctx, m)
		}
	}
}
