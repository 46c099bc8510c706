package subscribe

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/smithy-go"
)

var throttles = retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}

func isThrottle(err error) bool { return throttles.IsErrorThrottle(err) == aws.TrueTernary }

func isConflict(err error) bool { return hasCode(err, "OperationAbortedException") }
func isNotFound(err error) bool { return hasCode(err, "ResourceNotFoundException") }
func isInvalid(err error) bool  { return hasCode(err, "InvalidParameterException") }

func hasCode(err error, code string) bool {
	e, ok := errors.AsType[smithy.APIError](err)
	return ok && e.ErrorCode() == code
}

// stops says whether an error ends the back-fill, and not only one group's.
func stops(err error) bool {
	return errors.Is(err, errDeadline) || isThrottle(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// Options are those of the client that a subscriber works with: faults of the
// network and the service are tried again, a throttle is not.
func Options(o *cloudwatchlogs.Options) {
	o.Retryer = retry.NewStandard(func(r *retry.StandardOptions) {
		r.MaxAttempts, r.MaxBackoff = 3, time.Second
		r.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			if isThrottle(err) {
				return aws.FalseTernary
			}
			return aws.UnknownTernary
		})}, r.Retryables...)
	})
}
