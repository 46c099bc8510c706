package sources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/streams"
)

// dynamoPage is the most records a read of DynamoDB Streams may ask for.
const dynamoPage = 1000

// DynamoDBAPI is what is used of the DynamoDB Streams client.
type DynamoDBAPI interface {
	DescribeStream(context.Context, *dynamodbstreams.DescribeStreamInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.DescribeStreamOutput, error)
	GetShardIterator(context.Context, *dynamodbstreams.GetShardIteratorInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetShardIteratorOutput, error)
	GetRecords(context.Context, *dynamodbstreams.GetRecordsInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetRecordsOutput, error)
}

// DynamoDB is the stream of a DynamoDB table as a source.
type DynamoDB struct {
	Client DynamoDBAPI
	ARN    string // of the stream
	Region string
}

// Shards lists all shards, which can take several requests.
func (d *DynamoDB) Shards(ctx context.Context) ([]streams.Shard, error) {
	var found []streams.Shard
	in := &dynamodbstreams.DescribeStreamInput{StreamArn: &d.ARN}
	for {
		out, err := d.Client.DescribeStream(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("describing %s: %w", d.ARN, err)
		}
		for _, s := range out.StreamDescription.Shards {
			shard := streams.Shard{ID: deref(s.ShardId)}
			if parent := deref(s.ParentShardId); parent != "" {
				shard.Parents = []string{parent}
			}
			if r := s.SequenceNumberRange; r != nil {
				shard.Closed = deref(r.EndingSequenceNumber) != ""
			}
			found = append(found, shard)
		}
		if out.StreamDescription.LastEvaluatedShardId == nil {
			return found, nil
		}
		in.ExclusiveStartShardId = out.StreamDescription.LastEvaluatedShardId
	}
}

// Iterator asks for a place to read from. DynamoDB Streams knows no timestamps;
// the beginning stands in for one, which delivers again and misses nothing.
func (d *DynamoDB) Iterator(ctx context.Context, shard string, at streams.Position) (string, error) {
	in := &dynamodbstreams.GetShardIteratorInput{
		StreamArn: &d.ARN, ShardId: &shard, ShardIteratorType: types.ShardIteratorType(at.Start),
	}
	switch at.Start {
	case streams.AtTimestamp:
		in.ShardIteratorType = types.ShardIteratorTypeTrimHorizon
	case streams.AtSequenceNumber, streams.AfterSequenceNumber:
		in.SequenceNumber = &at.Sequence
	}
	out, err := d.Client.GetShardIterator(ctx, in)
	var trimmed *types.TrimmedDataAccessException
	if errors.As(err, &trimmed) {
		return "", streams.ErrTrimmed
	}
	if err != nil {
		return "", fmt.Errorf("getting an iterator for %s of %s: %w", shard, d.ARN, err)
	}
	return deref(out.ShardIterator), nil
}

// Read gets the next records of a shard.
func (d *DynamoDB) Read(ctx context.Context, shard, iterator string, limit int) (streams.Page, error) {
	most := int32(min(limit, dynamoPage))
	out, err := d.Client.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: &iterator, Limit: &most})
	var expired *types.ExpiredIteratorException
	var trimmed *types.TrimmedDataAccessException
	if errors.As(err, &expired) || errors.As(err, &trimmed) {
		return streams.Page{}, streams.ErrIteratorExpired
	}
	if err != nil {
		return streams.Page{}, fmt.Errorf("reading %s of %s: %w", shard, d.ARN, err)
	}
	page := streams.Page{Next: deref(out.NextShardIterator)}
	for _, r := range out.Records {
		record, err := d.record(r)
		if err != nil {
			return streams.Page{}, fmt.Errorf("encoding a record of %s: %w", shard, err)
		}
		page.Records = append(page.Records, record)
	}
	return page, nil
}

// dynamoEvent is a record as a function gets it (developer guide, "Using AWS
// Lambda with Amazon DynamoDB").
type dynamoEvent struct {
	EventID        string          `json:"eventID"`
	EventName      string          `json:"eventName"`
	EventVersion   string          `json:"eventVersion"`
	EventSource    string          `json:"eventSource"`
	AWSRegion      string          `json:"awsRegion"`
	DynamoDB       dynamoChange    `json:"dynamodb"`
	UserIdentity   *dynamoIdentity `json:"userIdentity,omitempty"`
	EventSourceARN string          `json:"eventSourceARN"`
}

type dynamoIdentity struct {
	PrincipalID string `json:"principalId"`
	Type        string `json:"type"`
}

type dynamoChange struct {
	Created        json.RawMessage           `json:"ApproximateCreationDateTime,omitempty"`
	Keys           map[string]attributeValue `json:"Keys,omitempty"`
	NewImage       map[string]attributeValue `json:"NewImage,omitempty"`
	OldImage       map[string]attributeValue `json:"OldImage,omitempty"`
	SequenceNumber string                    `json:"SequenceNumber"`
	SizeBytes      int64                     `json:"SizeBytes"`
	StreamViewType string                    `json:"StreamViewType,omitempty"`
}

func (d *DynamoDB) record(r types.Record) (streams.Record, error) {
	change := r.Dynamodb
	if change == nil {
		return streams.Record{}, errors.New("the record tells of no change")
	}
	arrived := time.Now()
	if change.ApproximateCreationDateTime != nil {
		arrived = *change.ApproximateCreationDateTime
	}
	out := dynamoEvent{
		EventID: deref(r.EventID), EventName: string(r.EventName), EventVersion: deref(r.EventVersion),
		EventSource: "aws:dynamodb", AWSRegion: d.Region, EventSourceARN: d.ARN,
		DynamoDB: dynamoChange{
			Created: epochSeconds(arrived.Truncate(time.Second)), Keys: attributes(change.Keys),
			NewImage: attributes(change.NewImage), OldImage: attributes(change.OldImage),
			SequenceNumber: deref(change.SequenceNumber), StreamViewType: string(change.StreamViewType),
		},
	}
	if change.SizeBytes != nil {
		out.DynamoDB.SizeBytes = *change.SizeBytes
	}
	if id := r.UserIdentity; id != nil {
		out.UserIdentity = &dynamoIdentity{PrincipalID: deref(id.PrincipalId), Type: deref(id.Type)}
	}
	event, err := json.Marshal(out)
	if err != nil {
		return streams.Record{}, err
	}
	key, err := json.Marshal(out.DynamoDB.Keys) // order holds per item
	if err != nil {
		return streams.Record{}, err
	}
	return streams.Record{Sequence: out.DynamoDB.SequenceNumber, Key: string(key), Arrived: arrived, Event: event}, nil
}

// attributeValue is a value in DynamoDB's JSON.
type attributeValue map[string]any

func attributes(in map[string]types.AttributeValue) map[string]attributeValue {
	if in == nil {
		return nil
	}
	out := make(map[string]attributeValue, len(in))
	for name, v := range in {
		out[name] = attribute(v)
	}
	return out
}

func attribute(v types.AttributeValue) attributeValue {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return attributeValue{"S": v.Value}
	case *types.AttributeValueMemberN:
		return attributeValue{"N": v.Value}
	case *types.AttributeValueMemberB:
		return attributeValue{"B": v.Value}
	case *types.AttributeValueMemberBOOL:
		return attributeValue{"BOOL": v.Value}
	case *types.AttributeValueMemberNULL:
		return attributeValue{"NULL": v.Value}
	case *types.AttributeValueMemberSS:
		return attributeValue{"SS": v.Value}
	case *types.AttributeValueMemberNS:
		return attributeValue{"NS": v.Value}
	case *types.AttributeValueMemberBS:
		return attributeValue{"BS": v.Value}
	case *types.AttributeValueMemberM:
		return attributeValue{"M": attributes(v.Value)}
	case *types.AttributeValueMemberL:
		list := make([]attributeValue, len(v.Value))
		for i, e := range v.Value {
			list[i] = attribute(e)
		}
		return attributeValue{"L": list}
	default:
		return attributeValue{"NULL": true}
	}
}
