package outbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
	"github.com/banyan-fig/banyan/publishers"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/outbox"
	"github.com/banyan-fig/banyan/publishers/publisherstest"
	"github.com/banyan-fig/banyan/publishers/streamtest"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child()
		return
	}
	goleak.VerifyTestMain(m)
}

const stream = "facts"

// world is a MongoDB and a Kinesis over the wire, with faults.
type world struct {
	t       testing.TB
	ctx     context.Context
	mongo   string // URI
	kinesis string // URL
	client  *mongo.Client
	db      *mongo.Database
	relays  *mongo.Database // the same by another client
	users   *mongo.Collection
	outbox  *mongo.Collection
	stream  *awskinesis.Client
	faults  *faults
	written atomic.Int64 // events, by write
}

// faults hits calls by chance while it is on.
type faults struct {
	mu             sync.Mutex
	rand           *rand.Rand
	mongo, kinesis float64
	hit            int
}

func (f *faults) hits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hit
}

func (f *faults) set(mongo, kinesis float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mongo, f.kinesis = mongo, kinesis
}

// onMongo spares the commands that writers use as well, or little would be
// written: each fault costs a client half a second.
func (f *faults) onMongo(command, _ string) mongodb.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	odds := f.mongo
	if command == "insert" || command == "update" || command == "commitTransaction" {
		odds /= 50
	}
	if f.rand.Float64() >= odds {
		return mongodb.Fault{}
	}
	f.hit++
	return mongodb.Fault{Kind: mongodb.FaultKind(1 + f.rand.IntN(3))}
}

func (f *faults) onKinesis(operation, _ string) fault.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if operation != "PutRecords" || f.rand.Float64() >= f.kinesis {
		return fault.Fault{}
	}
	f.hit++
	kinds := []fault.Kind{fault.Throttle, fault.Partial, fault.TimeoutBefore, fault.TimeoutAfter, fault.Internal, fault.Denied}
	return fault.Fault{Kind: kinds[f.rand.IntN(len(kinds))], Seed: f.rand.Uint64()}
}

func newWorld(t testing.TB, change ...func(*mongodb.Config)) *world {
	t.Helper()
	seed := rand.Uint64()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	w := &world{t: t, ctx: t.Context(), faults: &faults{rand: rand.New(rand.NewPCG(seed, 0))}}
	w.startMongo(change...)
	w.startKinesis()
	return w
}

func (w *world) startMongo(change ...func(*mongodb.Config)) {
	w.t.Helper()
	w.mongo = mongodbtest.Start(w.t, w.faults.onMongo, change...)
	w.client = connect(w.t, w.mongo)
	others := connect(w.t, w.mongo)
	w.t.Cleanup(func() {
		w.faults.set(0, 0)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = w.client.Disconnect(ctx)
		_ = others.Disconnect(ctx)
	})
	name := mongodbtest.Database(w.mongo)
	w.db, w.relays = w.client.Database(name), others.Database(name)
	w.users, w.outbox = w.db.Collection("users"), w.db.Collection("outbox")
}

func connectTo(uri string) (*mongo.Client, error) {
	return mongo.Connect(options.Client().ApplyURI(uri))
}

func connect(t testing.TB, uri string) *mongo.Client {
	t.Helper()
	client, err := connectTo(uri)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func (w *world) startKinesis() {
	w.t.Helper()
	server, err := sandbox.New(sandbox.Config{Transition: time.Millisecond, Fault: w.faults.onKinesis})
	if err != nil {
		w.t.Fatal(err)
	}
	front := httptest.NewServer(server)
	w.t.Cleanup(front.Close)
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	w.t.Cleanup(transport.CloseIdleConnections)
	w.kinesis, w.stream = front.URL, streamtest.NewClient(front.URL, transport)
	w.must(streamtest.Create(w.ctx, w.stream, stream, 2))
}

// publisher is the real one.
func (w *world) publisher() *kinesis.Publisher {
	w.t.Helper()
	p, err := kinesis.New(w.ctx, publisherConfig(w.stream))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = p.Close(ctx)
	})
	return p
}

func publisherConfig(client *awskinesis.Client) kinesis.Config {
	return kinesis.Config{
		Client: client, Stream: stream, Linger: time.Millisecond, AttemptTimeout: time.Minute,
		BackoffMin: time.Millisecond, BackoffMax: 20 * time.Millisecond, MaxRecordBytes: 64 << 10, RetryRefused: true,
	}
}

// relay starts one and waits until it is ready; the function ends it and returns
// what Run returned.
func (w *world) relay(change ...func(*outbox.Config)) (*outbox.Relay, func() error) {
	w.t.Helper()
	r, stop := w.start(change...)
	select {
	case <-r.Ready():
	case <-time.After(time.Minute):
		w.t.Fatal("the relay was not ready in time: ", r.Status().Follower.LastError)
	}
	return r, stop
}

func (w *world) start(change ...func(*outbox.Config)) (*outbox.Relay, func() error) {
	w.t.Helper()
	cfg := outbox.Config{
		Database: w.relays, Documents: []string{"users"}, Outboxes: []string{"outbox"}, Source: "/legacy",
		Permanent: permanent,
	}
	for _, c := range change {
		c(&cfg)
	}
	if cfg.Publisher == nil {
		cfg.Publisher = w.publisher()
	}
	r, err := outbox.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	w.t.Cleanup(func() { _ = stop() })
	return r, stop
}

func (w *world) stop(stop func() error) {
	w.t.Helper()
	if err := stop(); err != nil {
		w.t.Error(err)
	}
}

func (w *world) await(what string, ok func() bool) {
	w.t.Helper()
	eventually.True(w.t, what, ok)
}

// awaitEmpty waits until no document has events, the outbox none either.
func (w *world) awaitEmpty() {
	w.t.Helper()
	waiting := int64(0)
	count := func(c *mongo.Collection, filter bson.D) {
		n, err := c.CountDocuments(w.ctx, filter)
		if err != nil {
			waiting++
		}
		waiting += n
	}
	w.await("all events to leave the database", func() bool {
		waiting = 0
		count(w.users, bson.D{{Key: "_outbox.0", Value: bson.D{{Key: "$exists", Value: true}}}})
		count(w.outbox, bson.D{})
		return waiting == 0
	})
}

// event is the n-th of a key.
func event(key string, n int) events.Event {
	return events.Event{
		ID: fmt.Sprintf("%s/%d", key, n), Source: "/test", Type: "test.happened", Version: 1, Time: time.Unix(1_700_000_000, 0).UTC(),
		PartitionKey: key, Sequence: fmt.Sprintf("%020d", n), Data: json.RawMessage(`{"n":` + strconv.Itoa(n) + `}`),
	}
}

// push tells the n-th event of a key in the document of that name.
func (w *world) push(ctx context.Context, doc, key string, n int) error {
	update, err := outbox.Push(bson.D{{Key: "$inc", Value: bson.D{{Key: "changes", Value: 1}}}}, event(key, n))
	if err != nil {
		return err
	}
	_, err = w.users.UpdateOne(ctx, bson.D{{Key: "_id", Value: doc}}, update, options.UpdateOne().SetUpsert(true))
	return err
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// read is the whole stream.
func (w *world) read() []events.Event {
	w.t.Helper()
	all, err := streamtest.Read(context.Background(), w.stream, stream)
	w.must(err)
	return all
}

// check holds the stream against how many events each key has published, and returns
// how many came again.
func (w *world) check(published map[string]int) (repeats int) {
	w.t.Helper()
	numbers := make(map[string][]int)
	all := w.read()
	for _, e := range all {
		key, n, _ := strings.Cut(e.ID, "/")
		number, err := strconv.Atoi(n)
		if err != nil || key != e.PartitionKey {
			w.t.Fatalf("invented: %+v", e)
		}
		numbers[key] = append(numbers[key], number)
	}
	total := 0
	for key, n := range published {
		total += n
		if err := publisherstest.CheckOrder(key, numbers[key], n); err != nil {
			w.t.Error(err)
		}
		delete(numbers, key)
	}
	for key := range numbers {
		w.t.Errorf("key %s was never published", key)
	}
	return len(all) - total
}

// checkConverged is check for a publisher that gives up on events and goes on with
// their successors: where each event is last, they are in order, and none is
// missing.
func (w *world) checkConverged(published map[string]int) {
	w.t.Helper()
	last := make(map[string]int)
	for i, e := range w.read() {
		last[e.ID] = i
	}
	for key, n := range published {
		before := -1
		for number := range n {
			at, there := last[event(key, number).ID]
			if !there || at < before {
				w.t.Errorf("event %d of key %s is missing, or in the end before its predecessor", number, key)
			}
			before = at
		}
	}
}

// unreliable hands on to a publisher, and fails receipts by chance: with nothing
// sent, as one that was closed or lost its rights.
type unreliable struct {
	publishers.Publisher
	fail func() error
}

func (u *unreliable) EnqueueEncoded(ctx context.Context, key string, data []byte) (publishers.Receipt, error) {
	if err := u.fail(); err != nil {
		return failed{err}, nil
	}
	return u.Publisher.EnqueueEncoded(ctx, key, data)
}

type failed struct{ err error }

func (f failed) Wait(context.Context) (events.Position, error) { return events.Position{}, f.err }

func (failed) Done() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}
