package sidecar_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/aggregate"
	sandbox "github.com/banyan-fig/banyan/infra/local/kinesis"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/sidecar"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const stream = "facts"

// world is a sidecar in front of a stream in the sandbox, everything over the wire.
type world struct {
	t       *testing.T
	kinesis *httptest.Server
	client  *awskinesis.Client
	handler *sidecar.Handler
	url     string
	http    *http.Client
}

// newWorld lets a test change the configs of the publisher and the handler.
func newWorld(t *testing.T, change func(*kinesis.Config, *sidecar.Config)) *world {
	t.Helper()
	server, err := sandbox.New(sandbox.Config{Transition: time.Millisecond, Unlimited: true})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, kinesis: httptest.NewServer(server)}
	t.Cleanup(w.kinesis.Close)
	w.client = newKinesisClient(t, w.kinesis.URL)
	if _, err := w.client.CreateStream(t.Context(), &awskinesis.CreateStreamInput{StreamName: aws.String(stream), ShardCount: aws.Int32(2)}); err != nil {
		t.Fatal(err)
	}
	for {
		out, err := w.client.DescribeStreamSummary(t.Context(), &awskinesis.DescribeStreamSummaryInput{StreamName: aws.String(stream)})
		if err != nil {
			t.Fatal(err)
		}
		if out.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive {
			break
		}
		time.Sleep(time.Millisecond)
	}
	w.serve(change)
	return w
}

func (w *world) serve(change func(*kinesis.Config, *sidecar.Config)) {
	w.t.Helper()
	pub := kinesis.Config{Client: w.client, Stream: stream, Linger: time.Millisecond, BackoffMin: time.Millisecond, BackoffMax: 5 * time.Millisecond}
	cfg := sidecar.Config{Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&pub, &cfg)
	}
	p, err := kinesis.New(w.t.Context(), pub)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = p.Close(ctx)
	})
	cfg.Publisher = p
	if w.handler, err = sidecar.New(cfg); err != nil {
		w.t.Fatal(err)
	}
	w.serveHandler()
}

func (w *world) serveHandler() {
	front := httptest.NewServer(w.handler)
	w.t.Cleanup(front.Close)
	w.url = front.URL + sidecar.Path
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	w.t.Cleanup(transport.CloseIdleConnections)
	w.http = &http.Client{Transport: transport}
}

func newKinesisClient(t testing.TB, url string) *awskinesis.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	return awskinesis.New(awskinesis.Options{
		BaseEndpoint: &url,
		Region:       "eu-west-1",
		HTTPClient:   &http.Client{Transport: transport},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
		}),
	})
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	Type   string
	Detail string
	Events []struct {
		ID, Kept, Position, Error string
		Dropped                   []string
	}
}

// post sends a body with headers given in pairs.
func (w *world) post(body string, headers ...string) answer {
	w.t.Helper()
	return w.do(w.request(strings.NewReader(body), headers...))
}

func (w *world) request(body io.Reader, headers ...string) *http.Request {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.url, body)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func (w *world) do(r *http.Request) answer {
	w.t.Helper()
	res, err := w.http.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	a := answer{status: res.StatusCode, header: res.Header}
	if err := json.NewDecoder(res.Body).Decode(&a); err != nil {
		w.t.Errorf("status %d: the answer is not JSON: %v", res.StatusCode, err)
	}
	want := "application/problem+json"
	if a.status == http.StatusOK {
		want = "application/json"
	}
	if got := a.header.Get("Content-Type"); got != want {
		w.t.Errorf("status %d: Content-Type %q", a.status, got)
	}
	return a
}

// found is an event as it lies on the stream.
type found struct {
	events.Event
	pos events.Position
}

// read returns what is on the stream, in the order of positions.
func (w *world) read() []found {
	w.t.Helper()
	shards, err := w.client.ListShards(w.t.Context(), &awskinesis.ListShardsInput{StreamName: aws.String(stream)})
	if err != nil {
		w.t.Fatal(err)
	}
	var all []found
	for _, s := range shards.Shards {
		all = append(all, w.readShard(*s.ShardId)...)
	}
	slices.SortFunc(all, func(a, b found) int { return strings.Compare(a.pos.String(), b.pos.String()) })
	return all
}

func (w *world) readShard(id string) (all []found) {
	w.t.Helper()
	it, err := w.client.GetShardIterator(w.t.Context(), &awskinesis.GetShardIteratorInput{
		StreamName: aws.String(stream), ShardId: &id, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for next := it.ShardIterator; next != nil; {
		out, err := w.client.GetRecords(w.t.Context(), &awskinesis.GetRecordsInput{ShardIterator: next})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, r := range out.Records {
			all = append(all, w.unpack(r)...)
		}
		next = out.NextShardIterator
		if len(out.Records) == 0 && aws.ToInt64(out.MillisBehindLatest) == 0 {
			break
		}
	}
	return all
}

func (w *world) unpack(r types.Record) (all []found) {
	w.t.Helper()
	subs := []aggregate.Record{{PartitionKey: *r.PartitionKey, Data: r.Data}}
	if aggregate.IsAggregate(r.Data) {
		var err error
		if subs, err = aggregate.Decode(r.Data); err != nil {
			w.t.Fatal(err)
		}
	}
	for i, sub := range subs {
		e, err := events.Decode(sub.Data)
		if err != nil {
			w.t.Errorf("on the stream is %q: %v", sub.Data, err)
			continue
		}
		if e.PartitionKey != sub.PartitionKey {
			w.t.Errorf("event %s has the key %q on the stream, and %q itself", e.ID, sub.PartitionKey, e.PartitionKey)
		}
		all = append(all, found{e, events.Position{Sequence: *r.SequenceNumber, Sub: i}})
	}
	return all
}

// binary are the headers of a good event in the binary mode.
func binary(id string) []string {
	return []string{"ce-specversion", "1.0", "ce-id", id, "ce-source", "/legacy", "ce-type", "user.joined", "ce-partitionkey", "ada",
		"content-type", "application/json"}
}
