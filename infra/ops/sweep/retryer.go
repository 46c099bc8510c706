package sweep

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"github.com/banyan-fig/banyan/infra/awserr"
)

// Retryer is that of clients of a sweep: faults of the network and the service are
// tried three times in all, a throttle once, since the next invocation resumes.
func Retryer() aws.Retryer {
	return retry.NewStandard(func(r *retry.StandardOptions) {
		r.MaxAttempts, r.MaxBackoff = 3, time.Second
		r.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			if awserr.IsThrottle(err) {
				return aws.FalseTernary
			}
			return aws.UnknownTernary
		})}, r.Retryables...)
	})
}
