package sidecar_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/events"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/sidecar"
	"github.com/banyan-fig/banyan/publishers/streamtest"
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
	if err := streamtest.Create(t.Context(), w.client, stream, 2); err != nil {
		t.Fatal(err)
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
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
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
	return streamtest.NewClient(url, transport)
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
	records, err := streamtest.Records(w.t.Context(), w.client, stream)
	if err != nil {
		w.t.Fatal(err)
	}
	var all []found
	for _, r := range records {
		e, err := events.Decode(r.Data)
		if err != nil || e.PartitionKey != r.PartitionKey {
			w.t.Errorf("on the stream under %q is %q: %v", r.PartitionKey, r.Data, err)
		}
		all = append(all, found{e, r.Position})
	}
	return all
}

// binary are the headers of a good event in the binary mode.
func binary(id string) []string {
	return []string{"ce-specversion", "1.0", "ce-id", id, "ce-source", "/legacy", "ce-type", "user.joined", "ce-partitionkey", "ada",
		"content-type", "application/json"}
}
