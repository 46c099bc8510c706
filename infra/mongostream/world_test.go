package mongostream_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child()
		return
	}
	goleak.VerifyTestMain(m)
}

// world is a database over the wire, with faults.
type world struct {
	t      testing.TB
	ctx    context.Context
	uri    string
	client *mongo.Client
	db     *mongo.Database
	things *mongo.Collection
	faults *faults
}

// faults hits commands by chance while it is on.
type faults struct {
	mu   sync.Mutex
	rand *rand.Rand
	odds float64
}

func (f *faults) set(odds float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.odds = odds
}

func (f *faults) hook(string, string) mongodb.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rand.Float64() >= f.odds {
		return mongodb.Fault{}
	}
	return mongodb.Fault{Kind: mongodb.FaultKind(1 + f.rand.IntN(3))}
}

func newWorld(t testing.TB, seed uint64, change ...func(*mongodb.Config)) *world {
	t.Helper()
	w := &world{t: t, ctx: t.Context(), faults: &faults{rand: rand.New(rand.NewPCG(seed, 0))}}
	w.uri = mongodbtest.Start(t, w.faults.hook, change...)
	w.client = connect(t, w.uri)
	t.Cleanup(func() {
		w.faults.set(0)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = w.client.Disconnect(ctx)
	})
	w.db = w.client.Database(mongodbtest.Database(w.uri))
	w.things = w.db.Collection("things")
	return w
}

func connect(t testing.TB, uri string) *mongo.Client {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// follower starts one and waits until it is ready; the function ends it and
// returns what Run returned.
func (w *world) follower(cfg mongostream.Config) (*mongostream.Follower, func() error) {
	w.t.Helper()
	f, stop := w.start(cfg)
	select {
	case <-f.Ready():
	case <-time.After(time.Minute):
		w.t.Fatal("the follower was not ready in time: ", f.Status().LastError)
	}
	return f, stop
}

func (w *world) start(cfg mongostream.Config) (*mongostream.Follower, func() error) {
	w.t.Helper()
	if cfg.Name == "" {
		cfg.Name = "test"
	}
	if cfg.Database == nil {
		cfg.Source = w.source()
	}
	f, err := mongostream.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	w.t.Cleanup(func() { _ = stop() })
	return f, stop
}

func (w *world) source() mongostream.Source {
	return mongostream.Source{Database: w.db, Collection: "things"}
}

// ended waits for a Run that ends by itself.
func (w *world) ended(cfg mongostream.Config) error {
	w.t.Helper()
	f, err := mongostream.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	err = f.Run(ctx)
	if err == nil {
		w.t.Fatal("it did not end by itself")
	}
	return err
}

func (w *world) insert(ids ...int) {
	w.t.Helper()
	for _, id := range ids {
		if _, err := w.things.InsertOne(w.ctx, bson.D{{Key: "_id", Value: id}}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// now is a cluster time before everything that follows.
func (w *world) now() *bson.Timestamp {
	w.t.Helper()
	reply, err := w.db.RunCommand(w.ctx, bson.D{{Key: "ping", Value: 1}}).Raw()
	if err != nil {
		w.t.Fatal(err)
	}
	t, i := reply.Lookup("operationTime").Timestamp()
	return &bson.Timestamp{T: t, I: i + 1}
}

// position reads the stored one.
func (w *world) position() bson.Raw {
	w.t.Helper()
	doc, err := w.db.Collection(mongostream.Checkpoints).FindOne(w.ctx, bson.D{{Key: "_id", Value: "test"}}).Raw()
	if err != nil {
		w.t.Fatal(err)
	}
	return doc
}

// awaitPosition waits until the stored position covers everything written so far.
func (w *world) awaitPosition() {
	w.t.Helper()
	now := w.now()
	eventually.True(w.t, "the position to be stored", func() bool {
		t, i, _ := w.position().Lookup("clusterTime").TimestampOK()
		return !bson.Timestamp{T: t, I: i + 1}.Before(*now)
	})
}

// awaitSaves waits until the position was stored n times more under one owner.
func (w *world) awaitSaves(n int64, between func()) {
	w.t.Helper()
	saves := func() int64 { return w.position().Lookup("rev").AsInt64() }
	first := saves()
	eventually.True(w.t, "saves of the position", func() bool { between(); return saves() >= first+n })
}

// log keeps what a handler saw.
type log struct {
	mu  sync.Mutex
	all []string
}

func (l *log) add(c mongostream.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, fmt.Sprintf("%s %v", c.Operation, c.ID()))
}

func (l *log) get() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string{}, l.all...)
}

func (l *log) handle(_ context.Context, c mongostream.Change) (mongostream.Ack, error) {
	l.add(c)
	return nil, nil
}

// pending is work that the test completes.
type pending struct {
	done chan struct{}
	err  error
}

func newPending() *pending { return &pending{done: make(chan struct{})} }

func (p *pending) complete(err error) {
	p.err = err
	close(p.done)
}

// wait is a mongostream.Ack.
func (p *pending) wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}
