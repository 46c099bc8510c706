package streamtest

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/aggregate"
)

// Record is what a publisher was given, as it lies on the stream.
type Record struct {
	Shard        string
	Position     events.Position
	PartitionKey string
	Data         []byte
}

// Read returns all events of a stream in the order of their positions. It fails
// if one lies under another key than its own.
func Read(ctx context.Context, client *kinesis.Client, stream string) ([]events.Event, error) {
	records, err := Records(ctx, client, stream)
	if err != nil {
		return nil, err
	}
	all := make([]events.Event, len(records))
	for i, r := range records {
		if all[i], err = events.Decode(r.Data); err != nil {
			return nil, fmt.Errorf("on the stream is %q: %w", r.Data, err)
		}
		if all[i].PartitionKey != r.PartitionKey {
			return nil, fmt.Errorf("event %s has the key %q on the stream, and %q itself", all[i].ID, r.PartitionKey, all[i].PartitionKey)
		}
	}
	return all, nil
}

// Records returns everything on a stream, de-aggregated, in the order of
// positions.
func Records(ctx context.Context, client *kinesis.Client, stream string) ([]Record, error) {
	var all []stored
	input := &kinesis.ListShardsInput{StreamName: &stream}
	for {
		shards, err := client.ListShards(ctx, input)
		if err != nil {
			return nil, err
		}
		for _, s := range shards.Shards {
			if all, err = readShard(ctx, client, stream, *s.ShardId, all); err != nil {
				return nil, fmt.Errorf("read %s: %w", *s.ShardId, err)
			}
		}
		if shards.NextToken == nil {
			return unpack(all)
		}
		input = &kinesis.ListShardsInput{NextToken: shards.NextToken}
	}
}

// stored is a record of the stream with the shard that it lies in.
type stored struct {
	shard string
	types.Record
}

func readShard(ctx context.Context, client *kinesis.Client, stream, shard string, all []stored) ([]stored, error) {
	begin, err := client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
		StreamName: &stream, ShardId: &shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	if err != nil {
		return nil, err
	}
	for at := begin.ShardIterator; at != nil; {
		out, err := client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: at})
		if err != nil {
			return nil, err
		}
		for _, r := range out.Records {
			all = append(all, stored{shard, r})
		}
		if at = out.NextShardIterator; len(out.Records) == 0 && aws.ToInt64(out.MillisBehindLatest) == 0 {
			break
		}
	}
	return all, nil
}

func unpack(all []stored) (records []Record, err error) {
	slices.SortFunc(all, func(a, b stored) int {
		return cmp.Or(cmp.Compare(len(*a.SequenceNumber), len(*b.SequenceNumber)), cmp.Compare(*a.SequenceNumber, *b.SequenceNumber))
	})
	for _, r := range all {
		whole := !aggregate.IsAggregate(r.Data)
		err := aggregate.Each(r.Data, func(sub int, one aggregate.Record) error {
			if whole {
				one.PartitionKey = *r.PartitionKey
			}
			records = append(records, Record{r.shard, events.Position{Sequence: *r.SequenceNumber, Sub: sub}, one.PartitionKey, one.Data})
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", *r.SequenceNumber, err)
		}
	}
	return records, nil
}
