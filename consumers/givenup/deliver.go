package givenup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// maxPayload is below the 6 MB that an invocation may have.
const maxPayload = 5_900_000

// ErrUnfinished is returned where the function did not handle all records.
var ErrUnfinished = errors.New("the function did not finish the batch")

// Invoke invokes a function with a payload, waits for its answer and returns it.
type Invoke func(ctx context.Context, payload []byte) ([]byte, error)

// Deliver hands the records of a batch that the stream has to a function, as the mapping did, in
// several invocations where they are too many bytes for one or more than the batch had. delivered
// are those that the function finished. It stops at the first failure, which is an
// [ErrUnfinished]; [ErrExpired] says that it had no failure, but records are missing.
func (b Batch) Deliver(ctx context.Context, client Kinesis, invoke Invoke) (delivered int, err error) {
	d := &delivery{batch: b, invoke: invoke}
	err = b.eachRecord(ctx, client, func(r types.Record) error { return d.add(ctx, r) })
	if err == nil || errors.Is(err, ErrExpired) {
		if flushErr := d.flush(ctx); flushErr != nil {
			err = flushErr
		}
	}
	return d.delivered, err
}

// delivery collects records until they are an invocation.
type delivery struct {
	batch     Batch
	invoke    Invoke
	records   []json.RawMessage
	bytes     int
	delivered int
}

func (d *delivery) add(ctx context.Context, r types.Record) error {
	record, err := json.Marshal(d.batch.event(r))
	if err != nil {
		return fmt.Errorf("encode record %s: %w", aws.ToString(r.SequenceNumber), err)
	}
	if len(d.records) > 0 && (len(d.records) >= max(d.batch.Size, 1) || d.bytes+len(record) > maxPayload) {
		if err := d.flush(ctx); err != nil {
			return err
		}
	}
	d.records = append(d.records, record)
	d.bytes += len(record) + len(",")
	return nil
}

func (d *delivery) flush(ctx context.Context) error {
	if len(d.records) == 0 {
		return nil
	}
	payload, err := json.Marshal(map[string][]json.RawMessage{"Records": d.records})
	if err != nil {
		return fmt.Errorf("encode %d records: %w", len(d.records), err)
	}
	answer, err := d.invoke(ctx, payload)
	if err != nil {
		return err
	}
	if err := checkAnswer(answer); err != nil {
		return err
	}
	d.delivered += len(d.records)
	d.records, d.bytes = nil, 0
	return nil
}

// event is a record as a mapping hands it to a function.
func (b Batch) event(r types.Record) awsevents.KinesisEventRecord {
	region := ""
	if parts := strings.Split(b.Stream, ":"); len(parts) > 3 {
		region = parts[3]
	}
	return awsevents.KinesisEventRecord{
		AwsRegion: region, EventID: b.Shard + ":" + aws.ToString(r.SequenceNumber), EventName: "aws:kinesis:record",
		EventSource: "aws:kinesis", EventSourceArn: b.Stream, EventVersion: "1.0",
		Kinesis: awsevents.KinesisRecord{
			ApproximateArrivalTimestamp: awsevents.SecondsEpochTime{Time: aws.ToTime(r.ApproximateArrivalTimestamp)},
			Data:                        append([]byte{}, r.Data...), // "", not null
			EncryptionType:              string(r.EncryptionType), PartitionKey: aws.ToString(r.PartitionKey),
			SequenceNumber: aws.ToString(r.SequenceNumber), KinesisSchemaVersion: "1.0",
		},
	}
}

// checkAnswer reads an answer as Lambda does: what names no failure is success.
func checkAnswer(answer []byte) error {
	var reported struct {
		BatchItemFailures []struct{ ItemIdentifier string }
	}
	if !strings.HasPrefix(strings.TrimSpace(string(answer)), "{") {
		return nil // of a function that does not report them
	}
	if err := json.Unmarshal(answer, &reported); err != nil {
		return fmt.Errorf("%w: it answered %.200q: %w", ErrUnfinished, answer, err)
	}
	if failed := reported.BatchItemFailures; len(failed) > 0 {
		return fmt.Errorf("%w: it reported %.80q and what comes after it", ErrUnfinished, failed[0].ItemIdentifier)
	}
	return nil
}
