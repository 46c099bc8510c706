package replay

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/banyan-fig/banyan/consumers/archive"
	"github.com/banyan-fig/banyan/infra/awserr"
	"github.com/banyan-fig/banyan/infra/backoff"
)

// StreamAPI is what [Stream] needs of *kinesis.Client.
type StreamAPI interface {
	ListShards(context.Context, *kinesis.ListShardsInput, ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error)
	GetShardIterator(context.Context, *kinesis.GetShardIteratorInput, ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error)
	GetRecords(context.Context, *kinesis.GetRecordsInput, ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error)
}

// Stream is what a stream still holds. Reading needs kinesis:ListShards, GetShardIterator and
// GetRecords.
type Stream struct {
	Client StreamAPI
	Name   string
	// Pause between two readings of a shard, of whose five a second the function's mappings
	// need some. 0: 500 ms.
	Pause time.Duration
}

// Open gives the records in a range, in the order of their sequence numbers, until the shards
// had no more, or none before the end of the range. It holds up to 10 MiB for each shard.
func (s Stream) Open(ctx context.Context, within archive.Range) (*archive.Merge, error) {
	merge := archive.NewMerge()
	in := &kinesis.ListShardsInput{StreamName: &s.Name}
	for {
		out, err := s.Client.ListShards(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("list the shards of stream %s: %w", s.Name, err)
		}
		for _, shard := range out.Shards {
			id := aws.ToString(shard.ShardId)
			if within.Shards == nil || slices.Contains(within.Shards, id) {
				merge.Add(&shardCursor{stream: s, shard: id, within: within, last: within.After[id]})
			}
		}
		if out.NextToken == nil {
			return merge, nil
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken}
	}
}

// shardCursor gives the records of a shard.
type shardCursor struct {
	stream   Stream
	shard    string
	within   archive.Range
	last     string // sequence number that was read
	iterator *string
	page     []types.Record
	caughtUp bool
	next     time.Time // of the next reading
}

// slack is more than times of arrival go backwards in a shard.
const slack = time.Minute

// pageSize is how many records are read at once.
const pageSize = 1000

// Next returns the next record, or io.EOF.
func (c *shardCursor) Next(ctx context.Context) (archive.Record, error) {
	for {
		for len(c.page) > 0 {
			r := newRecord(c.shard, c.page[0])
			c.page, c.last = c.page[1:], r.Sequence
			if until := c.within.Until; !until.IsZero() && r.Arrived.After(until.Add(slack)) {
				c.page, c.caughtUp = nil, true
				break
			}
			if c.within.Has(r) {
				return r, nil
			}
		}
		if c.caughtUp {
			return archive.Record{}, io.EOF
		}
		if err := c.read(ctx); err != nil {
			return archive.Record{}, fmt.Errorf("read %s of stream %s: %w", c.shard, c.stream.Name, err)
		}
	}
}

func newRecord(shard string, r types.Record) archive.Record {
	return archive.NewRecord(shard, awsevents.KinesisRecord{
		SequenceNumber: aws.ToString(r.SequenceNumber), PartitionKey: aws.ToString(r.PartitionKey), Data: r.Data,
		ApproximateArrivalTimestamp: awsevents.SecondsEpochTime{Time: aws.ToTime(r.ApproximateArrivalTimestamp)},
	})
}

var readAgain = backoff.Backoff{Min: 500 * time.Millisecond, Max: 10 * time.Second}

// read reads a page. An iterator expires after five minutes, which a slow replay needs.
func (c *shardCursor) read(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		if err := backoff.Sleep(ctx, time.Until(c.next)); err != nil {
			return err
		}
		err := c.readOnce(ctx)
		switch {
		case err == nil:
			c.next = time.Now().Add(cmp.Or(c.stream.Pause, 500*time.Millisecond))
			return nil
		case awserr.Is(err, "ExpiredIteratorException"):
			c.iterator = nil
		case !awserr.IsThrottle(err) && awserr.Status(err) < 500:
			return err
		}
		if err := readAgain.Wait(ctx, attempt); err != nil {
			return err
		}
	}
}

func (c *shardCursor) readOnce(ctx context.Context) (err error) {
	if c.iterator == nil {
		if c.iterator, err = c.begin(ctx); err != nil {
			return err
		}
	}
	out, err := c.stream.Client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: c.iterator, Limit: aws.Int32(pageSize)})
	if err != nil {
		return err
	}
	c.page, c.iterator = out.Records, out.NextShardIterator
	c.caughtUp = c.iterator == nil || len(out.Records) == 0 && aws.ToInt64(out.MillisBehindLatest) == 0
	return nil
}

// begin is behind the last record, or at the begin of the range. A record that the stream does
// not know any more is before all that it has.
func (c *shardCursor) begin(ctx context.Context) (*string, error) {
	in := &kinesis.GetShardIteratorInput{StreamName: &c.stream.Name, ShardId: &c.shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon}
	switch {
	case c.last != "":
		in.ShardIteratorType, in.StartingSequenceNumber = types.ShardIteratorTypeAfterSequenceNumber, &c.last
	case !c.within.From.IsZero():
		in.ShardIteratorType, in.Timestamp = types.ShardIteratorTypeAtTimestamp, &c.within.From
	}
	out, err := c.stream.Client.GetShardIterator(ctx, in)
	if c.last != "" && awserr.Is(err, "InvalidArgumentException") {
		in.ShardIteratorType, in.StartingSequenceNumber = types.ShardIteratorTypeTrimHorizon, nil
		out, err = c.stream.Client.GetShardIterator(ctx, in)
	}
	if err != nil {
		return nil, err
	}
	return out.ShardIterator, nil
}
