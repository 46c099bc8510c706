package streams

import (
	"bytes"
	"encoding/json"
)

// success is the index that failedFrom returns for a batch without failures.
const success = -1

// failedFrom reads a function's partial batch response and returns the index of
// the first record to be tried again, or success. From the developer guide,
// "Configuring partial batch response with Kinesis Data Streams and Lambda":
//   - an empty or null list, or an empty or null response, is a success;
//   - the lowest sequence number of the list is the checkpoint, and all records
//     from it on are tried again;
//   - an empty or null identifier, or one under a wrong key, fails the whole
//     batch. So does one that is not in the batch, and a response that cannot
//     be read.
func failedFrom(response []byte, records []Record) int {
	response = bytes.TrimSpace(response)
	if len(response) == 0 || bytes.Equal(response, []byte("null")) {
		return success
	}
	var shape struct {
		Failures []struct {
			Identifier *string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	if json.Unmarshal(response, &shape) != nil {
		return 0
	}
	index := make(map[string]int, len(records))
	for i, r := range records {
		index[r.Sequence] = i
	}
	first := success
	for _, f := range shape.Failures {
		if f.Identifier == nil {
			return 0
		}
		i, known := index[*f.Identifier]
		if !known {
			return 0
		}
		if first == success || i < first {
			first = i
		}
	}
	return first
}
