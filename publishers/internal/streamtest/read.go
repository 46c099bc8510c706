// Package streamtest reads for tests what publishers have put on a stream.
package streamtest

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/aggregate"
)

// Read returns all events of a stream, shard after shard, each in its order.
func Read(ctx context.Context, client *kinesis.Client, stream string) ([]events.Event, error) {
	shards, err := client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: &stream})
	if err != nil {
		return nil, err
	}
	var all []events.Event
	for _, s := range shards.Shards {
		if all, err = readShard(ctx, client, stream, *s.ShardId, all); err != nil {
			return nil, fmt.Errorf("read %s: %w", *s.ShardId, err)
		}
	}
	return all, nil
}

func readShard(ctx context.Context, client *kinesis.Client, stream, shard string, all []events.Event) ([]events.Event, error) {
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
			if all, err = unpack(r.Data, all); err != nil {
				return nil, err
			}
		}
		if at = out.NextShardIterator; len(out.Records) == 0 && aws.ToInt64(out.MillisBehindLatest) == 0 {
			return all, nil
		}
	}
	return all, nil
}

func unpack(data []byte, all []events.Event) ([]events.Event, error) {
	records, err := aggregate.Decode(data)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		e, err := events.Decode(r.Data)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}
