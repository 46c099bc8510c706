package target

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"
)

// SignatureLifetime bounds how late a request may reach DynamoDB: AWS refuses a signature
// whose date is further than 5 minutes from its own clock "in most cases" (IAM User Guide,
// "AWS Signature Version 4 for API requests"), and 15 minutes by the messages of services
// that allow more. A clock that is ahead by that much doubles it.
const SignatureLifetime = 15 * time.Minute

// CheckAfterSigning is an option of a call, or of a client, that runs check on each attempt
// between its signature and its sending; an error of check ends the call, which is then not
// sent and not attempted again.
//
// With a check of the caller's lease no write takes effect later than [SignatureLifetime]
// after the lease: a process that is paused before the check does not send, one that is
// paused after it sends a signature as old as the pause, as does a network that holds the
// request back. What arrives sooner than that is refused by the write's own condition
// alone. A check before the call proves nothing: the SDK signs each attempt anew.
//
// A lease must count the time in which the machine was suspended, in which a monotonic
// clock stands still.
func CheckAfterSigning(check func(context.Context) error) func(*dynamodb.Options) {
	m := middleware.FinalizeMiddlewareFunc("CheckAfterSigning", func(ctx context.Context, in middleware.FinalizeInput,
		next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		if err := check(ctx); err != nil {
			return middleware.FinalizeOutput{}, middleware.Metadata{}, &finalError{err}
		}
		return next.HandleFinalize(ctx, in)
	})
	return dynamodb.WithAPIOptions(func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(m, "Signing", middleware.After)
	})
}

// finalError is the error of a request that must not be sent again as it is.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

// Permanent ends the attempts.
func (e *finalError) Permanent() bool { return true }

// Checked returns the same tables, of which each write is checked as by [CheckAfterSigning].
func (t *Tables) Checked(check func(context.Context) error) *Tables {
	checked := *t
	checked.learned = &flow{}
	checked.ofWrites = []func(*dynamodb.Options){CheckAfterSigning(check)}
	return &checked
}
