package subscribe

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/smithy-go"

	"github.com/banyan-fig/banyan/infra/ops/function"
)

func isConflict(err error) bool { return hasCode(err, "OperationAbortedException") }
func isNotFound(err error) bool { return hasCode(err, "ResourceNotFoundException") }
func isInvalid(err error) bool  { return hasCode(err, "InvalidParameterException") }

func hasCode(err error, code string) bool {
	e, ok := errors.AsType[smithy.APIError](err)
	return ok && e.ErrorCode() == code
}

// stops says whether an error ends the back-fill, and not only one group's.
func stops(err error) bool {
	return errors.Is(err, errDeadline) || function.Throttled(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// Options are those of the client that a subscriber works with: faults of the
// network and the service are tried again, a throttle is not.
func Options(o *cloudwatchlogs.Options) { o.Retryer = function.FaultsOnly() }
