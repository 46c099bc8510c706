package kinesis_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
)

// clock is a time that moves only when told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a server on a clock with one stream.
type world struct {
	*clock
	server *sandbox.Server
	client *kinesis.Client
	stream string
}

func newWorld(t *testing.T, cfg sandbox.Config, shards int32) *world {
	t.Helper()
	w := &world{clock: newClock(), stream: "s"}
	cfg.Now = w.Now
	w.server, w.client = serve(t, cfg, func(o *kinesis.Options) { o.RetryMaxAttempts = 1 })
	_, err := w.client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: &w.stream, ShardCount: &shards})
	must(t, err)
	w.advance(time.Second)
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put puts n records of a size (key included) and returns which were kept.
func (w *world) put(t *testing.T, n, size int) (kept []bool) {
	t.Helper()
	entry := types.PutRecordsRequestEntry{PartitionKey: aws.String("k"), Data: []byte(strings.Repeat("x", size-1))}
	var entries []types.PutRecordsRequestEntry
	for range n {
		entries = append(entries, entry)
	}
	out, err := w.client.PutRecords(t.Context(), &kinesis.PutRecordsInput{StreamName: &w.stream, Records: entries})
	must(t, err)
	failed := 0
	for _, r := range out.Records {
		kept = append(kept, r.ErrorCode == nil)
		switch {
		case r.ErrorCode == nil:
		case *r.ErrorCode == "ProvisionedThroughputExceededException" && r.SequenceNumber == nil && strings.Contains(*r.ErrorMessage, "shardId-000000000000"):
			failed++
		default:
			t.Fatalf("result %+v", r)
		}
	}
	if int(*out.FailedRecordCount) != failed {
		t.Fatalf("FailedRecordCount %d, but %d have an error", *out.FailedRecordCount, failed)
	}
	return kept
}

func count(kept []bool) (n int) {
	for _, k := range kept {
		if k {
			n++
		}
	}
	return n
}

func want(t *testing.T, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %d, want %d", what, got, want)
	}
}

// TestShardTakes1000RecordsASecond: the limit is per shard and per second.
func TestShardTakes1000RecordsASecond(t *testing.T) {
	w := newWorld(t, sandbox.Config{}, 1)
	want(t, "the first 500", count(w.put(t, 500, 10)), 500)
	want(t, "the next 400", count(w.put(t, 400, 10)), 400)
	want(t, "of 200 more", count(w.put(t, 200, 10)), 100)
	w.advance(999 * time.Millisecond)
	want(t, "within the same second", count(w.put(t, 10, 10)), 0)
	w.advance(time.Millisecond)
	want(t, "in the next second", count(w.put(t, 10, 10)), 10)
	if s := w.server.Stats(); s.Throttled != 110 || s.Records != 1010 {
		t.Errorf("stats %+v", s)
	}
}

// TestShardTakes1MiBASecond: a small record may pass where a large one did not,
// which is how order gets lost.
func TestShardTakes1MiBASecond(t *testing.T) {
	w := newWorld(t, sandbox.Config{}, 1)
	want(t, "three quarters", count(w.put(t, 3, 256<<10)), 3)
	want(t, "a record too many", count(w.put(t, 1, 257<<10)), 0)
	want(t, "a smaller one after it", count(w.put(t, 1, 256<<10)), 1)
	want(t, "nothing more", count(w.put(t, 1, 2)), 0)
	w.advance(time.Second)
	want(t, "in the next second", count(w.put(t, 5, 256<<10)), 4)
	_, err := w.client.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: &w.stream, PartitionKey: aws.String("k"), Data: []byte("x")})
	if _, ok := errors.AsType[*types.ProvisionedThroughputExceededException](err); !ok {
		t.Errorf("PutRecord on a full shard: %v", err)
	}
}

func TestUnlimited(t *testing.T) {
	w := newWorld(t, sandbox.Config{Unlimited: true}, 1)
	for range 3 {
		want(t, "500 more", count(w.put(t, 500, 1000)), 500)
	}
}

func (w *world) iterator(t *testing.T, shard string) *string {
	t.Helper()
	out, err := w.client.GetShardIterator(t.Context(),
		&kinesis.GetShardIteratorInput{StreamName: &w.stream, ShardId: &shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	must(t, err)
	return out.ShardIterator
}

func (w *world) get(t *testing.T, iterator *string) *kinesis.GetRecordsOutput {
	t.Helper()
	out, err := w.client.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: iterator})
	must(t, err)
	return out
}

const firstShard = "shardId-000000000000"

// putRaw puts n records of a size past the client, whose share of the work on
// many bytes would be the larger one.
func (w *world) putRaw(t *testing.T, n, size int) {
	t.Helper()
	record := `{"PartitionKey":"k","Data":"` + base64.StdEncoding.EncodeToString(make([]byte, size-1)) + `"}`
	body := `{"StreamName":"s","Records":[` + strings.Repeat(record+",", n-1) + record + `]}`
	if got := raw(w.server, "PutRecords", body); !strings.Contains(got, `"FailedRecordCount":0`) {
		t.Fatal(got)
	}
}

// getRaw returns how many records an answer holds, its lag and what is next.
func (w *world) getRaw(t *testing.T, iterator string) (records, behind int, next string) {
	t.Helper()
	answer := raw(w.server, "GetRecords", `{"ShardIterator":"`+iterator+`"}`)
	var tail struct {
		MillisBehindLatest int
		NextShardIterator  string
	}
	at := strings.LastIndex(answer, `"MillisBehindLatest"`)
	must(t, json.Unmarshal([]byte("{"+answer[at:]), &tail))
	return strings.Count(answer, `"SequenceNumber"`), tail.MillisBehindLatest, tail.NextShardIterator
}

func raw(server http.Handler, operation, body string) string {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", sandbox.Target+"."+operation)
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	return w.Body.String()
}

// TestManyBytes: an answer holds at most 10 MiB, and a stream no more than its
// bound; beyond it the oldest records go, and are counted. One test, for the
// bytes take their time.
func TestManyBytes(t *testing.T) {
	w := newWorld(t, sandbox.Config{Unlimited: true, MaxStreamBytes: 11 << 20}, 1)
	w.putRaw(t, 6, 1<<20)
	w.putRaw(t, 6, 1<<20)
	if s := w.server.Stats(); s.Bytes != 11<<20 || s.Records != 11 || s.TrimmedEarly != 1 {
		t.Errorf("stats %+v", s)
	}
	n, _, next := w.getRaw(t, *w.iterator(t, firstShard))
	want(t, "records of 1 MiB in one answer", n, 10)
	w.advance(7 * time.Second)
	n, behind, _ := w.getRaw(t, next)
	want(t, "the rest", n, 1)
	want(t, "milliseconds behind at the tip", behind, 0)
}

func TestAnswerHoldsAtMost10000Records(t *testing.T) {
	w := newWorld(t, sandbox.Config{Unlimited: true}, 1)
	for range 21 {
		w.putRaw(t, 500, 10)
	}
	w.advance(3 * time.Second)
	n, behind, _ := w.getRaw(t, *w.iterator(t, firstShard))
	want(t, "small records in one answer", n, 10_000)
	want(t, "milliseconds behind with 500 left", behind, 3000)
}

func TestIteratorsExpire(t *testing.T) {
	w := newWorld(t, sandbox.Config{}, 1)
	it := w.iterator(t, firstShard)
	w.advance(5 * time.Minute)
	next := w.get(t, it).NextShardIterator
	w.advance(5*time.Minute + time.Millisecond)
	_, err := w.client.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: next})
	if _, ok := errors.AsType[*types.ExpiredIteratorException](err); !ok {
		t.Errorf("after five minutes: %v", err)
	}
}

func TestIteratorIsNotForANamesake(t *testing.T) {
	w := newWorld(t, sandbox.Config{}, 1)
	it := w.iterator(t, firstShard)
	_, err := w.client.DeleteStream(t.Context(), &kinesis.DeleteStreamInput{StreamName: &w.stream})
	must(t, err)
	w.advance(time.Second)
	_, err = w.client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: &w.stream, ShardCount: aws.Int32(1)})
	must(t, err)
	w.advance(time.Second)
	_, err = w.client.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: it})
	if _, ok := errors.AsType[*types.ResourceNotFoundException](err); !ok {
		t.Errorf("an iterator of the deleted stream: %v", err)
	}
}

func TestRecordsExpireWithTheirRetention(t *testing.T) {
	w := newWorld(t, sandbox.Config{}, 1)
	w.put(t, 3, 100)
	w.advance(12 * time.Hour)
	w.put(t, 2, 100)
	w.advance(12*time.Hour - time.Second)
	want(t, "a second before", len(w.get(t, w.iterator(t, firstShard)).Records), 5)
	w.advance(2 * time.Second)
	want(t, "a second after", len(w.get(t, w.iterator(t, firstShard)).Records), 2)
	w.advance(12 * time.Hour)
	if s := w.server.Stats(); s.Records != 0 || s.Bytes != 0 || s.TrimmedEarly != 0 {
		t.Errorf("stats %+v", s)
	}
}

// TestClosedShardsExpire: a closed shard is listed as long as its records may
// be read, and its children then have no parent to wait for.
func TestClosedShardsExpire(t *testing.T) {
	w := newWorld(t, sandbox.Config{}, 1)
	_, err := w.client.SplitShard(t.Context(), &kinesis.SplitShardInput{StreamName: &w.stream, ShardToSplit: aws.String(firstShard),
		NewStartingHashKey: aws.String("12345")})
	must(t, err)
	shards := func() int {
		out, err := w.client.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: &w.stream})
		must(t, err)
		return len(out.Shards)
	}
	want(t, "while UPDATING", shards(), 1)
	w.advance(time.Second)
	want(t, "after the split", shards(), 3)
	w.advance(23 * time.Hour)
	want(t, "within retention", shards(), 3)
	w.advance(time.Hour)
	want(t, "after it", shards(), 2)
	_, err = w.client.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{StreamName: &w.stream, ShardId: aws.String(firstShard),
		ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	if _, ok := errors.AsType[*types.ResourceNotFoundException](err); !ok {
		t.Errorf("the expired shard: %v", err)
	}
}

func TestScalingsADay(t *testing.T) {
	w := newWorld(t, sandbox.Config{}, 1)
	scale := func(n int32) error {
		_, err := w.client.UpdateShardCount(t.Context(),
			&kinesis.UpdateShardCountInput{StreamName: &w.stream, TargetShardCount: &n, ScalingType: types.ScalingTypeUniformScaling})
		w.advance(time.Second)
		return err
	}
	for range 5 {
		must(t, scale(2))
		must(t, scale(1))
	}
	if _, ok := errors.AsType[*types.LimitExceededException](scale(2)); !ok {
		t.Error("an eleventh scaling in a day is let through")
	}
	w.advance(24 * time.Hour)
	must(t, scale(2))
}

func TestShardLimit(t *testing.T) {
	w := newWorld(t, sandbox.Config{}, 2)
	_, err := w.client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("another"), ShardCount: aws.Int32(999)})
	if _, ok := errors.AsType[*types.LimitExceededException](err); !ok {
		t.Errorf("a 1,001st shard: %v", err)
	}
}

func TestNextTokensExpire(t *testing.T) {
	w := newWorld(t, sandbox.Config{}, 3)
	out, err := w.client.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: &w.stream, MaxResults: aws.Int32(1)})
	must(t, err)
	w.advance(301 * time.Second)
	_, err = w.client.ListShards(t.Context(), &kinesis.ListShardsInput{NextToken: out.NextToken})
	if _, ok := errors.AsType[*types.ExpiredNextTokenException](err); !ok {
		t.Errorf("after five minutes: %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, cfg := range []sandbox.Config{{Transition: -1}, {MaxStreamBytes: 1}, {MaxStreamBytes: -1}} {
		if _, err := sandbox.New(cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}
