package streamtest

import (
	"context"
	"testing"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/events"
)

// Event makes an event.
func Event(t testing.TB, p events.Payload) events.Event {
	t.Helper()
	e, err := events.Factory{Now: func() time.Time { return Start }}.New(context.Background(), "/test", p)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Message is a payload as it is delivered at number n of the stream.
func Message(t testing.TB, n int, p events.Payload) consumers.Message {
	t.Helper()
	e := Event(t, p)
	return consumers.Message{
		Event: e, Position: events.Position{Sequence: Sequence(n)}, Shard: "shardId-000000000000",
		Raw: Data(t, e), Arrived: Start,
	}
}

// Record is the record number n of shard 0.
func Record(n int, key string, data []byte) awsevents.KinesisEventRecord {
	r := awsevents.KinesisEventRecord{EventID: "shardId-000000000000:" + Sequence(n), EventSource: "aws:kinesis"}
	r.Kinesis.SequenceNumber = Sequence(n)
	r.Kinesis.PartitionKey = key
	r.Kinesis.Data = data
	r.Kinesis.ApproximateArrivalTimestamp.Time = Start
	return r
}
