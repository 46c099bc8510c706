package dynamostream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// Retention is how long a stream keeps a record.
const Retention = 24 * time.Hour

// MaxRecords is how many records one page has at most, within 1 MB.
const MaxRecords = 1000

var (
	// ErrTrimmed says that the stream no longer has the records behind a position, or no
	// longer has the shard: changes may have been missed.
	ErrTrimmed = errors.New("the stream no longer holds the position")
	// ErrExpired says that an iterator is older than 15 minutes.
	ErrExpired = errors.New("the shard iterator has expired")
	// ErrNoStream says that there is no stream of this name (any more).
	ErrNoStream = errors.New("the stream does not exist")
)

// API is what is used of *dynamodbstreams.Client.
type API interface {
	DescribeStream(context.Context, *dynamodbstreams.DescribeStreamInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.DescribeStreamOutput, error)
	GetShardIterator(context.Context, *dynamodbstreams.GetShardIteratorInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetShardIteratorOutput, error)
	GetRecords(context.Context, *dynamodbstreams.GetRecordsInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetRecordsOutput, error)
}

// Stream is the stream of one table. It is safe for concurrent use.
type Stream struct {
	Client API
	ARN    string
}

// Position is a place in a shard.
type Position struct {
	Type     types.ShardIteratorType
	Sequence string // for AT_SEQUENCE_NUMBER and AFTER_SEQUENCE_NUMBER
}

// Oldest is the first record that a shard still has, and Latest is behind its last.
var (
	Oldest = Position{Type: types.ShardIteratorTypeTrimHorizon}
	Latest = Position{Type: types.ShardIteratorTypeLatest}
)

// After is behind the record with a sequence number.
func After(sequence string) Position {
	return Position{Type: types.ShardIteratorTypeAfterSequenceNumber, Sequence: sequence}
}

// Page is what one read returned.
type Page struct {
	Records []types.Record
	// Next is the iterator to go on with, "" at the end of a closed shard. A page without
	// records has one too, and there may be records behind it.
	Next string
}

// Shards lists all shards, by requests for a hundred each. It fails with ErrNoStream.
func (s Stream) Shards(ctx context.Context) (Shards, error) {
	var all Shards
	in := &dynamodbstreams.DescribeStreamInput{StreamArn: &s.ARN}
	for {
		out, err := s.Client.DescribeStream(ctx, in)
		if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
			return nil, fmt.Errorf("list the shards of %s: %w: %w", s.ARN, ErrNoStream, err)
		}
		if err != nil {
			return nil, fmt.Errorf("list the shards of %s: %w", s.ARN, err)
		}
		for _, shard := range out.StreamDescription.Shards {
			r := shard.SequenceNumberRange
			all = append(all, Shard{ID: aws.ToString(shard.ShardId), Parent: aws.ToString(shard.ParentShardId),
				Closed: r != nil && aws.ToString(r.EndingSequenceNumber) != ""})
		}
		if in.ExclusiveStartShardId = out.StreamDescription.LastEvaluatedShardId; in.ExclusiveStartShardId == nil {
			return all, nil
		}
	}
}

// Iterator returns an iterator that begins at a position. It fails with ErrTrimmed.
func (s Stream) Iterator(ctx context.Context, shard string, at Position) (string, error) {
	in := &dynamodbstreams.GetShardIteratorInput{StreamArn: &s.ARN, ShardId: &shard, ShardIteratorType: at.Type}
	if at.Sequence != "" {
		in.SequenceNumber = &at.Sequence
	}
	out, err := s.Client.GetShardIterator(ctx, in)
	if err != nil {
		return "", fmt.Errorf("get an iterator for %s of %s: %w", shard, s.ARN, named(err))
	}
	return aws.ToString(out.ShardIterator), nil
}

// Read gets the next records of a shard, at most limit. It fails with ErrTrimmed or
// ErrExpired.
func (s Stream) Read(ctx context.Context, shard, iterator string, limit int) (Page, error) {
	out, err := s.Client.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: &iterator,
		Limit: aws.Int32(int32(min(limit, MaxRecords)))})
	if err != nil {
		return Page{}, fmt.Errorf("read %s of %s: %w", shard, s.ARN, named(err))
	}
	return Page{Records: out.Records, Next: aws.ToString(out.NextShardIterator)}, nil
}

// named wraps the errors that callers test for. A shard that is not found was trimmed as a
// whole.
func named(err error) error {
	if _, trimmed := errors.AsType[*types.TrimmedDataAccessException](err); trimmed {
		return fmt.Errorf("%w: %w", ErrTrimmed, err)
	}
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return fmt.Errorf("%w: %w", ErrTrimmed, err)
	}
	if _, expired := errors.AsType[*types.ExpiredIteratorException](err); expired {
		return fmt.Errorf("%w: %w", ErrExpired, err)
	}
	return err
}

// Record is one change of an item.
type Record struct {
	Sequence string
	At       time.Time // of the change, by the second
	Keys     dynamo.Item
	// New and Old are the item after and before it; nil where there was none, and where
	// the stream does not carry them.
	New, Old dynamo.Item
	Removed  bool
	// Expired says that DynamoDB removed the item because its time to live was over.
	Expired bool
}

// Decode reads a record as the stream has it.
func Decode(r types.Record) (Record, error) {
	c := r.Dynamodb
	if c == nil {
		return Record{}, fmt.Errorf("record %s of a stream: it tells of no change", aws.ToString(r.EventID))
	}
	out := Record{Sequence: aws.ToString(c.SequenceNumber), At: aws.ToTime(c.ApproximateCreationDateTime),
		Removed: r.EventName == types.OperationTypeRemove}
	if u := r.UserIdentity; u != nil {
		out.Expired = out.Removed && aws.ToString(u.Type) == "Service" && aws.ToString(u.PrincipalId) == "dynamodb.amazonaws.com"
	}
	for _, image := range []struct {
		from map[string]types.AttributeValue
		to   *dynamo.Item
	}{{c.Keys, &out.Keys}, {c.NewImage, &out.New}, {c.OldImage, &out.Old}} {
		if image.from == nil {
			continue
		}
		item, err := attributevalue.FromDynamoDBStreamsMap(image.from)
		if err != nil {
			return Record{}, fmt.Errorf("record %s of a stream: %w", out.Sequence, err)
		}
		*image.to = item
	}
	return out, nil
}
