package kinesis_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/events"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/publishers"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/publisherstest"
	"github.com/banyan-fig/banyan/publishers/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const stream = "facts"

// patience is how long a test may take before it fails: none may hang.
const patience = 5 * time.Minute

// world is a stream in the sandbox, reached over the wire by the SDK's client.
type world struct {
	t      *testing.T
	ctx    context.Context // ends when the test has taken too long
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
	if err := streamtest.Create(w.ctx, w.client, stream, shards); err != nil {
		t.Fatal(err)
	}
	return w
}

func serve(t *testing.T, h http.Handler) *world {
	t.Helper()
	front := httptest.NewServer(h)
	t.Cleanup(front.Close)
	return &world{t, within(t, patience), newClient(t, front.URL), front.URL}
}

// within is a context that ends after d, and not before the test's own clean-up.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func newClient(t testing.TB, url string) *awskinesis.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	return streamtest.NewClient(url, transport)
}

func (w *world) awaitActive() {
	w.t.Helper()
	if err := streamtest.AwaitActive(w.ctx, w.client, stream); err != nil {
		w.t.Error(err)
	}
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
	p, err := kinesis.New(w.ctx, cfg)
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
	first, last [md5.Size]byte
	open        bool
}

func (s *shard) contains(key string) bool {
	h := md5.Sum([]byte(key))
	return bytes.Compare(s.first[:], h[:]) <= 0 && bytes.Compare(h[:], s.last[:]) <= 0
}

func (w *world) shards() (all []*shard) {
	w.t.Helper()
	input := &awskinesis.ListShardsInput{StreamName: aws.String(stream)}
	for { // a thousand a page, which a long simulation exceeds
		out, err := w.client.ListShards(w.ctx, input)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, s := range out.Shards {
			all = append(all, readShard(s))
		}
		if out.NextToken == nil {
			return all
		}
		input = &awskinesis.ListShardsInput{NextToken: out.NextToken}
	}
}

func readShard(s types.Shard) *shard {
	sh := &shard{id: *s.ShardId, open: s.SequenceNumberRange.EndingSequenceNumber == nil}
	for to, from := range map[*[md5.Size]byte]*string{&sh.first: s.HashKeyRange.StartingHashKey, &sh.last: s.HashKeyRange.EndingHashKey} {
		n, _ := new(big.Int).SetString(*from, 10)
		n.FillBytes(to[:])
	}
	return sh
}

// open are the open shards in the order of their hash keys.
func (w *world) open() []*shard {
	open := slices.DeleteFunc(w.shards(), func(s *shard) bool { return !s.open })
	slices.SortFunc(open, func(a, b *shard) int { return bytes.Compare(a.first[:], b.first[:]) })
	return open
}

func (w *world) split(s *shard) {
	middle := new(big.Int).Add(new(big.Int).SetBytes(s.first[:]), new(big.Int).SetBytes(s.last[:]))
	middle.Rsh(middle, 1)
	_, err := w.client.SplitShard(w.ctx, &awskinesis.SplitShardInput{
		StreamName: aws.String(stream), ShardToSplit: &s.id, NewStartingHashKey: aws.String(middle.String()),
	})
	if err != nil {
		w.t.Error(err)
	}
	w.awaitActive()
}

func (w *world) merge(a, b *shard) {
	_, err := w.client.MergeShards(w.ctx, &awskinesis.MergeShardsInput{
		StreamName: aws.String(stream), ShardToMerge: &a.id, AdjacentShardToMerge: &b.id,
	})
	if err != nil {
		w.t.Error(err)
	}
	w.awaitActive()
}

// found is one event as it lies on the stream.
type found struct {
	shard *shard
	pos   events.Position
	key   string
	data  string
}

// inPlace tells whether it is in a shard that its key belongs to.
func (f found) inPlace() bool { return f.shard.contains(f.key) }

func (f found) record() publisherstest.Record {
	return publisherstest.Record{PartitionKey: f.key, Data: []byte(f.data)}
}

// read returns everything on the stream in the order of positions.
func (w *world) read() (all []found) {
	w.t.Helper()
	records, err := streamtest.Records(w.ctx, w.client, stream)
	if err != nil {
		w.t.Fatal(err)
	}
	shards := make(map[string]*shard)
	for _, s := range w.shards() {
		shards[s.id] = s
	}
	for _, r := range records {
		all = append(all, found{shards[r.Shard], r.Position, r.PartitionKey, string(r.Data)})
	}
	return all
}

// sent is an event that a test published, numbered from 0 within its key.
type sent struct {
	key    string
	number int
	result publishers.Receipt
}

// check holds the stream against what was published: per key, in the order of
// positions, in all shards and in those that the key belongs to.
func (w *world) check(published []sent) (duplicates int) {
	w.t.Helper()
	var ledger publisherstest.Ledger
	for _, s := range published {
		ledger.Next(s.key)
	}
	all := w.read()
	var everywhere, inPlace []publisherstest.Record
	where := make(map[string]int) // in all, by sequence number
	for i, f := range all {
		if f.pos.Sub == 0 {
			where[f.pos.Sequence] = i
		}
		everywhere = append(everywhere, f.record())
		if f.inPlace() {
			inPlace = append(inPlace, f.record())
		}
	}
	duplicates, err := ledger.Check(everywhere)
	_, errInPlace := ledger.Check(inPlace)
	if err := errors.Join(err, errInPlace); err != nil {
		w.t.Fatal(err)
	}
	w.checkPositions(published, func(pos events.Position) found {
		if i, ok := where[pos.Sequence]; ok && i+pos.Sub < len(all) && all[i+pos.Sub].pos == pos {
			return all[i+pos.Sub]
		}
		return found{shard: new(shard)}
	})
	return duplicates
}

func (w *world) checkPositions(published []sent, at func(events.Position) found) {
	w.t.Helper()
	last := make(map[string]events.Position)
	known := canceled()
	for _, s := range published {
		if s.result == nil {
			continue
		}
		pos, err := s.result.Wait(known)
		if err != nil {
			w.t.Fatalf("%s, event %d: %v", s.key, s.number, err)
		}
		if f := at(pos); !f.inPlace() || f.data != string(publisherstest.Body(s.key, s.number)) {
			w.t.Fatalf("%s, event %d was reported at %v, where %q is", s.key, s.number, pos, f.data)
		}
		if !last[s.key].Before(pos) {
			w.t.Fatalf("%s, event %d at %v is not behind its predecessor at %v", s.key, s.number, pos, last[s.key])
		}
		last[s.key] = pos
	}
}

// enqueue publishes the next event of a key.
func (w *world) enqueue(p *kinesis.Publisher, key string, number int) sent {
	w.t.Helper()
	r, err := p.EnqueueEncoded(w.ctx, key, publisherstest.Body(key, number))
	if err != nil {
		w.t.Fatal(err)
	}
	return sent{key, number, r}
}

func flush(t *testing.T, p *kinesis.Publisher) {
	t.Helper()
	if err := p.Flush(within(t, patience)); err != nil {
		t.Fatalf("%v\n%+v", err, p.Stats())
	}
}

// meddler stands between publisher and client and decides what goes over the
// wire and what is answered.
type putFunc = func(*awskinesis.PutRecordsInput) (*awskinesis.PutRecordsOutput, error)

type meddler struct {
	kinesis.API
	mu  sync.Mutex
	put func(in *awskinesis.PutRecordsInput, send putFunc) (*awskinesis.PutRecordsOutput, error)
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
func sendExcept(in *awskinesis.PutRecordsInput, refuse func(i int) bool, send putFunc) (*awskinesis.PutRecordsOutput, error) {
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

// join waits for all, and no longer than the test may take.
func (w *world) join(all *sync.WaitGroup) {
	w.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		all.Wait()
	}()
	select {
	case <-done:
	case <-w.ctx.Done():
		select {
		case <-done: // they failed by themselves
		case <-time.After(time.Minute):
			w.t.Fatal("some calls do not return, though their context has ended")
		}
	}
}

// held is a client that sends nothing of what it holds before it is released, or
// the request is broken off.
type held struct {
	kinesis.API
	holds    func(*awskinesis.PutRecordsInput) bool
	released chan struct{}
}

func (h *held) PutRecords(ctx context.Context, in *awskinesis.PutRecordsInput, options ...func(*awskinesis.Options)) (*awskinesis.PutRecordsOutput, error) {
	if h.holds(in) {
		select {
		case <-h.released:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return h.API.PutRecords(ctx, in, options...)
}

// blocked returns a client that holds everything.
func blocked(w *world) (client kinesis.API, release func()) {
	return blockedIf(w, func(*awskinesis.PutRecordsInput) bool { return true })
}

func blockedIf(w *world, holds func(*awskinesis.PutRecordsInput) bool) (client kinesis.API, release func()) {
	h := &held{w.client, holds, make(chan struct{})}
	return h, sync.OnceFunc(func() { close(h.released) })
}
