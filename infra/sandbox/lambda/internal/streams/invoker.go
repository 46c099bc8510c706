package streams

import (
	"context"
	"time"
)

// Invoker runs the function. Invoke returns when the function has answered,
// also where the context ended before: what was handed over is not taken back.
type Invoker interface {
	Invoke(ctx context.Context, payload []byte) Outcome
}

// Outcome is what came of an attempt to run the function.
type Outcome struct {
	// Undelivered says that no answer came back, because the invocation was
	// throttled or the service failed. The batch is tried again and the
	// attempt does not count (developer guide, "Retry attempts": "This doesn't
	// apply to service errors or throttles where the batch didn't reach the
	// function").
	Undelivered bool
	Reason      string // of Undelivered, for the mapping's state
	Payload     []byte
	// FunctionError is not empty when the function failed.
	FunctionError string
	RequestID     string
	Version       string
	// Again asks for a duplicate delivery of the batch, once it succeeded.
	Again Again
}

// Again is a fault: a batch that succeeded is delivered once more.
type Again struct {
	Deliver bool
	From    float64 // the part of the batch that is left out, 0 to 1
	Later   bool    // only after the following batch
}

// part is what of a batch is delivered again.
func (a Again) part(records []Record) []Record {
	return records[min(int(a.From*float64(len(records))), len(records)-1):]
}

// Discarded is a batch that was given up on.
type Discarded struct {
	Shard         string
	Records       []Record
	Condition     string // RetryAttemptsExhausted or RecordAgeExceeded
	Invocations   int
	RequestID     string
	Version       string
	FunctionError string
	At            time.Time
}

// Destination is told of batches that were given up on.
type Destination interface {
	Send(ctx context.Context, d Discarded) error
}
