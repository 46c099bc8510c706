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
	sandbox "github.com/banyan-fig/banyan/infra/local/kinesis"
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
func (s *Stream) Events() []events.Event {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	begin, err := s.client.GetShardIterator(ctx, &awskinesis.GetShardIteratorInput{
		StreamName: aws.String(streamName), ShardId: aws.String("shardId-000000000000"), ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	var all []events.Event
	for at := begin.ShardIterator; ; {
		out, err := s.client.GetRecords(ctx, &awskinesis.GetRecordsInput{ShardIterator: at})
		if err != nil {
			s.t.Fatal(err)
		}
		for _, r := range out.Records {
			all = append(all, s.decode(r.Data)...)
		}
		if at = out.NextShardIterator; len(out.Records) == 0 && aws.ToInt64(out.MillisBehindLatest) == 0 {
			return all
		}
	}
}

func (s *Stream) decode(data []byte) []events.Event {
	s.t.Helper()
	records, err := aggregate.Decode(data)
	if err != nil {
		s.t.Fatal(err)
	}
	all := make([]events.Event, len(records))
	for i, r := range records {
		e, err := events.Decode(r.Data)
		if err != nil {
			s.t.Fatal(err)
		}
		all[i] = e
	}
	return all
}
