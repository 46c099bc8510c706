package changestream_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// TestSimulation publishes a snapshot and changes while connections to MongoDB
// are cut, cursors killed, elections happen, and Kinesis throttles, fails in part
// and answers late: everything is told, in order, and nothing regresses.
func TestSimulation(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := newWorld(t, seed)
	wr := newWriter(w, seed)
	const users = 200
	for len(wr.last) < users/2 {
		wr.write(users)
	}
	cfg := w.config(parse(t, usersMapping))
	cfg.EnsureImages, cfg.Snapshot, cfg.SnapshotChunk, cfg.Lease = true, true, 20, 2*time.Second
	w.faults.spare("insert", "killCursors") // those of the test
	w.faults.set(0.06)
	p, stop := w.publisher(cfg)
	var killing sync.WaitGroup
	done := make(chan struct{})
	killing.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(100 * time.Millisecond):
				w.killCursor(wr.users.Database())
			}
		}
	})
	for range 800 {
		wr.write(users)
	}
	waitFor(t, "a killed cursor", func() bool { return w.cursors.count() > 0 })
	close(done)
	killing.Wait()
	waitFor(t, "the snapshot and all changes", func() bool {
		all := w.kept()
		for user, last := range wr.last {
			list := all[id(user).Hex()]
			if len(list) == 0 || versionOf(t, list[len(list)-1]) != last {
				return false
			}
		}
		return true
	})
	waitFor(t, "the end of the snapshot", func() bool { return !p.Status().Snapshot.Running })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.faults.set(0)
	w.noRegression(seed, wr)
	if w.faults.hits == 0 || len(w.refused()) > 0 {
		t.Errorf("seed %d: %d faults, %d dead letters", seed, w.faults.hits, len(w.refused()))
	}
	t.Logf("%d faults, %d cursors killed, %+v", w.faults.hits, w.cursors.count(), p.Status())
}

// cursors remembers the change stream's cursor.
type cursors struct {
	mu     sync.Mutex
	last   int64
	killed int
}

func (c *cursors) monitor() *event.CommandMonitor {
	return &event.CommandMonitor{Succeeded: func(_ context.Context, e *event.CommandSucceededEvent) {
		if e.CommandName == "aggregate" {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.last, _ = e.Reply.Lookup("cursor", "id").Int64OK()
		}
	}}
}

func (c *cursors) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.killed
}

// killCursor kills the change stream's cursor, as a restart of the server does.
func (w *world) killCursor(by *mongo.Database) {
	w.cursors.mu.Lock()
	defer w.cursors.mu.Unlock()
	if w.cursors.last != 0 {
		w.do(nil, by.RunCommand(w.ctx, doc("killCursors", "$cmd.aggregate", "cursors", bson.A{w.cursors.last})).Err())
		w.cursors.last = 0
		w.cursors.killed++
	}
}
