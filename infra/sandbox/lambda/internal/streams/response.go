package streams

import (
	"bytes"
	"encoding/json"
)

// failures reads what came of an invocation: the indexes of the records to be
// tried again, in order; none for a success. Where a function reports failures,
// its answer is read by the developer guide, "Configuring partial batch response
// with Kinesis Data Streams and Lambda" and, with the same conditions, "Handling
// errors for an SQS event source in Lambda":
//   - an empty or null list, or an empty or null response, is a success;
//   - an empty or null identifier, or one under a wrong key, fails the whole
//     batch. So does one that is not in the batch, and a response that cannot
//     be read.
func failures(out Outcome, records []Record, reported bool) []int {
	var named map[string]bool
	readable := out.FunctionError == ""
	if readable && reported {
		named, readable = failedIdentifiers(out.Payload)
	}
	var failed []int
	found := map[string]bool{}
	for i, r := range records {
		if named[r.Sequence] {
			failed, found[r.Sequence] = append(failed, i), true
		}
	}
	if readable && len(found) == len(named) {
		return failed
	}
	failed = nil
	for i := range records {
		failed = append(failed, i)
	}
	return failed
}

// failedIdentifiers reads a partial batch response; false where the whole batch
// failed.
func failedIdentifiers(response []byte) (map[string]bool, bool) {
	response = bytes.TrimSpace(response)
	if len(response) == 0 {
		return nil, true
	}
	var shape struct {
		Failures []struct {
			Identifier *string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	if json.Unmarshal(response, &shape) != nil {
		return nil, false
	}
	named := map[string]bool{}
	for _, f := range shape.Failures {
		if f.Identifier == nil {
			return nil, false
		}
		named[*f.Identifier] = true
	}
	return named, true
}
