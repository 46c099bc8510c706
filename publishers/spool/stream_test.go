package spool_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/publishers/publisherstest"
	"github.com/banyan-fig/banyan/publishers/streamtest"
)

// world is a stream in the sandbox, over the wire.
type world struct {
	t      *testing.T
	client *awskinesis.Client
	url    string
	front  *httptest.Server
	faults *fault.Injector
	away   atomic.Bool // it cannot be reached
}

const (
	calm  = ""
	rough = `delay 2ms
kinesis.PutRecords throttle=0.08 partial=0.15 timeout-before=0.05 timeout-after=0.05 internal=0.05 duplicate=0.05 denied=0.05`
)

func newWorld(t *testing.T, plan string) *world {
	t.Helper()
	parsed, err := fault.Parse(plan)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t}
	if w.faults, err = fault.New(parsed, seeded(t).Uint64()); err != nil {
		t.Fatal(err)
	}
	server, err := sandbox.New(sandbox.Config{Unlimited: true, Transition: time.Millisecond, Fault: func(operation, resource string) fault.Fault {
		return w.faults.Draw("kinesis", operation, resource)
	}})
	if err != nil {
		t.Fatal(err)
	}
	w.front = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		if w.away.Load() && strings.HasSuffix(in.Header.Get("X-Amz-Target"), ".PutRecords") {
			panic(http.ErrAbortHandler) // the connection breaks
		}
		server.ServeHTTP(out, in)
	}))
	t.Cleanup(w.front.Close)
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	w.url, w.client = w.front.URL, streamtest.NewClient(w.front.URL, transport)
	if err := streamtest.Create(t.Context(), w.client, stream, 2); err != nil {
		t.Fatal(err)
	}
	return w
}

// read returns everything on the stream in the order of positions.
func (w *world) read() (records []publisherstest.Record) {
	w.t.Helper()
	all, err := streamtest.Records(context.Background(), w.client, stream)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range all {
		records = append(records, publisherstest.Record{PartitionKey: r.PartitionKey, Data: r.Data})
	}
	return records
}
