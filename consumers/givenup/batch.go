package givenup

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/events"
)

// Batch is what a mapping gave up.
type Batch struct {
	// Function is the ARN of the function as the mapping invoked it, with its alias.
	Function string
	// Condition is why, such as RetryAttemptsExhausted or RecordAgeExceeded.
	Condition string
	// Stream is the ARN of the stream.
	Stream, Shard string
	// First and Last are the sequence numbers of the first and the last record.
	First, Last string
	// Size is how many records the batch had, which may be less than the range has.
	Size int
	// FirstArrived and LastArrived are when Kinesis accepted these records, At when the
	// mapping gave up.
	FirstArrived, LastArrived, At time.Time
}

// ErrBatch is returned for a message that does not name records of a Kinesis stream.
var ErrBatch = errors.New("no batch of a Kinesis stream")

// message is the layout of what Lambda sends (developer guide, "Retain discarded batch records
// for a Kinesis Data Streams event source").
type message struct {
	RequestContext struct {
		FunctionArn, Condition string
	}
	Timestamp          time.Time
	KinesisBatchInfo   *batchInfo
	DDBStreamBatchInfo *batchInfo
}

type batchInfo struct {
	ShardID                         string
	StartSequenceNumber             string
	EndSequenceNumber               string
	ApproximateArrivalOfFirstRecord time.Time
	ApproximateArrivalOfLastRecord  time.Time
	BatchSize                       int
	StreamArn                       string
}

// Parse reads the body of a message.
func Parse(body string) (Batch, error) {
	var m message
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		return Batch{}, fmt.Errorf("%w: not what Lambda sends: %w", ErrBatch, err)
	}
	if m.DDBStreamBatchInfo != nil {
		return Batch{}, fmt.Errorf("%w: it is of the DynamoDB stream %s, of which nothing is lost that is in the table still",
			ErrBatch, m.DDBStreamBatchInfo.StreamArn)
	}
	if m.KinesisBatchInfo == nil {
		return Batch{}, fmt.Errorf("%w: it has no KinesisBatchInfo", ErrBatch)
	}
	b := m.batch(m.KinesisBatchInfo)
	if !isNumber(b.First) || !isNumber(b.Last) || position(b.Last).Before(position(b.First)) || b.Stream == "" || b.Shard == "" {
		return Batch{}, fmt.Errorf("%w: invalid range from %.80q to %.80q of shard %.80q of stream %.200q", ErrBatch, b.First, b.Last, b.Shard, b.Stream)
	}
	return b, nil
}

func (m message) batch(info *batchInfo) Batch {
	stream, _, _ := strings.Cut(info.StreamArn, "/consumer/") // by which a mapping with enhanced fan-out reads it
	return Batch{
		Function: m.RequestContext.FunctionArn, Condition: m.RequestContext.Condition,
		Stream: stream, Shard: info.ShardID, First: info.StartSequenceNumber, Last: info.EndSequenceNumber,
		Size: info.BatchSize, FirstArrived: info.ApproximateArrivalOfFirstRecord, LastArrived: info.ApproximateArrivalOfLastRecord, At: m.Timestamp,
	}
}

func isNumber(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "0123456789") == ""
}

// position makes sequence numbers comparable.
func position(sequence string) events.Position { return events.Position{Sequence: sequence} }
