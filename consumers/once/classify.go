package once

import (
	"errors"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/infra/awserr"
)

// Classify marks an error of DynamoDB for the runtime. An invalid request is the
// event's fault and [consumers.Permanent]: an item over 400 KB, an id longer than a
// key may be, an empty key. Everything else is the table's and
// [consumers.Unavailable]. Errors of this package are classified already.
func Classify(err error) error {
	var rejected *rejectedError
	switch {
	case err == nil, consumers.IsPermanent(err), consumers.IsUnavailable(err):
		return err
	case errors.As(err, &rejected), awserr.Is(err, "ValidationException"):
		return consumers.Permanent(err)
	}
	return consumers.Unavailable(err)
}

// rejectedError is the reason of a cancelled transaction that no retry changes.
type rejectedError struct{ code, message string }

func (e *rejectedError) Error() string { return e.code + ": " + e.message }
