package mongoclient_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
)

// breaking breaks the connections of a share of the inserts and finds, or has the
// server refuse them for not being the primary.
type breaking struct {
	mu    sync.Mutex
	rng   *rand.Rand
	share float64
	count int
}

func (b *breaking) hook(command, _ string) mongodb.Fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	if command != "insert" && command != "find" || b.rng.Float64() >= b.share {
		return mongodb.Fault{}
	}
	b.count++
	return mongodb.Fault{Kind: mongodb.FaultKind(1 + b.rng.IntN(3))}
}

// TestBrokenConnections: connections break at a high rate while many write and read.
// No operation fails, and what was written is there.
func TestBrokenConnections(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	faults := &breaking{rng: rand.New(rand.NewPCG(seed, 1)), share: 0.03}
	w := newWorld(t, faults.hook)
	db, err := mongoclient.Open(t.Context(), w.direct)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(context.Background()) }()
	const people, each = 64, 2
	var running sync.WaitGroup
	for i := range people {
		running.Go(func() {
			for k := range each {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				id := fmt.Sprintf("%d-%d", i, k)
				if err := errors.Join(put(ctx, db, id), has(ctx, db, id)); err != nil {
					t.Errorf("seed %d: %s: %v", seed, id, err)
				}
				cancel()
			}
		})
	}
	running.Wait()
	faults.mu.Lock()
	defer faults.mu.Unlock()
	if faults.share = 0; faults.count == 0 {
		t.Errorf("seed %d: no faults: this tested nothing", seed)
	}
}

// clearing holds an operation that has chosen its server, until another one's broken
// connection has cleared the pool that it is about to take one of.
type clearing struct {
	checkouts atomic.Int64 // until the one that is held
	held      chan struct{}
	cleared   chan struct{}
	once      sync.Once // closes cleared
	broken    sync.Map  // collections whose connection was broken
}

// hook breaks the first insert, where the collection says so.
func (c *clearing) hook(command, namespace string) mongodb.Fault {
	kind := map[string]mongodb.FaultKind{"legacy.breaking": mongodb.CloseBefore, "legacy.doubtful": mongodb.CloseAfter}[namespace]
	if _, was := c.broken.LoadOrStore(namespace, true); was || command != "insert" {
		return mongodb.Fault{}
	}
	return mongodb.Fault{Kind: kind}
}

func (c *clearing) monitor(e *event.PoolEvent) {
	switch e.Type {
	case event.ConnectionCheckOutStarted:
		if c.checkouts.Add(-1) == 0 {
			close(c.held)
			<-c.cleared
		}
	case event.ConnectionPoolCleared:
		select {
		case <-c.held:
			c.once.Do(func() { close(c.cleared) })
		default:
		}
	}
}

// TestPoolIsCleared just before an operation takes a connection: the driver gives up
// there, though nothing was sent; and if this was its repetition, it returns what the
// first attempt met, though its outcome is unknown.
func TestPoolIsCleared(t *testing.T) {
	for collection, c := range map[string]struct {
		checkouts int64
		label     string
	}{"safe": {1, "TransientTransactionError"}, "doubtful": {2, "NetworkError"}} {
		t.Run(collection, func(t *testing.T) {
			clear := &clearing{held: make(chan struct{}), cleared: make(chan struct{})}
			clear.checkouts.Store(c.checkouts)
			w := newWorld(t, clear.hook)
			client, err := mongo.Connect(options.Client().ApplyURI(w.direct).SetPoolMonitor(&event.PoolMonitor{Event: clear.monitor}))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = client.Disconnect(context.Background()) }()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			db := mongoclient.Of(client.Database("legacy"))
			var met []error
			ended := make(chan error, 1)
			go func() {
				ended <- db.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
					_, err := db.Collection(collection).InsertOne(ctx, bson.D{{Key: "_id", Value: 1}})
					met = append(met, err)
					if mongo.IsDuplicateKeyError(err) {
						return nil
					}
					return err
				})
			}()
			<-clear.held
			if _, err := client.Database("legacy").Collection("breaking").InsertOne(ctx, bson.D{}); err != nil {
				t.Error(err)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
			var first mongo.LabeledError
			if len(met) != 2 || !errors.As(met[0], &first) || !first.HasErrorLabel(c.label) {
				t.Errorf("the driver met %v, not an error that is labelled %s, and then none: see whether Do need repeat it", met, c.label)
			}
		})
	}
}

// poolError is as the driver's, which cannot be had by itself.
type poolError struct{ error }

func (poolError) Retryable() bool { return true }

// TestWhatIsRetried: transient errors are retried, others are not, and nothing is
// retried for ever.
func TestWhatIsRetried(t *testing.T) {
	client, err := mongo.Connect() // nothing is asked of it
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(context.Background()) }()
	db := mongoclient.Of(client.Database("any"))
	for name, c := range map[string]struct {
		err  error
		runs int64
	}{
		"cleared pool":  {mongo.CommandError{Labels: []string{"TransientTransactionError"}}, 3},
		"log-in":        {poolError{errors.New("cleared")}, 3},
		"broken":        {mongo.CommandError{Labels: []string{"NetworkError"}}, 3},
		"write":         {fmt.Errorf("wrapped: %w", mongo.WriteException{Labels: []string{"RetryableWriteError"}}), 3},
		"not primary":   {mongo.CommandError{Code: 10107}, 3},
		"duplicate":     {mongo.WriteException{WriteErrors: mongo.WriteErrors{{Code: 11000}}}, 1},
		"refused":       {mongo.CommandError{Code: 18}, 1},
		"something new": {errors.New("x"), 1},
	} {
		var runs atomic.Int64
		err := db.Do(t.Context(), func(context.Context, *mongo.Database) error {
			if runs.Add(1) < 3 {
				return c.err
			}
			return nil
		})
		if runs.Load() != c.runs || (err == nil) != (c.runs == 3) {
			t.Errorf("%s: run %d times, %v", name, runs.Load(), err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		runs := 0
		err := db.Do(ctx, func(context.Context, *mongo.Database) error {
			runs++
			return mongo.CommandError{Labels: []string{"NetworkError"}, Message: "the last one"}
		})
		if !mongo.IsNetworkError(err) || runs < 2 || runs > 20 {
			t.Errorf("run %d times in 50 ms, %v", runs, err)
		}
	})
}
