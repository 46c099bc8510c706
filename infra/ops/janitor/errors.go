package janitor

import (
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/banyan-fig/banyan/infra/awserr"
	"github.com/banyan-fig/banyan/infra/ops/sweep"
)

// isRefusal reports whether Lambda will not delete this version now: an alias came
// to refer to it (ResourceConflictException), or it is replicated to the edge
// (InvalidParameterValueException).
func isRefusal(err error) bool {
	return awserr.Is(err, "ResourceConflictException", "InvalidParameterValueException")
}

// Options are those of the Lambda client that a janitor works with: faults of the
// network and the service are retried, a throttle is not.
func Options(o *lambda.Options) { o.Retryer = sweep.Retryer() }
