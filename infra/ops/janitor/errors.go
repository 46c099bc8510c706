package janitor

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/smithy-go"

	"github.com/banyan-fig/banyan/infra/ops/function"
)

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
func Options(o *lambda.Options) { o.Retryer = function.FaultsOnly() }
