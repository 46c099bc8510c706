package sqs

import (
	"cmp"
	"errors"
	"regexp"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

const maxEntries = 10

var entryID = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,80}$`)

type batchError struct {
	Id          string
	SenderFault bool
	Code        string
	Message     string
}

type batchOutput[T any] struct {
	Successful []T
	Failed     []batchError
}

type batchResult struct{ Id string }

// batch does each entry for itself.
func batch[T any](ids []string, f fault.Fault, do func(i int) (T, error)) (*batchOutput[T], error) {
	if err := validateIDs(ids); err != nil {
		return nil, err
	}
	fails := make([]bool, len(ids))
	if f.Kind == fault.Partial {
		fails = f.Pick(len(ids))
	}
	out := &batchOutput[T]{Successful: []T{}, Failed: []batchError{}}
	for i, id := range ids {
		if fails[i] {
			out.Failed = append(out.Failed, failure(id, errInjected))
			continue
		}
		result, err := do(i)
		if err != nil {
			out.Failed = append(out.Failed, failure(id, err))
			continue
		}
		out.Successful = append(out.Successful, result)
	}
	return out, nil
}

func failure(id string, err error) batchError {
	e, ok := errors.AsType[*awsjson.Error](err)
	if !ok {
		return batchError{id, false, "InternalError", err.Error()}
	}
	code := e.QueryCode
	code = cmp.Or(code, e.Type)
	return batchError{id, e.Status < 500, code, e.Message}
}

func validateIDs(ids []string) error {
	if len(ids) == 0 {
		return errorWithCode("EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest", "There should be at least one entry in the request.")
	}
	if len(ids) > maxEntries {
		return errorWithCode("TooManyEntriesInBatchRequest", "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
			"Maximum number of entries per request are %d. You have sent %d.", maxEntries, len(ids))
	}
	seen := map[string]bool{}
	for _, id := range ids {
		if !entryID.MatchString(id) {
			return errorWithCode("InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId",
				"A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long: %q", id)
		}
		if seen[id] {
			return errorWithCode("BatchEntryIdsNotDistinct", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", "Id %s repeated.", id)
		}
		seen[id] = true
	}
	return nil
}
