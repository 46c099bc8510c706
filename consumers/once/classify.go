package once

import (
	"errors"

	"github.com/aws/smithy-go"

	"github.com/banyan-fig/banyan/consumers"
)

// Classify tells the runtime whom an error of DynamoDB is to be blamed on: a
// request that is not valid on the event, which no retry mends (an item beyond
// 400 KB, an id beyond a key's length), and everything else on the table.
func Classify(err error) error {
	if err == nil {
		return nil
	}
	var refused *refusedError
	var api smithy.APIError
	if errors.As(err, &refused) || errors.As(err, &api) && api.ErrorCode() == "ValidationException" {
		return consumers.Permanent(err)
	}
	return consumers.Unavailable(err)
}

// refusedError is a reason of a cancelled transaction that no retry mends.
type refusedError struct{ code, message string }

func (e *refusedError) Error() string { return e.code + ": " + e.message }
