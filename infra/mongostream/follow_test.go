package mongostream_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
)

func TestResumesWhereItStopped(t *testing.T) {
	w := newWorld(t, 1)
	w.insert(1) // before the first start: not handled
	var seen log
	_, stop := w.follower(mongostream.Config{Handle: seen.handle})
	w.insert(2, 3)
	eventually.True(t, "two changes", func() bool { return len(seen.get()) == 2 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.insert(4)
	_, stop = w.follower(mongostream.Config{Handle: seen.handle})
	w.insert(5)
	eventually.True(t, "four changes", func() bool { return len(seen.get()) == 4 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	want := []string{inserted(2), inserted(3), inserted(4), inserted(5)}
	if !slices.Equal(seen.get(), want) {
		t.Errorf("%v", seen.get())
	}
}

func inserted(n int) string { return fmt.Sprintf(`insert {"$numberInt":"%d"}`, n) }

// A position that is no longer in the oplog ends a follower, with an error that
// names the remedy; forgetting the position is a part of it.
func TestHistoryLost(t *testing.T) {
	w := newWorld(t, 1, func(c *mongodb.Config) { c.OplogEntries = 20 })
	var seen log
	_, stop := w.follower(mongostream.Config{Handle: seen.handle})
	w.insert(1)
	eventually.True(t, "a change", func() bool { return len(seen.get()) == 1 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		w.insert(10 + i)
	}
	cfg := mongostream.Config{Name: "test", Source: w.source(), Handle: seen.handle}
	for range 2 {
		if err := w.ended(cfg); !errors.Is(err, mongostream.ErrHistoryLost) {
			t.Fatalf("a position that is gone: %v", err)
		}
	}
	f, err := mongostream.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := mongostream.Forget(w.ctx, w.db.Collection(mongostream.Checkpoints), "nobody"); !errors.Is(err, mongostream.ErrNoPosition) {
		t.Errorf("a name without a position: %v", err)
	}
	if err := mongostream.Forget(w.ctx, w.db.Collection(mongostream.Checkpoints), f.Status().Name); err != nil {
		t.Fatal(err)
	}
	_, stop = w.follower(mongostream.Config{Handle: seen.handle})
	w.insert(2)
	eventually.True(t, "to go on afresh", func() bool { return slices.Equal(seen.get(), []string{inserted(1), inserted(2)}) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestDropsAndRenames(t *testing.T) {
	for name, away := range map[string]func(w *world) error{
		"drop":         func(w *world) error { return w.things.Drop(w.ctx) },
		"rename":       func(w *world) error { return w.rename("things", "old", false) },
		"dropDatabase": func(w *world) error { return w.db.Drop(w.ctx) },
	} {
		for _, scope := range []string{"things", ""} {
			if name == "dropDatabase" && scope == "things" {
				continue // as a drop, and then its positions are gone
			}
			t.Run(name+" of "+scope, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, 1)
				positions := w.client.Database(w.db.Name() + "_relays").Collection("positions")
				cfg := mongostream.Config{
					Name: "test", Source: mongostream.Source{Database: w.db, Collection: scope},
					Checkpoint: mongostream.NewCheckpoint(positions, "test", 10*time.Second),
				}
				stopsOnce(t, w, cfg, func() error { return away(w) })
				goesOn(t, w, cfg, func() error { return away(w) })
			})
		}
	}
}

func stopsOnce(t *testing.T, w *world, cfg mongostream.Config, away func() error) {
	t.Helper()
	var seen log
	cfg.Handle = seen.handle
	f, err := mongostream.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- f.Run(w.ctx) }()
	<-f.Ready()
	w.insert(1)
	if err := away(); err != nil {
		t.Fatal(err)
	}
	w.insert(2)
	for err = <-done; errors.Is(err, mongostream.ErrInvalidated) && len(seen.get()) < 2; err = w.run(cfg, &seen) {
	}
	if err != nil || !slices.Equal(seen.get(), []string{inserted(1), inserted(2)}) {
		t.Errorf("%v, handled %v", err, seen.get())
	}
}

// run follows until a second change was handled or it ends by itself.
func (w *world) run(cfg mongostream.Config, seen *log) error {
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	cfg.Handle = func(_ context.Context, c mongostream.Change) (mongostream.Ack, error) {
		if seen.add(c); len(seen.get()) == 2 {
			cancel()
		}
		return nil, nil
	}
	f, err := mongostream.New(cfg)
	if err != nil {
		return err
	}
	return f.Run(ctx)
}

func goesOn(t *testing.T, w *world, cfg mongostream.Config, away func() error) {
	t.Helper()
	var seen log
	cfg.Name, cfg.Handle, cfg.FollowOn = "another", seen.handle, true
	cfg.Checkpoint = mongostream.NewCheckpoint(w.client.Database(w.db.Name()+"_relays").Collection("positions"), "another", 10*time.Second)
	_, stop := w.follower(cfg)
	w.insert(3)
	_ = w.db.Collection("old").Drop(w.ctx)
	if err := away(); err != nil {
		t.Fatal(err)
	}
	w.insert(4)
	eventually.True(t, "both changes", func() bool { return slices.Equal(seen.get(), []string{inserted(3), inserted(4)}) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// TestErrorsOfHandlers: what passes is handled again, in order; what does not
// ends Run, and is handled again by the next.
func TestErrorsOfHandlers(t *testing.T) {
	w := newWorld(t, 1)
	passing, lasting := errors.New("passes"), errors.New("lasts")
	var seen log
	var once sync.Once
	cfg := mongostream.Config{Name: "test", Source: w.source(), StartAt: w.now(),
		Transient: func(err error) bool { return errors.Is(err, passing) }}
	cfg.Handle = func(_ context.Context, c mongostream.Change) (mongostream.Ack, error) {
		err := error(nil)
		if c.ID().AsInt64() == 2 {
			once.Do(func() { err = passing })
		}
		if c.ID().AsInt64() == 3 {
			failed := newPending()
			failed.complete(lasting)
			return failed.wait, nil
		}
		if err == nil {
			seen.add(c)
		}
		return nil, err
	}
	w.insert(1, 2, 3, 4)
	if err := w.ended(cfg); !errors.Is(err, lasting) || !strings.Contains(err.Error(), "insert of") {
		t.Fatal(err)
	}
	if got := seen.get(); !slices.Equal(got[:2], []string{inserted(1), inserted(2)}) {
		t.Errorf("%v", got)
	}
	var rest log
	_, stop := w.follower(mongostream.Config{Handle: rest.handle})
	eventually.True(t, "the unacknowledged changes", func() bool { return slices.Equal(rest.get(), []string{inserted(3), inserted(4)}) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// TestDoneInOrder: receipts complete in any order, Done and the position follow the stream.
func TestDoneInOrder(t *testing.T) {
	w := newWorld(t, 1)
	pendings := map[int64]*pending{}
	var mu sync.Mutex
	var done log
	f, stop := w.follower(mongostream.Config{
		Handle: func(_ context.Context, c mongostream.Change) (mongostream.Ack, error) {
			mu.Lock()
			defer mu.Unlock()
			r := newPending()
			pendings[c.ID().AsInt64()] = r
			return r.wait, nil
		},
		Done: func(_ context.Context, c mongostream.Change) error { done.add(c); return nil },
	})
	settle := func(n int64) {
		eventually.True(t, "a receipt", func() bool { mu.Lock(); defer mu.Unlock(); return pendings[n] != nil })
		pendings[n].complete(nil)
	}
	w.insert(1, 2, 3)
	settle(3)
	settle(2)
	eventually.True(t, "all to be in flight", func() bool { return f.Status().InFlight == 3 })
	if len(done.get()) > 0 {
		t.Errorf("%v before the first is acknowledged", done.get())
	}
	settle(1)
	eventually.True(t, "all", func() bool { return slices.Equal(done.get(), []string{inserted(1), inserted(2), inserted(3)}) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// TestTransactions: changes of one transaction have one time and are numbered,
// the same after a restart in the middle of it.
func TestTransactions(t *testing.T) {
	w := newWorld(t, 1)
	start := w.now()
	w.insert(0)
	type place struct {
		id    int64
		index int
	}
	var all []place
	var mu sync.Mutex
	limit := 3
	enough := errors.New("enough")
	cfg := mongostream.Config{Name: "test", Source: w.source(), StartAt: start,
		Handle: func(_ context.Context, c mongostream.Change) (mongostream.Ack, error) {
			mu.Lock()
			defer mu.Unlock()
			if len(all) == limit {
				return nil, enough
			}
			all = append(all, place{c.ID().AsInt64(), c.Index})
			return nil, nil
		}}
	s, err := w.client.StartSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.EndSession(w.ctx)
	_, err = s.WithTransaction(w.ctx, func(ctx context.Context) (any, error) {
		var docs []any
		for i := 1; i <= 4; i++ {
			docs = append(docs, bson.D{{Key: "_id", Value: i}})
		}
		return w.things.InsertMany(ctx, docs)
	})
	if err != nil {
		t.Fatal(err)
	}
	w.insert(5)
	for limit = 3; limit <= 6; limit += 3 {
		if err := w.ended(cfg); limit == 3 && !errors.Is(err, enough) {
			t.Fatal(err)
		}
		if limit == 3 {
			w.insert(6)
		}
	}
	want := []place{{0, 0}, {1, 0}, {2, 1}, {3, 2}, {4, 3}, {5, 0}}
	if !slices.Equal(all, want) {
		t.Errorf("%v, want %v", all, want)
	}
}

// TestDDLIsReadAgain after a transient error of its callback.
func TestDDLIsReadAgain(t *testing.T) {
	w := newWorld(t, 1)
	var seen log
	var mu sync.Mutex
	transient, calls := errors.New("no connection"), map[string]int{}
	cfg := mongostream.Config{
		Handle: seen.handle,
		DDL: func(_ context.Context, c mongostream.Change) error {
			mu.Lock()
			defer mu.Unlock()
			if calls[c.Operation]++; c.Operation == "drop" && calls["drop"] <= 2 {
				return transient
			}
			return nil
		},
		Transient: func(err error) bool { return errors.Is(err, transient) },
	}
	_, stop := w.follower(cfg)
	w.insert(1)
	if err := w.things.Drop(w.ctx); err != nil {
		t.Fatal(err)
	}
	w.insert(2)
	eventually.True(t, "what came after the drop", func() bool { return len(seen.get()) == 2 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := seen.get(); calls["drop"] != 3 || calls["invalidate"] != 1 || !slices.Equal(got, []string{inserted(1), inserted(2)}) {
		t.Errorf("calls %v, changes %v", calls, got)
	}
}

// TestARefusedStreamEndsRun whatever Transient says: it is about callbacks.
func TestARefusedStreamEndsRun(t *testing.T) {
	w := newWorld(t, 1)
	cfg := mongostream.Config{Name: "test", Source: w.source(), Handle: (&log{}).handle, Transient: func(error) bool { return true }}
	cfg.Pipeline = mongo.Pipeline{{{Key: "$nonsense", Value: bson.D{}}}}
	if err := w.ended(cfg); !mongoerr.IsPermanent(err) {
		t.Errorf("%v, want that the server refuses the stage", err)
	}
}
