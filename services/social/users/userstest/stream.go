package userstest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/aggregate"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/publishers/kinesis"
)

// Stream is a stream of one shard in a sandbox Kinesis, with a publisher.
type Stream struct {
	t         *testing.T
	client    *awskinesis.Client
	Publisher *kinesis.Publisher
}

const streamName = "banyan-events"

// NewStream makes a Stream that ends with the test.
func NewStream(t *testing.T) *Stream {
	t.Helper()
	server, err := sandbox.New(sandbox.Config{Transition: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(server)
	t.Cleanup(front.Close)
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	client := awskinesis.New(awskinesis.Options{
		Region: "us-east-1", BaseEndpoint: &front.URL, HTTPClient: &http.Client{Transport: transport},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
	if _, err := client.CreateStream(t.Context(), &awskinesis.CreateStreamInput{StreamName: aws.String(streamName), ShardCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	waiter := awskinesis.NewStreamExistsWaiter(client, func(o *awskinesis.StreamExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 5*time.Millisecond, 50*time.Millisecond
	})
	if err := waiter.Wait(t.Context(), &awskinesis.DescribeStreamInput{StreamName: aws.String(streamName)}, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	p, err := kinesis.New(t.Context(), kinesis.Config{Client: client, Stream: streamName})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return &Stream{t, client, p}
}

// Events reads all events from the beginning of the stream.
func (s *Stream) Events() (all []events.Event) {
	s.t.Helper()
	EachEvent(s.t, s.client, streamName, func(e events.Event, _ events.Position) { all = append(all, e) })
	return all
}

// EachEvent hands on all events of a stream of one shard, and where they are, in
// their order.
func EachEvent(t *testing.T, client *awskinesis.Client, stream string, do func(events.Event, events.Position)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	begin, err := client.GetShardIterator(ctx, &awskinesis.GetShardIteratorInput{
		StreamName: &stream, ShardId: aws.String("shardId-000000000000"), ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	if err != nil {
		t.Fatal(err)
	}
	for at := begin.ShardIterator; ; {
		out, err := client.GetRecords(ctx, &awskinesis.GetRecordsInput{ShardIterator: at})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range out.Records {
			unpack(t, r, do)
		}
		if at = out.NextShardIterator; len(out.Records) == 0 && aws.ToInt64(out.MillisBehindLatest) == 0 {
			return
		}
	}
}

func unpack(t *testing.T, r types.Record, do func(events.Event, events.Position)) {
	t.Helper()
	parts, err := aggregate.Decode(r.Data)
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range parts {
		e, err := events.Decode(part.Data)
		if err != nil {
			t.Fatal(err)
		}
		do(e, events.Position{Sequence: *r.SequenceNumber, Sub: i})
	}
}
