package sources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"github.com/banyan-fig/banyan/infra/dynamostream"
	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/streams"
)

// DynamoDB is the stream of a DynamoDB table as a source.
type DynamoDB struct {
	Stream dynamostream.Stream
	Region string
}

// Shards lists all shards.
func (d *DynamoDB) Shards(ctx context.Context) ([]streams.Shard, error) {
	all, err := d.Stream.Shards(ctx)
	found := make([]streams.Shard, len(all))
	for i, s := range all {
		found[i] = streams.Shard{ID: s.ID, Closed: s.Closed}
		if s.Parent != "" {
			found[i].Parents = []string{s.Parent}
		}
	}
	return found, err
}

// Iterator asks for a place to read from. DynamoDB Streams knows no timestamps;
// the beginning stands in for one, which delivers again and misses nothing.
func (d *DynamoDB) Iterator(ctx context.Context, shard string, at streams.Position) (string, error) {
	from := dynamostream.Position{Type: types.ShardIteratorType(at.Start), Sequence: at.Sequence}
	if at.Start == streams.AtTimestamp {
		from = dynamostream.Oldest
	}
	it, err := d.Stream.Iterator(ctx, shard, from)
	if errors.Is(err, dynamostream.ErrTrimmed) {
		return "", streams.ErrTrimmed
	}
	return it, err
}

// Read gets the next records of a shard.
func (d *DynamoDB) Read(ctx context.Context, shard, iterator string, limit int) (streams.Page, error) {
	out, err := d.Stream.Read(ctx, shard, iterator, limit)
	if errors.Is(err, dynamostream.ErrExpired) || errors.Is(err, dynamostream.ErrTrimmed) {
		return streams.Page{}, streams.ErrIteratorExpired
	}
	page := streams.Page{Next: out.Next}
	for _, r := range out.Records {
		record, err := d.record(r)
		if err != nil {
			return streams.Page{}, fmt.Errorf("encoding a record of %s: %w", shard, err)
		}
		page.Records = append(page.Records, record)
	}
	return page, err
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
	Created        json.RawMessage `json:"ApproximateCreationDateTime,omitempty"`
	Keys           json.RawMessage `json:"Keys,omitempty"`
	NewImage       json.RawMessage `json:"NewImage,omitempty"`
	OldImage       json.RawMessage `json:"OldImage,omitempty"`
	SequenceNumber string          `json:"SequenceNumber"`
	SizeBytes      int64           `json:"SizeBytes"`
	StreamViewType string          `json:"StreamViewType,omitempty"`
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
	keys, err := attributes(change.Keys) // order holds per item
	if err != nil {
		return streams.Record{}, err
	}
	updated, err := attributes(change.NewImage)
	if err != nil {
		return streams.Record{}, err
	}
	old, err := attributes(change.OldImage)
	if err != nil {
		return streams.Record{}, err
	}
	out := dynamoEvent{
		EventID: deref(r.EventID), EventName: string(r.EventName), EventVersion: deref(r.EventVersion),
		EventSource: "aws:dynamodb", AWSRegion: d.Region, EventSourceARN: d.Stream.ARN,
		DynamoDB: dynamoChange{
			Created: epochSeconds(arrived.Truncate(time.Second)), Keys: keys, NewImage: updated, OldImage: old,
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
	return streams.Record{Sequence: out.DynamoDB.SequenceNumber, Key: string(keys), Arrived: arrived, Event: event}, nil
}

// attributes are an image in DynamoDB's JSON.
func attributes(in map[string]types.AttributeValue) (json.RawMessage, error) {
	if in == nil {
		return nil, nil
	}
	item, err := attributevalue.FromDynamoDBStreamsMap(in)
	if err != nil {
		return nil, err
	}
	return attributevalue.MarshalMapJSON(item)
}
