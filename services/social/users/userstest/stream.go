package userstest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/events"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/streamtest"
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
	client := streamtest.NewClient(front.URL, transport)
	if err := streamtest.Create(t.Context(), client, streamName, 1); err != nil {
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
	all, err := streamtest.Read(ctx, s.client, streamName)
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}
