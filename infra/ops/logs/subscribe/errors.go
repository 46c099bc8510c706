package subscribe

import (
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"github.com/banyan-fig/banyan/infra/awserr"
	"github.com/banyan-fig/banyan/infra/ops/sweep"
)

func isConflict(err error) bool { return awserr.Is(err, "OperationAbortedException") }
func isNotFound(err error) bool { return awserr.Is(err, "ResourceNotFoundException") }
func isInvalid(err error) bool  { return awserr.Is(err, "InvalidParameterException") }

// Options are those of the client that a subscriber works with: faults of the
// network and the service are tried again, a throttle is not.
func Options(o *cloudwatchlogs.Options) { o.Retryer = sweep.Retryer() }
