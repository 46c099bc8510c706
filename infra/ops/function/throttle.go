package function

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

var throttles = retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}

// Throttled says whether a service wants fewer requests. LimitExceededException is
// among the codes, which some services answer to a quota that waiting does not
// help: look for those first.
func Throttled(err error) bool { return throttles.IsErrorThrottle(err) == aws.TrueTernary }

// FaultsOnly makes a retryer for functions that a schedule starts again: faults of
// the network and the service are tried three times in all, a throttle once.
func FaultsOnly() aws.Retryer {
	return retry.NewStandard(func(r *retry.StandardOptions) {
		r.MaxAttempts, r.MaxBackoff = 3, time.Second
		r.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(notThrottled)}, r.Retryables...)
	})
}

func notThrottled(err error) aws.Ternary {
	if Throttled(err) {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}
