package source

import (
	"context"

	awsevents "github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/consumers"
)

// Transformed is a record of Firehose, the Message.Record of [Firehose]. The handler sets
// what becomes of it.
type Transformed struct {
	awsevents.KinesisFirehoseEventRecord
	// Output is what is delivered in the place of Data. nil: Data.
	Output []byte
	// Drop leaves the record out of the delivery.
	Drop bool
	// PartitionKeys are those of dynamic partitioning.
	PartitionKeys map[string]string
}

// maxResponse is Lambda's limit of a response, less what surrounds the records.
const maxResponse = 6<<20 - 1<<10

// Firehose is a delivery stream that has the function transform its records. Message.Record is
// a *Transformed. A record whose handler fails is answered as ProcessingFailed, which Firehose
// delivers to the prefix of errors. What does not fit into Lambda's answer of 6 MB fails too:
// lower the buffer of the transformation.
func Firehose(options ...Option) Source {
	is := func(s Shape) bool { return s.has("invocationId", "deliveryStreamArn", "records") }
	return Source{"firehose", is, func(ctx context.Context, c *consumers.Consumer, payload []byte) (any, error) {
		e, err := parse[awsevents.KinesisFirehoseEvent](payload)
		if err != nil {
			return nil, err
		}
		records := make([]consumers.Record, len(e.Records))
		for i, r := range e.Records {
			m := consumers.Message{
				Source: "firehose", Raw: r.Data, Record: &Transformed{KinesisFirehoseEventRecord: r},
				Arrived: r.ApproximateArrivalTimestamp.Time,
			}
			records[i] = consumers.Record{ID: r.RecordID, Key: r.KinesisFirehoseRecordMetadata.PartitionKey, Message: m}
			records[i].Broken = unwrap(c, &records[i].Message, options)
		}
		failures, err := c.HandleRecords(ctx, records)
		if err != nil {
			return nil, err
		}
		return answerFirehose(records, failures), nil
	}}
}

// answerFirehose answers every record, as Firehose demands.
func answerFirehose(records []consumers.Record, failures []consumers.Failure) (answer awsevents.KinesisFirehoseResponse) {
	failed := map[int]bool{}
	for _, f := range failures {
		failed[f.Index] = true
	}
	size := 0
	for i, r := range records {
		out := awsevents.KinesisFirehoseResponseRecord{RecordID: r.ID, Result: awsevents.KinesisFirehoseTransformedStateProcessingFailed}
		if !failed[i] { // or its handler may still run
			t := r.Message.Record.(*Transformed)
			out.Data = t.Output
			if out.Data == nil {
				out.Data = t.Data
			}
			out.Result, out.Metadata.PartitionKeys = awsevents.KinesisFirehoseTransformedStateOk, t.PartitionKeys
			if t.Drop {
				out.Result, out.Data = awsevents.KinesisFirehoseTransformedStateDropped, nil
			}
		}
		const around = 200 // of a record's JSON
		if len(out.Data)*4/3+around+size > maxResponse {
			out.Data, out.Result = nil, awsevents.KinesisFirehoseTransformedStateProcessingFailed
		}
		size += len(out.Data)*4/3 + around + len(out.RecordID)
		answer.Records = append(answer.Records, out)
	}
	return answer
}
