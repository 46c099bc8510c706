package dynamostream_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/dynamostream"
	dynamodbserver "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
)

// world is a table with a stream, in the sandbox or in a peer.
type world struct {
	t      *testing.T
	server *dynamodbserver.Server
	ddb    *dynamodb.Client
	table  string
	stream dynamostream.Stream
}

func newWorld(t *testing.T, cfg dynamodbserver.Config) *world {
	t.Helper()
	w := &world{t: t, server: dynamodbserver.New(cfg), table: fmt.Sprint("stream-", time.Now().UnixNano())}
	front := httptest.NewServer(w.server)
	t.Cleanup(front.Close)
	endpoint := cmp.Or(os.Getenv("BANYAN_CONFORMANCE_DYNAMODB"), front.URL) // infra/sandbox/conformance/dynamodb-local.sh
	sdk := aws.Config{Region: "us-east-1", BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		RetryMaxAttempts: 1}
	w.ddb = dynamodb.NewFromConfig(sdk)
	in := dynamo.CompositeTable(w.table)
	in.StreamSpecification = &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages}
	w.must(dynamo.EnsureTable(t.Context(), w.ddb, in))
	out, err := w.ddb.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &w.table})
	w.must(err)
	w.stream = dynamostream.Stream{Client: dynamodbstreams.NewFromConfig(sdk), ARN: aws.ToString(out.Table.LatestStreamArn)}
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) put(n int) {
	w.t.Helper()
	item := dynamo.Key("p", fmt.Sprint(n%3))
	item["n"] = dynamo.Int(int64(n))
	_, err := w.ddb.PutItem(w.t.Context(), &dynamodb.PutItemInput{TableName: &w.table, Item: item})
	w.must(err)
}

// read reads from a position until it has so many records.
func (w *world) read(r *dynamostream.Reader, want int) (all []dynamostream.Record) {
	w.t.Helper()
	for end := time.Now().Add(time.Minute); len(all) < want; {
		if time.Now().After(end) {
			w.t.Fatalf("%d records within a minute, want %d", len(all), want)
		}
		page, _, err := r.Next(w.t.Context())
		w.must(err)
		for _, raw := range page.Records {
			record, err := dynamostream.Decode(raw)
			w.must(err)
			all = append(all, record)
		}
	}
	return all
}

func TestAReaderGoesOnWhereItWas(t *testing.T) {
	w := newWorld(t, dynamodbserver.Config{})
	for n := range 5 {
		w.put(n)
	}
	_, err := w.ddb.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &w.table, Key: dynamo.Key("p", "0")})
	w.must(err)
	shards, err := w.stream.Shards(t.Context())
	w.must(err)
	if len(shards) != 1 || shards[0].Closed {
		t.Fatalf("the shards are %+v", shards)
	}
	first := &dynamostream.Reader{Stream: w.stream, Shard: shards[0].ID, Position: dynamostream.Oldest, Interval: time.Millisecond}
	all := w.read(first, 6)
	for i, r := range all[:5] {
		if n, _ := dynamo.IntOf(r.New, "n"); n != int64(i) || r.Removed || r.Sequence == "" || r.At.IsZero() || (r.Old == nil) != (i < 3) {
			t.Errorf("record %d is %+v", i, r)
		}
	}
	if last := all[5]; !last.Removed || last.Expired || last.New != nil || last.Old == nil || dynamo.StringOf(last.Keys, "sk") != "0" {
		t.Errorf("the delete is %+v", last)
	}
	w.put(9)
	second := &dynamostream.Reader{Stream: w.stream, Shard: shards[0].ID, Position: first.Position, Interval: time.Millisecond}
	if more := w.read(second, 1); len(more) != 1 {
		t.Errorf("another reader got %d records behind the position of the first", len(more))
	}
}

// A closed shard has an end, and its children begin behind it.
func TestShardsThatAreSplit(t *testing.T) {
	w := newWorld(t, dynamodbserver.Config{})
	w.sandboxOnly()
	w.put(0)
	w.must(w.server.SplitShards(w.table, 2))
	for n := range 9 {
		w.put(n + 1)
	}
	shards, err := w.stream.Shards(t.Context())
	w.must(err)
	if len(shards) != 3 || !shards[0].Closed || shards[1].Parent != shards[0].ID || shards[1].Closed {
		t.Fatalf("the shards are %+v", shards)
	}
	found := 0
	for i, shard := range shards {
		r := &dynamostream.Reader{Stream: w.stream, Shard: shard.ID, Position: dynamostream.Oldest, Interval: time.Millisecond}
		page, last, err := r.Next(t.Context())
		w.must(err)
		if found += len(page.Records); last != (i == 0) {
			t.Errorf("shard %d: at its end is %t", i, last)
		}
	}
	if found != 10 {
		t.Errorf("%d records, want 10", found)
	}
}

func (w *world) sandboxOnly() {
	if os.Getenv("BANYAN_CONFORMANCE_DYNAMODB") != "" {
		w.t.Skip("only the sandbox splits shards and trims when it is told to, and can be throttled")
	}
}

func TestTrimmedThrottledAndExpired(t *testing.T) {
	var throttles atomic.Int32
	var ahead atomic.Int64 // of the server's clock; it takes signatures that are 15 minutes old
	ahead.Store(int64(-10 * time.Minute))
	w := newWorld(t, dynamodbserver.Config{StreamRecords: 3, Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
		Fault: func(op, _ string) dynamodbserver.Fault {
			if op == "GetRecords" && throttles.Add(-1) >= 0 {
				return dynamodbserver.FaultThrottle
			}
			return dynamodbserver.FaultNone
		}})
	w.sandboxOnly()
	for n := range 2 {
		w.put(n)
	}
	shards, err := w.stream.Shards(t.Context())
	w.must(err)
	r := &dynamostream.Reader{Stream: w.stream, Shard: shards[0].ID, Position: dynamostream.Oldest, Interval: time.Millisecond}
	throttles.Store(3)
	w.read(r, 2)
	ahead.Store(int64(10 * time.Minute)) // its iterator is too old
	w.put(2)
	if got := w.read(r, 1); len(got) != 1 {
		t.Errorf("%d records behind an iterator that had expired", len(got))
	}
	old := &dynamostream.Reader{Stream: w.stream, Shard: shards[0].ID, Position: r.Position}
	for n := range 9 {
		w.put(n + 3)
	}
	if _, _, err := old.Next(t.Context()); !errors.Is(err, dynamostream.ErrTrimmed) {
		t.Errorf("a trimmed position: %v", err)
	}
	gone := &dynamostream.Reader{Stream: w.stream, Shard: "shardId-00000000000000000000-00000000", Position: dynamostream.Oldest}
	if _, _, err := gone.Next(t.Context()); !errors.Is(err, dynamostream.ErrTrimmed) {
		t.Errorf("a shard that is gone: %v", err)
	}
	if _, err := (dynamostream.Stream{Client: w.stream.Client, ARN: w.stream.ARN + "0"}).Shards(t.Context()); !errors.Is(err, dynamostream.ErrNoStream) {
		t.Errorf("no stream: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("without a context: %v", err)
	}
}

func TestLineage(t *testing.T) {
	all := dynamostream.Shards{{ID: "a", Parent: "gone", Closed: true}, {ID: "b", Parent: "a", Closed: true}, {ID: "c", Parent: "a"}, {ID: "d", Parent: "b"}}
	in := func(ids ...string) func(string) bool {
		return func(id string) bool {
			for _, one := range ids {
				if one == id {
					return true
				}
			}
			return false
		}
	}
	for _, c := range []struct {
		done, want []string
	}{{nil, []string{"a"}}, {[]string{"a"}, []string{"b", "c"}}, {[]string{"a", "b"}, []string{"c", "d"}}} {
		ready := all.Ready(in(c.done...))
		var ids []string
		for _, s := range ready {
			ids = append(ids, s.ID)
		}
		if fmt.Sprint(ids) != fmt.Sprint(c.want) {
			t.Errorf("with %v done %v are ready, want %v", c.done, ids, c.want)
		}
	}
	for _, c := range []struct {
		passed, done []string
		want         bool
	}{
		{nil, nil, false},
		{[]string{"a"}, nil, true},
		{[]string{"c", "d"}, []string{"a", "b"}, true},
		{[]string{"c", "d"}, []string{"a"}, false}, // b still has something
		{[]string{"c"}, []string{"a", "b"}, false},
		{[]string{"c"}, []string{"a", "b", "d"}, false}, // the children of d are not known yet
		{[]string{"b", "c"}, []string{"a"}, true},
	} {
		if got := all.Passed(in(c.passed...), in(c.done...)); got != c.want {
			t.Errorf("passed %v, done %v: %t", c.passed, c.done, got)
		}
	}
	if (dynamostream.Shards{}).Passed(in(), in()) {
		t.Error("a stream without shards has passed a barrier")
	}
}
