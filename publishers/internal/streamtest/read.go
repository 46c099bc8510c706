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
	shards, err := client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: &stream})
	if err != nil {
		return nil, err
	}
	var all []Record
	for _, s := range shards.Shards {
		if all, err = readShard(ctx, client, stream, *s.ShardId, all); err != nil {
			return nil, fmt.Errorf("read %s: %w", *s.ShardId, err)
		}
	}
	slices.SortFunc(all, func(a, b Record) int {
		return cmp.Or(cmp.Compare(len(a.Position.Sequence), len(b.Position.Sequence)),
			cmp.Compare(a.Position.Sequence, b.Position.Sequence), a.Position.Sub-b.Position.Sub)
	})
	return all, nil
}

func readShard(ctx context.Context, client *kinesis.Client, stream, shard string, all []Record) ([]Record, error) {
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
			if all, err = unpack(shard, r, all); err != nil {
				return nil, err
			}
		}
		if at = out.NextShardIterator; len(out.Records) == 0 && aws.ToInt64(out.MillisBehindLatest) == 0 {
			break
		}
	}
	return all, nil
}

func unpack(shard string, r types.Record, all []Record) ([]Record, error) {
	whole := !aggregate.IsAggregate(r.Data)
	err := aggregate.Each(r.Data, func(sub int, one aggregate.Record) error {
		if whole {
			one.PartitionKey = *r.PartitionKey
		}
		all = append(all, Record{shard, events.Position{Sequence: *r.SequenceNumber, Sub: sub}, one.PartitionKey, one.Data})
		return nil
	})
	return all, err
}
