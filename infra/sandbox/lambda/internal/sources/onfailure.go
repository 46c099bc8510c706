package sources

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/streams"
)

// OnFailure is an SQS queue as an on-failure destination. It is safe for
// concurrent use.
type OnFailure struct {
	Queue
	FunctionARN string // as invoked
	StreamARN   string
}

// failureRecord is what the destination gets (developer guide, "Retain
// discarded batch records for a Kinesis data stream event source in Lambda").
// It names the records and does not hold them.
type failureRecord struct {
	RequestContext  requestContext   `json:"requestContext"`
	ResponseContext *responseContext `json:"responseContext,omitempty"`
	Version         string           `json:"version"`
	Timestamp       string           `json:"timestamp"`
	Kinesis         *batchInfo       `json:"KinesisBatchInfo,omitempty"`
	DynamoDB        *batchInfo       `json:"DDBStreamBatchInfo,omitempty"`
}

type requestContext struct {
	RequestID   string `json:"requestId"`
	FunctionARN string `json:"functionArn"`
	Condition   string `json:"condition"`
	Invocations int    `json:"approximateInvokeCount"`
}

type responseContext struct {
	StatusCode      int    `json:"statusCode"`
	ExecutedVersion string `json:"executedVersion"`
	FunctionError   string `json:"functionError,omitempty"`
}

type batchInfo struct {
	ShardID       string `json:"shardId"`
	StartSequence string `json:"startSequenceNumber"`
	EndSequence   string `json:"endSequenceNumber"`
	FirstArrival  string `json:"approximateArrivalOfFirstRecord"`
	LastArrival   string `json:"approximateArrivalOfLastRecord"`
	BatchSize     int    `json:"batchSize"`
	StreamARN     string `json:"streamArn"`
}

// Why an event is given up on, as its destination names it.
const (
	EventRetriesExhausted = "RetriesExhausted"
	EventAgeExceeded      = "EventAgeExceeded"
)

// DiscardedEvent is an asynchronous invocation that was given up on. Version is
// empty where the function never ran.
type DiscardedEvent struct {
	RequestID, FunctionARN, Version, FunctionError string
	Condition                                      string // EventRetriesExhausted or EventAgeExceeded
	Invocations                                    int
	Request, Response                              json.RawMessage
	At                                             time.Time
}

// eventRecord is what the destination gets (developer guide, "Capturing records
// of Lambda asynchronous invocations").
type eventRecord struct {
	Version         string           `json:"version"`
	Timestamp       string           `json:"timestamp"`
	RequestContext  requestContext   `json:"requestContext"`
	RequestPayload  json.RawMessage  `json:"requestPayload"`
	ResponseContext *responseContext `json:"responseContext,omitempty"`
	ResponsePayload json.RawMessage  `json:"responsePayload,omitempty"`
}

// SendEvent tells the queue of an event that was given up on.
func (q *Queue) SendEvent(ctx context.Context, e DiscardedEvent) error {
	record := eventRecord{
		Version: "1.0", Timestamp: timestamp(e.At), RequestPayload: e.Request,
		RequestContext: requestContext{RequestID: e.RequestID, FunctionARN: e.FunctionARN, Condition: e.Condition, Invocations: e.Invocations},
	}
	if record.RequestContext.RequestID == "" { // no invocation came of it
		record.RequestContext.RequestID = uuid.NewString()
	}
	if len(e.Request) == 0 {
		record.RequestPayload = json.RawMessage("{}") // what the function was given
	}
	if e.Version != "" {
		record.ResponseContext = &responseContext{StatusCode: 200, ExecutedVersion: e.Version, FunctionError: e.FunctionError}
		record.ResponsePayload = e.Response
	}
	body, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("encoding the record of a discarded event: %w", err)
	}
	return q.send(ctx, string(body))
}

// Send tells the queue of a batch that was given up on.
func (q *OnFailure) Send(ctx context.Context, d streams.Discarded) error {
	body, err := json.Marshal(q.message(d))
	if err != nil {
		return fmt.Errorf("encoding the record of a discarded batch: %w", err)
	}
	return q.send(ctx, string(body))
}

func (q *OnFailure) message(d streams.Discarded) failureRecord {
	first, last := d.Records[0], d.Records[len(d.Records)-1]
	info := &batchInfo{
		ShardID: d.Shard, StartSequence: first.Sequence, EndSequence: last.Sequence,
		FirstArrival: timestamp(first.Arrived), LastArrival: timestamp(last.Arrived),
		BatchSize: len(d.Records), StreamARN: q.StreamARN,
	}
	m := failureRecord{
		RequestContext: requestContext{
			RequestID: d.RequestID, FunctionARN: q.FunctionARN, Condition: d.Condition, Invocations: d.Invocations,
		},
		Version: "1.0", Timestamp: timestamp(d.At),
	}
	if m.RequestContext.RequestID == "" { // no invocation came of it
		m.RequestContext.RequestID = uuid.NewString()
	}
	if d.Version != "" {
		m.ResponseContext = &responseContext{StatusCode: 200, ExecutedVersion: d.Version, FunctionError: d.FunctionError}
	}
	if strings.Contains(q.StreamARN, ":dynamodb:") {
		m.DynamoDB = info
	} else {
		m.Kinesis = info
	}
	return m
}

func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
