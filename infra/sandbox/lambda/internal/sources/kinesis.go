package sources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/streams"
)

// KinesisAPI is what is used of the Kinesis client.
type KinesisAPI interface {
	ListShards(context.Context, *kinesis.ListShardsInput, ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error)
	GetShardIterator(context.Context, *kinesis.GetShardIteratorInput, ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error)
	GetRecords(context.Context, *kinesis.GetRecordsInput, ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error)
}

// Kinesis is a Kinesis stream as a source.
type Kinesis struct {
	Client KinesisAPI
	ARN    string // of the stream
	Region string
	Role   string // the function's, shown to it as who reads the stream
}

// Shards lists all shards, which can take several requests.
func (k *Kinesis) Shards(ctx context.Context) ([]streams.Shard, error) {
	var found []streams.Shard
	in := &kinesis.ListShardsInput{StreamARN: &k.ARN}
	for {
		out, err := k.Client.ListShards(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("listing the shards of %s: %w", k.ARN, err)
		}
		for _, s := range out.Shards {
			found = append(found, kinesisShard(s))
		}
		if out.NextToken == nil {
			return found, nil
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken}
	}
}

func kinesisShard(s types.Shard) streams.Shard {
	shard := streams.Shard{ID: deref(s.ShardId)}
	for _, parent := range []*string{s.ParentShardId, s.AdjacentParentShardId} {
		if parent != nil && *parent != "" {
			shard.Parents = append(shard.Parents, *parent)
		}
	}
	if r := s.SequenceNumberRange; r != nil {
		shard.Closed = deref(r.EndingSequenceNumber) != ""
	}
	return shard
}

// Iterator asks for a place to read from.
func (k *Kinesis) Iterator(ctx context.Context, shard string, at streams.Position) (string, error) {
	in := &kinesis.GetShardIteratorInput{
		StreamARN: &k.ARN, ShardId: &shard, ShardIteratorType: types.ShardIteratorType(at.Start),
	}
	switch at.Start {
	case streams.AtTimestamp:
		in.Timestamp = &at.Time
	case streams.AtSequenceNumber, streams.AfterSequenceNumber:
		in.StartingSequenceNumber = &at.Sequence
	}
	out, err := k.Client.GetShardIterator(ctx, in)
	if err != nil {
		return "", fmt.Errorf("getting an iterator for %s of %s: %w", shard, k.ARN, err)
	}
	return deref(out.ShardIterator), nil
}

// Read gets the next records of a shard.
func (k *Kinesis) Read(ctx context.Context, shard, iterator string, limit int) (streams.Page, error) {
	most := int32(limit)
	out, err := k.Client.GetRecords(ctx, &kinesis.GetRecordsInput{StreamARN: &k.ARN, ShardIterator: &iterator, Limit: &most})
	var expired *types.ExpiredIteratorException
	if errors.As(err, &expired) {
		return streams.Page{}, streams.ErrIteratorExpired
	}
	if err != nil {
		return streams.Page{}, fmt.Errorf("reading %s of %s: %w", shard, k.ARN, err)
	}
	page := streams.Page{Next: deref(out.NextShardIterator), Behind: out.MillisBehindLatest != nil && *out.MillisBehindLatest > 0}
	for _, r := range out.Records {
		record, err := k.record(shard, r)
		if err != nil {
			return streams.Page{}, err
		}
		page.Records = append(page.Records, record)
	}
	return page, nil
}

// kinesisEvent is a record as a function gets it (developer guide, "Using
// Lambda to process records from Amazon Kinesis Data Streams").
type kinesisEvent struct {
	Kinesis           kinesisData `json:"kinesis"`
	EventSource       string      `json:"eventSource"`
	EventVersion      string      `json:"eventVersion"`
	EventID           string      `json:"eventID"`
	EventName         string      `json:"eventName"`
	InvokeIdentityARN string      `json:"invokeIdentityArn"`
	AWSRegion         string      `json:"awsRegion"`
	EventSourceARN    string      `json:"eventSourceARN"`
}

type kinesisData struct {
	SchemaVersion  string          `json:"kinesisSchemaVersion"`
	PartitionKey   string          `json:"partitionKey"`
	SequenceNumber string          `json:"sequenceNumber"`
	Data           []byte          `json:"data"`
	Arrived        json.RawMessage `json:"approximateArrivalTimestamp"`
	EncryptionType string          `json:"encryptionType,omitempty"`
}

func (k *Kinesis) record(shard string, r types.Record) (streams.Record, error) {
	arrived := time.Now()
	if r.ApproximateArrivalTimestamp != nil {
		arrived = *r.ApproximateArrivalTimestamp
	}
	sequence := deref(r.SequenceNumber)
	data := r.Data
	if data == nil {
		data = []byte{} // "", not null
	}
	event, err := json.Marshal(kinesisEvent{
		Kinesis: kinesisData{
			SchemaVersion: "1.0", PartitionKey: deref(r.PartitionKey), SequenceNumber: sequence,
			Data: data, Arrived: epochSeconds(arrived), EncryptionType: string(r.EncryptionType),
		},
		EventSource: "aws:kinesis", EventVersion: "1.0", EventID: shard + ":" + sequence, EventName: "aws:kinesis:record",
		InvokeIdentityARN: k.Role, AWSRegion: k.Region, EventSourceARN: k.ARN,
	})
	if err != nil {
		return streams.Record{}, fmt.Errorf("encoding record %s of %s: %w", sequence, shard, err)
	}
	return streams.Record{Sequence: sequence, Key: deref(r.PartitionKey), Arrived: arrived, Event: event}, nil
}

// epochSeconds writes a time as seconds with milliseconds after the point.
func epochSeconds(t time.Time) json.RawMessage {
	return json.RawMessage(strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64))
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
