package kinesis_test

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/aggregate"
	sandbox "github.com/banyan-fig/banyan/infra/local/kinesis"
	"github.com/banyan-fig/banyan/publishers"
	"github.com/banyan-fig/banyan/publishers/kinesis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const stream = "facts"

// world is a stream in the sandbox, reached over the wire by the SDK's client.
type world struct {
	t      *testing.T
	client *awskinesis.Client
	url    string
}

func newWorld(t *testing.T, shards int32, cfg sandbox.Config) *world {
	t.Helper()
	cfg.Transition = time.Millisecond
	server, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w := serve(t, server)
	if _, err := w.client.CreateStream(t.Context(), &awskinesis.CreateStreamInput{StreamName: aws.String(stream), ShardCount: &shards}); err != nil {
		t.Fatal(err)
	}
	w.awaitActive()
	return w
}

func serve(t *testing.T, h http.Handler) *world {
	t.Helper()
	front := httptest.NewServer(h)
	t.Cleanup(front.Close)
	return &world{t, newClient(t, front.URL), front.URL}
}

func newClient(t testing.TB, url string) *awskinesis.Client {
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

func (w *world) awaitActive() {
	w.t.Helper()
	for range 1000 {
		out, err := w.client.DescribeStreamSummary(context.Background(), &awskinesis.DescribeStreamSummaryInput{StreamName: aws.String(stream)})
		if err != nil {
			w.t.Error(err)
			return
		}
		if out.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive {
			return
		}
		time.Sleep(time.Millisecond)
	}
	w.t.Error("the stream does not become ACTIVE")
}

func (w *world) publisher(cfg kinesis.Config) *kinesis.Publisher {
	w.t.Helper()
	if cfg.Client == nil {
		cfg.Client = w.client
	}
	cfg.Stream = stream
	cfg.Linger = orElse(cfg.Linger, time.Millisecond)
	cfg.BackoffMin = orElse(cfg.BackoffMin, time.Millisecond)
	cfg.BackoffMax = orElse(cfg.BackoffMax, 5*time.Millisecond)
	p, err := kinesis.New(w.t.Context(), cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = p.Close(canceled()) })
	return p
}

func orElse[T comparable](v, other T) T {
	if v == *new(T) {
		return other
	}
	return v
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// shard is a shard as the service lists it.
type shard struct {
	id          string
	first, last *big.Int
	open        bool
}

func (s shard) contains(key string) bool {
	sum := md5.Sum([]byte(key))
	h := new(big.Int).SetBytes(sum[:])
	return s.first.Cmp(h) <= 0 && h.Cmp(s.last) <= 0
}

func (w *world) shards() []shard {
	w.t.Helper()
	out, err := w.client.ListShards(context.Background(), &awskinesis.ListShardsInput{StreamName: aws.String(stream)})
	if err != nil {
		w.t.Fatal(err)
	}
	var all []shard
	for _, s := range out.Shards {
		first, _ := new(big.Int).SetString(*s.HashKeyRange.StartingHashKey, 10)
		last, _ := new(big.Int).SetString(*s.HashKeyRange.EndingHashKey, 10)
		all = append(all, shard{*s.ShardId, first, last, s.SequenceNumberRange.EndingSequenceNumber == nil})
	}
	return all
}

// open are the open shards in the order of their hash keys.
func (w *world) open() []shard {
	open := slices.DeleteFunc(w.shards(), func(s shard) bool { return !s.open })
	slices.SortFunc(open, func(a, b shard) int { return a.first.Cmp(b.first) })
	return open
}

func (w *world) split(s shard) {
	middle := new(big.Int).Add(s.first, s.last)
	middle.Rsh(middle, 1)
	_, err := w.client.SplitShard(context.Background(), &awskinesis.SplitShardInput{
		StreamName: aws.String(stream), ShardToSplit: &s.id, NewStartingHashKey: aws.String(middle.String()),
	})
	if err != nil {
		w.t.Error(err)
	}
	w.awaitActive()
}

func (w *world) merge(a, b shard) {
	_, err := w.client.MergeShards(context.Background(), &awskinesis.MergeShardsInput{
		StreamName: aws.String(stream), ShardToMerge: &a.id, AdjacentShardToMerge: &b.id,
	})
	if err != nil {
		w.t.Error(err)
	}
	w.awaitActive()
}

// found is one event as it lies on the stream.
type found struct {
	shard shard
	pos   events.Position
	key   string
	data  string
}

// inPlace tells whether it is in a shard that its key belongs to.
func (f found) inPlace() bool { return f.shard.contains(f.key) }

// read returns everything on the stream in the order of positions.
func (w *world) read() []found {
	w.t.Helper()
	var all []found
	for _, s := range w.shards() {
		all = append(all, w.readShard(s)...)
	}
	slices.SortFunc(all, func(a, b found) int { return strings.Compare(a.pos.String(), b.pos.String()) })
	return all
}

func (w *world) readShard(s shard) (all []found) {
	w.t.Helper()
	ctx := context.Background()
	it, err := w.client.GetShardIterator(ctx, &awskinesis.GetShardIteratorInput{
		StreamName: aws.String(stream), ShardId: &s.id, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
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
			all = append(all, w.unpack(s, r)...)
		}
		if next = out.NextShardIterator; len(out.Records) == 0 && aws.ToInt64(out.MillisBehindLatest) == 0 {
			break
		}
	}
	return all
}

func (w *world) unpack(s shard, r types.Record) (all []found) {
	w.t.Helper()
	subs, err := aggregate.Decode(r.Data)
	if err != nil {
		w.t.Fatal(err)
	}
	if !aggregate.IsAggregate(r.Data) {
		subs[0].PartitionKey = *r.PartitionKey
	}
	for i, sub := range subs {
		key := sub.PartitionKey
		all = append(all, found{s, events.Position{Sequence: *r.SequenceNumber, Sub: i}, key, string(sub.Data)})
	}
	return all
}

// sent is an event that a test published, numbered from 0 within its key.
type sent struct {
	key    string
	number int
	result publishers.Receipt
}

func body(key string, number int) string { return fmt.Sprintf("%s#%d#", key, number) }

func number(f found) (n int, err error) {
	fields := strings.SplitN(f.data, "#", 3)
	if len(fields) != 3 || fields[0] != f.key {
		return 0, fmt.Errorf("%q of key %q was never published", f.data, f.key)
	}
	_, err = fmt.Sscan(fields[1], &n)
	return n, err
}

// checkOrder fails where the events of one key, in stream order, are not the
// numbers 0 to n-1: a number may come again, but then every one after it comes
// again too, so that no event ends up behind its successor for good.
func checkOrder(key string, numbers []int, n int) error {
	next := 0 // the greatest number that may come now
	for i, m := range numbers {
		if m > next {
			return fmt.Errorf("key %s: event %d came before event %d: ... %v", key, m, next, numbers[max(0, i-10):i+1])
		}
		next = m + 1
	}
	if next != n {
		return fmt.Errorf("key %s: the stream ends with event %d of %d", key, next-1, n)
	}
	return nil
}

// check holds the stream against what was published: per key, in the order of
// positions and in the shards that the key belongs to.
func (w *world) check(published []sent) (duplicates int) {
	w.t.Helper()
	counts := make(map[string]int)
	for _, s := range published {
		counts[s.key] = max(counts[s.key], s.number+1)
	}
	all := w.read()
	everywhere, inPlace := make(map[string][]int), make(map[string][]int)
	where := make(map[events.Position]string)
	for _, f := range all {
		n, err := number(f)
		if err != nil || n >= counts[f.key] {
			w.t.Fatalf("invented: %q: %v", f.data, err)
		}
		everywhere[f.key] = append(everywhere[f.key], n)
		if f.inPlace() {
			inPlace[f.key] = append(inPlace[f.key], n)
			where[f.pos] = body(f.key, n)
		}
	}
	for key, n := range counts {
		if err := errors.Join(checkOrder(key, everywhere[key], n), checkOrder(key, inPlace[key], n)); err != nil {
			w.t.Fatal(err)
		}
	}
	w.checkPositions(published, where)
	return len(all) - len(published)
}

func (w *world) checkPositions(published []sent, where map[events.Position]string) {
	w.t.Helper()
	last := make(map[string]events.Position)
	for _, s := range published {
		if s.result == nil {
			continue
		}
		pos, err := s.result.Wait(canceled())
		if err != nil {
			w.t.Fatalf("%s: %v", body(s.key, s.number), err)
		}
		if where[pos] != body(s.key, s.number) {
			w.t.Fatalf("%s was reported at %v, where %q is", body(s.key, s.number), pos, where[pos])
		}
		if !last[s.key].Before(pos) {
			w.t.Fatalf("%s at %v is not behind its predecessor at %v", body(s.key, s.number), pos, last[s.key])
		}
		last[s.key] = pos
	}
}

// enqueue publishes the next event of a key.
func (w *world) enqueue(p *kinesis.Publisher, key string, number int) sent {
	w.t.Helper()
	r, err := p.EnqueueEncoded(context.Background(), key, []byte(body(key, number)))
	if err != nil {
		w.t.Fatal(err)
	}
	return sent{key, number, r}
}

func flush(t *testing.T, p *kinesis.Publisher) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := p.Flush(ctx); err != nil {
		t.Fatalf("%v\n%+v", err, p.Stats())
	}
}

// meddler stands between publisher and client and decides what goes over the
// wire and what is answered.
type meddler struct {
	kinesis.API
	mu  sync.Mutex
	put func(in *awskinesis.PutRecordsInput, send func(*awskinesis.PutRecordsInput) (*awskinesis.PutRecordsOutput, error)) (*awskinesis.PutRecordsOutput, error)
}

func (m *meddler) PutRecords(ctx context.Context, in *awskinesis.PutRecordsInput, options ...func(*awskinesis.Options)) (*awskinesis.PutRecordsOutput, error) {
	m.mu.Lock()
	put := m.put
	m.mu.Unlock()
	return put(in, func(in *awskinesis.PutRecordsInput) (*awskinesis.PutRecordsOutput, error) {
		return m.API.PutRecords(ctx, in, options...)
	})
}

// sendExcept sends a request without the records for which refuse is true, and
// answers an internal failure for those.
func sendExcept(in *awskinesis.PutRecordsInput, refuse func(i int) bool, send func(*awskinesis.PutRecordsInput) (*awskinesis.PutRecordsOutput, error)) (*awskinesis.PutRecordsOutput, error) {
	out := &awskinesis.PutRecordsOutput{Records: make([]types.PutRecordsResultEntry, len(in.Records))}
	var left []types.PutRecordsRequestEntry
	var index []int
	for i, r := range in.Records {
		if refuse(i) {
			out.Records[i] = types.PutRecordsResultEntry{ErrorCode: aws.String("InternalFailure"), ErrorMessage: aws.String("by the test")}
		} else {
			left, index = append(left, r), append(index, i)
		}
	}
	if len(left) == 0 {
		return out, nil
	}
	answer, err := send(&awskinesis.PutRecordsInput{StreamName: in.StreamName, Records: left})
	if err != nil {
		return nil, err
	}
	for i, r := range answer.Records {
		out.Records[index[i]] = r
	}
	return out, nil
}
