package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/aggregate"
	"github.com/banyan-fig/banyan/infra/backoff"
)

// readStream reads all that the stream holds, by itself and beside the
// consumers, and hands each event on in the order of its shard.
func (w *World) readStream(ctx context.Context, do func(consumers.Message)) error {
	list, err := w.aws.kinesis.ListShards(ctx, &kinesis.ListShardsInput{StreamName: aws.String(streamName)})
	if err != nil {
		return fmt.Errorf("list the shards: %w", err)
	}
	for _, shard := range list.Shards {
		if err := w.readShard(ctx, *shard.ShardId, do); err != nil {
			return fmt.Errorf("read shard %s: %w", *shard.ShardId, err)
		}
	}
	return nil
}

func (w *World) readShard(ctx context.Context, shard string, do func(consumers.Message)) error {
	start, err := w.aws.kinesis.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
		StreamName: aws.String(streamName), ShardId: &shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	if err != nil {
		return err
	}
	for next := start.ShardIterator; next != nil; {
		got, err := w.aws.kinesis.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: next})
		if err != nil {
			return err
		}
		for _, r := range got.Records {
			if err := eachEvent(shard, r, do); err != nil {
				return err
			}
		}
		if len(got.Records) == 0 && aws.ToInt64(got.MillisBehindLatest) == 0 {
			return nil
		}
		next = got.NextShardIterator
	}
	return nil
}

func eachEvent(shard string, r types.Record, do func(consumers.Message)) error {
	records, err := aggregate.Decode(r.Data)
	if err != nil {
		return fmt.Errorf("record %s: %w", *r.SequenceNumber, err)
	}
	for i, sub := range records {
		e, err := events.Decode(sub.Data)
		if err != nil {
			continue // the malformed record is a dead letter
		}
		do(consumers.Message{
			Event: e, Position: events.Position{Sequence: *r.SequenceNumber, Sub: i}, Shard: shard,
			Raw: sub.Data, Arrived: aws.ToTime(r.ApproximateArrivalTimestamp),
		})
	}
	return nil
}

// pollUntil calls done until it reports true, fails, or the timeout is over, which is
// no error: what done found last counts.
func pollUntil(ctx context.Context, timeout time.Duration, done func() (bool, error)) error {
	deadline := time.Now().Add(timeout)
	pauses := backoff.Backoff{Min: 200 * time.Millisecond, Max: 2 * time.Second}
	for attempt := 0; ; attempt++ {
		ok, err := done()
		if err != nil || ok || time.Now().After(deadline) {
			return err
		}
		if err := pauses.Wait(ctx, attempt); err != nil {
			return err
		}
	}
}
