package once

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/infra/awserr"
)

// Classify marks an error of DynamoDB for the runtime. An invalid request is the
// event's fault and [consumers.Permanent]: an item over 400 KB, an id longer than a
// key may be, an empty key. Everything else is the table's and
// [consumers.Unavailable], also a table with other keys. Errors of this package are classified already.
func Classify(err error) error {
	var rejected *rejectedError
	switch {
	case err == nil, consumers.IsPermanent(err), consumers.IsUnavailable(err):
		return err
	case isSchemaMismatch(err):
		return consumers.Unavailable(fmt.Errorf("the table's keys must be the texts pk and sk: %w", err))
	case errors.As(err, &rejected), awserr.Is(err, "ValidationException"), awserr.IsInvalidInput(err):
		return consumers.Permanent(err)
	}
	return consumers.Unavailable(err)
}

// isSchemaMismatch reports whether the table has other keys, which DynamoDB reports with the
// code of an invalid request. As a permanent error it would make every event a dead letter.
func isSchemaMismatch(err error) bool {
	var rejected *rejectedError
	var api smithy.APIError
	message := "" // the service's alone: ids of events may say anything
	switch {
	case errors.As(err, &rejected):
		message = rejected.message
	case errors.As(err, &api):
		message = api.ErrorMessage()
	}
	return strings.Contains(message, "does not match the schema") ||
		strings.Contains(message, "Missing the key") || strings.Contains(message, "Type mismatch for key")
}

// rejectedError is the reason of a cancelled transaction that no retry changes.
type rejectedError struct{ code, message string }

func (e *rejectedError) Error() string { return e.code + ": " + e.message }
