package mongostream_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
)

// TestSimulation follows while connections are cut, elections happen, cursors
// are killed, receipts complete late and followers start and stop: every change is
// handled, passed to Done before the position passes it, and in order.
func TestSimulation(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(t, seed, func(c *mongodb.Config) {
		fault := c.Fault
		c.Fault = func(command, namespace string) mongodb.Fault {
			if command == "insert" || command == "killCursors" {
				return mongodb.Fault{} // of the test itself
			}
			return fault(command, namespace)
		}
	})
	const total, batch = 3000, 10
	writer := w.writer()
	var mu sync.Mutex
	var handled, done []int64
	cfg := mongostream.Config{StartAt: w.now(), Window: 50, Lease: 400 * time.Millisecond, SaveEvery: 5 * time.Millisecond, Grace: 100 * time.Millisecond}
	cfg.Handle = func(_ context.Context, c mongostream.Change) (mongostream.Ack, error) {
		mu.Lock()
		defer mu.Unlock()
		handled = append(handled, c.ID().AsInt64())
		r := newPending()
		var err error
		if random.IntN(400) == 0 {
			err = errRefused
		}
		time.AfterFunc(time.Duration(random.IntN(3000))*time.Microsecond, func() { r.complete(err) })
		return r.wait, nil
	}
	cfg.Done = func(_ context.Context, c mongostream.Change) error {
		mu.Lock()
		defer mu.Unlock()
		done = append(done, c.ID().AsInt64())
		return nil
	}
	w.faults.set(0.03)
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := 0; i < total; i += batch {
			w.insertMany(writer, i, batch)
			time.Sleep(2 * time.Millisecond) // a load, no flood
		}
	})
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(done) }
	finished := func() bool { mu.Lock(); defer mu.Unlock(); return len(done) > 0 && done[len(done)-1] == total-1 }
	runs := 0
	for end := time.Now().Add(3 * time.Minute); !finished() && time.Now().Before(end); runs++ {
		before := count()
		w.runBriefly(cfg, time.Duration(50+random.IntN(400))*time.Millisecond, func() bool { return count() > before || finished() })
	}
	writing.Wait()
	for name, got := range map[string][]int64{"handled": firsts(handled), "done": firsts(done)} {
		if len(got) != total || !slices.IsSorted(got) {
			t.Errorf("seed %d: %s %d changes of %d, sorted: %v", seed, name, len(got), total, slices.IsSorted(got))
		}
	}
	for i := 1; i < len(done); i++ { // what repeats, repeats from a point on without gaps
		if done[i] > done[i-1]+1 {
			t.Fatalf("seed %d: %d was done after %d", seed, done[i], done[i-1])
		}
	}
	w.faults.set(0)
	if at := w.position().Lookup("token"); at.IsZero() {
		t.Errorf("seed %d: the position at the end is %v", seed, bson.Raw(w.position()))
	}
	t.Logf("%d handled, %d done, of %d, in %d runs", len(handled), len(done), total, runs)
}

var errRefused = errors.New("refused by the test")

// runBriefly follows until it fails, or for some time, and longer where nothing has come of it.
func (w *world) runBriefly(cfg mongostream.Config, d time.Duration, enough func() bool) {
	w.t.Helper()
	cfg.Name, cfg.Source = "test", w.source()
	f, err := mongostream.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	time.AfterFunc(d, func() {
		for ctx.Err() == nil && !enough() {
			time.Sleep(time.Millisecond)
		}
		cancel()
	})
	if err := f.Run(ctx); err != nil && !errors.Is(err, errRefused) {
		w.t.Error(err)
	}
}

// writer is another client, whose connections are not cut.
func (w *world) writer() *mongo.Collection {
	client := connect(w.t, w.uri)
	w.t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	return client.Database(w.db.Name()).Collection("things")
}

func (w *world) insertMany(into *mongo.Collection, from, n int) {
	w.t.Helper()
	var docs []any
	for i := range n {
		docs = append(docs, bson.D{{Key: "_id", Value: from + i}})
	}
	if _, err := into.InsertMany(w.ctx, docs); err != nil {
		w.t.Fatal(err)
	}
}

// firsts keeps the first occurrence of each.
func firsts(all []int64) []int64 {
	seen, out := map[int64]bool{}, []int64(nil)
	for _, n := range all {
		if !seen[n] {
			seen[n], out = true, append(out, n)
		}
	}
	return out
}
