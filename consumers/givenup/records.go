package givenup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// Kinesis is what is needed of *kinesis.Client.
type Kinesis interface {
	GetShardIterator(context.Context, *kinesis.GetShardIteratorInput, ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error)
	GetRecords(context.Context, *kinesis.GetRecordsInput, ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error)
}

// ErrExpired is returned where the stream does not have all the records any more.
var ErrExpired = errors.New("records have expired from the stream")

// emptyPause keeps below the five reads a second of a shard, which the mappings need as well.
const emptyPause = time.Second

// eachRecord calls do with the records of the batch's range that the stream has, in their order,
// until it fails. Where the first ones have expired, the error is [ErrExpired] after do was called
// with the others.
func (b Batch) eachRecord(ctx context.Context, client Kinesis, do func(types.Record) error) error {
	at, err := client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
		StreamARN: &b.Stream, ShardId: &b.Shard, ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: &b.First,
	})
	if _, gone := errors.AsType[*types.ResourceNotFoundException](err); gone {
		return fmt.Errorf("all %w: %w", ErrExpired, err) // with the shard, after a reshard
	}
	if err != nil {
		return fmt.Errorf("find %s in %s of %s: %w", b.First, b.Shard, b.Stream, err)
	}
	first, iterator := "", at.ShardIterator
	for iterator != nil {
		out, err := client.GetRecords(ctx, &kinesis.GetRecordsInput{StreamARN: &b.Stream, ShardIterator: iterator})
		if err != nil {
			return fmt.Errorf("read %s of %s: %w", b.Shard, b.Stream, err)
		}
		for _, r := range out.Records {
			sequence := aws.ToString(r.SequenceNumber)
			if position(b.Last).Before(position(sequence)) {
				return b.checkFirst(first)
			}
			if first == "" {
				first = sequence
			}
			if err := do(r); err != nil {
				return err
			}
			if sequence == b.Last {
				return b.checkFirst(first)
			}
		}
		if iterator = out.NextShardIterator; len(out.Records) == 0 {
			if aws.ToInt64(out.MillisBehindLatest) == 0 { // at the end
				break
			}
			if err := backoff.Sleep(ctx, emptyPause); err != nil {
				return err
			}
		}
	}
	return b.checkFirst(first)
}

// checkFirst looks at the first record that there was.
func (b Batch) checkFirst(first string) error {
	switch first {
	case b.First:
		return nil
	case "":
		return fmt.Errorf("all %w: %s to %s of %s", ErrExpired, b.First, b.Last, b.Shard)
	}
	return fmt.Errorf("the first %w: %s up to before %s of %s", ErrExpired, b.First, first, b.Shard)
}
