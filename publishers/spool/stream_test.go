package spool_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/aggregate"
	"github.com/banyan-fig/banyan/infra/local/fault"
	sandbox "github.com/banyan-fig/banyan/infra/local/kinesis"
	"github.com/banyan-fig/banyan/publishers/publisherstest"
)

// world is a stream in the sandbox, over the wire.
type world struct {
	t      *testing.T
	client *awskinesis.Client
	url    string
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
	front := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		if w.away.Load() && strings.HasSuffix(in.Header.Get("X-Amz-Target"), ".PutRecords") {
			panic(http.ErrAbortHandler) // the connection breaks
		}
		server.ServeHTTP(out, in)
	}))
	t.Cleanup(front.Close)
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	w.url, w.client = front.URL, newClient(front.URL, transport)
	if _, err := w.client.CreateStream(t.Context(), &awskinesis.CreateStreamInput{StreamName: aws.String(stream), ShardCount: aws.Int32(2)}); err != nil {
		t.Fatal(err)
	}
	w.awaitActive()
	return w
}

func (w *world) awaitActive() {
	w.t.Helper()
	for range 1000 {
		out, err := w.client.DescribeStreamSummary(context.Background(), &awskinesis.DescribeStreamSummaryInput{StreamName: aws.String(stream)})
		if err == nil && out.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive {
			return
		}
		time.Sleep(time.Millisecond)
	}
	w.t.Fatal("the stream does not become ACTIVE")
}

type found struct {
	pos events.Position
	publisherstest.Record
}

// read returns everything on the stream in the order of positions.
func (w *world) read() (records []publisherstest.Record) {
	w.t.Helper()
	out, err := w.client.ListShards(context.Background(), &awskinesis.ListShardsInput{StreamName: aws.String(stream)})
	if err != nil {
		w.t.Fatal(err)
	}
	var all []found
	for _, s := range out.Shards {
		all = append(all, w.readShard(*s.ShardId)...)
	}
	slices.SortFunc(all, func(a, b found) int { return strings.Compare(a.pos.String(), b.pos.String()) })
	for _, f := range all {
		records = append(records, f.Record)
	}
	return records
}

func (w *world) readShard(id string) (all []found) {
	w.t.Helper()
	ctx := context.Background()
	it, err := w.client.GetShardIterator(ctx, &awskinesis.GetShardIteratorInput{
		StreamName: aws.String(stream), ShardId: &id, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for next := it.ShardIterator; next != nil; {
		out, err := w.client.GetRecords(ctx, &awskinesis.GetRecordsInput{ShardIterator: next})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, r := range out.Records {
			all = append(all, w.unpack(r)...)
		}
		if next = out.NextShardIterator; len(out.Records) == 0 && aws.ToInt64(out.MillisBehindLatest) == 0 {
			break
		}
	}
	return all
}

func (w *world) unpack(r types.Record) (all []found) {
	w.t.Helper()
	subs, err := aggregate.Decode(r.Data)
	if err != nil {
		w.t.Fatal(err)
	}
	if !aggregate.IsAggregate(r.Data) {
		subs[0].PartitionKey = *r.PartitionKey
	}
	for i, sub := range subs {
		all = append(all, found{events.Position{Sequence: *r.SequenceNumber, Sub: i}, publisherstest.Record{PartitionKey: sub.PartitionKey, Data: sub.Data}})
	}
	return all
}
