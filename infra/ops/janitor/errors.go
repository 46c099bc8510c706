package janitor

import (
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/smithy-go"
)

var throttles = retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}

// isThrottle says whether Lambda wants fewer requests.
func isThrottle(err error) bool { return throttles.IsErrorThrottle(err) == aws.TrueTernary }

// isRefusal says whether Lambda will not delete this version now: an alias came
// to refer to it (ResourceConflictException), or it is replicated to the edge
// (InvalidParameterValueException).
func isRefusal(err error) bool {
	var e smithy.APIError
	if !errors.As(err, &e) {
		return false
	}
	return e.ErrorCode() == "ResourceConflictException" || e.ErrorCode() == "InvalidParameterValueException"
}

// Options are those of the Lambda client that a janitor works with: faults of the
// network and the service are tried again, a throttle is not.
func Options(o *lambda.Options) {
	o.Retryer = retry.NewStandard(func(r *retry.StandardOptions) {
		r.MaxAttempts, r.MaxBackoff = 3, time.Second
		r.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(notThrottles)}, r.Retryables...)
	})
}

func notThrottles(err error) aws.Ternary {
	if isThrottle(err) {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}
