package givenup_test

import (
	"errors"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/consumers/givenup"
)

// documented has the members of the developer guide's example.
const documented = `{
	"requestContext": {"requestId": "c9b8fa9f", "functionArn": "arn:aws:lambda:us-east-2:123456789012:function:orders:live",
		"condition": "RetryAttemptsExhausted", "approximateInvokeCount": 1},
	"responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
	"version": "1.0", "timestamp": "2026-11-14T00:38:06.021Z",
	"KinesisBatchInfo": {"shardId": "shardId-000000000001",
		"startSequenceNumber": "49601189658422359378836298521827638475320189012309704722",
		"endSequenceNumber": "49601189658422359378836298522902373528957594348623495186",
		"approximateArrivalOfFirstRecord": "2026-11-14T00:38:04.835Z", "approximateArrivalOfLastRecord": "2026-11-14T00:38:05.580Z",
		"batchSize": 500, "streamArn": "arn:aws:kinesis:us-east-2:123456789012:stream/events/consumer/orders:1700000000"}}`

func TestParse(t *testing.T) {
	b, err := givenup.Parse(documented)
	want := givenup.Batch{
		Function: "arn:aws:lambda:us-east-2:123456789012:function:orders:live", Condition: "RetryAttemptsExhausted",
		Stream: "arn:aws:kinesis:us-east-2:123456789012:stream/events", Shard: "shardId-000000000001",
		First: "49601189658422359378836298521827638475320189012309704722", Last: "49601189658422359378836298522902373528957594348623495186",
		Size: 500, At: time.Date(2026, 11, 14, 0, 38, 6, 21e6, time.UTC),
		FirstArrived: time.Date(2026, 11, 14, 0, 38, 4, 835e6, time.UTC), LastArrived: time.Date(2026, 11, 14, 0, 38, 5, 580e6, time.UTC),
	}
	if err != nil || b != want {
		t.Errorf("%+v, %v; want %+v", b, err, want)
	}
}

// FuzzParse: whatever is in the queue is a batch with a range, or an error of this package.
func FuzzParse(f *testing.F) {
	for _, body := range []string{documented, `{}`, `null`, `{"KinesisBatchInfo": {}}`, `{"DDBStreamBatchInfo": {}}`} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		b, err := givenup.Parse(body)
		if err != nil && !errors.Is(err, givenup.ErrBatch) || err == nil && (b.First == "" || b.Last == "" || b.Shard == "" || b.Stream == "") {
			t.Errorf("%q: %+v, %v", body, b, err)
		}
	})
}
