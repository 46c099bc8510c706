package changestream_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	sandboxkinesis "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
	"github.com/banyan-fig/banyan/publishers/changestream"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/streamtest"
)

func TestMain(m *testing.M) {
	if os.Getenv(childMongo) != "" {
		child()
		return
	}
	goleak.VerifyTestMain(m)
}

const stream = "facts"

// world is MongoDB and Kinesis over the wire, both with faults by chance.
type world struct {
	t       testing.TB
	ctx     context.Context
	uri     string
	aws     string
	mongo   *mongo.Client
	db      *mongo.Database
	users   *mongo.Collection
	client  *awskinesis.Client
	faults  *faults
	cursors cursors
}

// faults hits commands while its odds are above zero.
type faults struct {
	mu     sync.Mutex
	rand   *rand.Rand
	odds   float64
	hits   int
	spared []string // commands
}

// spare leaves commands alone, and updates that are not of a position.
func (f *faults) spare(commands ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.spared = commands
}

func (f *faults) spares(command, namespace string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.spared, command) || command == "update" && len(f.spared) > 0 && namespace == "legacy.users"
}

func (f *faults) set(odds float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.odds = odds
}

func (f *faults) hit(kinds int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rand.Float64() >= f.odds {
		return 0
	}
	f.hits++
	return 1 + f.rand.IntN(kinds)
}

func (f *faults) mongodb(command, namespace string) mongodb.Fault {
	if f.spares(command, namespace) {
		return mongodb.Fault{}
	}
	return mongodb.Fault{Kind: mongodb.FaultKind(f.hit(3))}
}

func (f *faults) kinesis(operation, _ string) fault.Fault {
	if operation != "PutRecords" {
		return fault.Fault{}
	}
	kinds := []fault.Kind{fault.None, fault.Throttle, fault.Partial, fault.TimeoutBefore, fault.TimeoutAfter, fault.Internal, fault.Denied}
	n := f.hit(len(kinds) - 1)
	return fault.Fault{Kind: kinds[n], Seed: uint64(n)}
}

func newWorld(t testing.TB, seed uint64, change ...func(*mongodb.Config)) *world {
	t.Helper()
	w := &world{t: t, ctx: t.Context(), faults: &faults{rand: rand.New(rand.NewPCG(seed, 0))}}
	k, err := sandboxkinesis.New(sandboxkinesis.Config{Transition: time.Millisecond, Unlimited: true, Fault: w.faults.kinesis})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(k)
	t.Cleanup(front.Close)
	w.uri, w.aws = mongodbtest.Start(t, w.faults.mongodb, change...), front.URL
	w.client = kinesisClient(t, front.URL)
	if w.mongo, err = mongo.Connect(options.Client().ApplyURI(w.uri).SetMonitor(w.cursors.monitor())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.faults.set(0)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = w.mongo.Disconnect(ctx)
	})
	w.db = w.mongo.Database(mongodbtest.Database(w.uri))
	w.users = w.db.Collection("users")
	w.do(nil, streamtest.Create(w.ctx, w.client, stream, 3))
	return w
}

func kinesisClient(t testing.TB, url string) *awskinesis.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	if t != nil {
		t.Cleanup(transport.CloseIdleConnections)
	}
	return streamtest.NewClient(url, transport)
}

func (w *world) kinesis() *kinesis.Publisher { return w.stream(true) }

func (w *world) stream(insist bool) *kinesis.Publisher {
	w.t.Helper()
	p, err := kinesis.New(w.ctx, kinesis.Config{Client: w.client, Stream: stream, Linger: time.Millisecond,
		BackoffMin: time.Millisecond, BackoffMax: 5 * time.Millisecond, AttemptTimeout: time.Minute, RetryRefused: insist})
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

func permanent(err error) bool {
	return errors.Is(err, kinesis.ErrTooLarge) || errors.Is(err, events.ErrMalformed)
}

// config is complete but for what a test is about.
func (w *world) config(m *changestream.Mapping) changestream.Config {
	return changestream.Config{Database: w.db, Mapping: m, To: w.kinesis(), Permanent: permanent}
}

// publisher runs one and waits until it is ready; the function ends it and
// returns what Run returned.
func (w *world) publisher(cfg changestream.Config) (*changestream.Publisher, func() error) {
	w.t.Helper()
	p, stop := w.start(cfg)
	waitFor(w.t, "a publisher that is ready", func() bool {
		select {
		case <-p.Ready():
			return true
		default:
			return false
		}
	})
	return p, stop
}

func (w *world) start(cfg changestream.Config) (*changestream.Publisher, func() error) {
	w.t.Helper()
	p, err := changestream.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	w.t.Cleanup(func() { _ = stop() })
	return p, stop
}

// ended runs one that ends by itself, and returns what Run returned; nil if it
// did not end in time.
func (w *world) ended(cfg changestream.Config) (*changestream.Publisher, error) {
	w.t.Helper()
	p, err := changestream.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	return p, p.Run(ctx)
}

// kept reads the whole stream: the events of each partition key in order.
func (w *world) kept() map[string][]events.Event {
	w.t.Helper()
	read, err := streamtest.Read(w.ctx, w.client, stream)
	w.do(nil, err)
	all := map[string][]events.Event{}
	for _, e := range read {
		all[e.PartitionKey] = append(all[e.PartitionKey], e)
	}
	return all
}

func count(all map[string][]events.Event) (n int) {
	for _, one := range all {
		n += len(one)
	}
	return n
}

func (w *world) do(_ any, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// refused reads the dead letters.
func (w *world) refused() (all []changestream.Refused) {
	w.t.Helper()
	w.do(nil, changestream.EachRefused(w.ctx, w.db.Collection("changes_refused"), func(r changestream.Refused) error {
		all = append(all, r)
		return nil
	}))
	return all
}

func parse(t testing.TB, src string) *changestream.Mapping {
	t.Helper()
	m, err := changestream.ParseMapping("test.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("timed out waiting for %s", what)
}
