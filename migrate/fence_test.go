package migrate_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// lateWriters write to users past every hold, as processes do that were paused.
type lateWriters struct {
	wg      sync.WaitGroup
	stop    context.CancelFunc
	refused atomic.Int64
	mu      sync.Mutex
	kept    map[string]bool // acknowledged
}

func (w *world) startLateWriters(n int, rest time.Duration) *lateWriters {
	ctx, cancel := context.WithCancel(w.ctx)
	late := &lateWriters{stop: cancel, kept: map[string]bool{}}
	for i := range n {
		late.wg.Go(func() {
			for id := 10_000 + 100_000*i; ctx.Err() == nil; id++ {
				_, err := w.users.InsertOne(ctx, append(user(id)[:4:4], bson.E{Key: "version", Value: int64(1)}))
				if err == nil {
					late.mu.Lock()
					late.kept[userID(id).Hex()] = true
					late.mu.Unlock()
				} else if errors.Is(fencedError(err), ownership.ErrFenced) {
					late.refused.Add(1)
				}
				_ = pause(ctx, rest)
			}
		})
	}
	return late
}

func (late *lateWriters) acknowledged() int {
	late.mu.Lock()
	defer late.mu.Unlock()
	return len(late.kept)
}

func (late *lateWriters) stopAll() map[string]bool {
	late.stop()
	late.wg.Wait()
	return late.kept
}

// However many collections late writers recreate, undoing copies every acknowledged
// document back and leaves one collection that accepts writes.
func TestUndoUnderLateWritersLosesNothing(t *testing.T) {
	w := shadowing(t, 40)
	w.plan.Budgets.Hold = afterACrash
	var late *lateWriters
	sum, err := w.engine().Cutover(w.ctx, migrate.CutoverOptions{Step: func(step string) {
		switch step {
		case migrate.StepFence:
			late = w.startLateWriters(4, 100*time.Microsecond)
			waitFor(t, func() bool { return late.acknowledged() >= 8 })
		case migrate.StepDrain:
			time.Sleep(w.plan.Budgets.Hold) // a drain that is slower than the hold may last
		}
	}})
	if !errors.Is(err, migrate.ErrUndone) {
		t.Fatalf("%+v %v", sum, err)
	}
	kept := late.stopAll()
	if r := w.phase(); r.Phase != ownership.Shadowing || r.Hold {
		t.Fatalf("%+v", r)
	}
	if names := w.recreated(); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
	w.mustHome(kept)
	if _, err := w.users.InsertOne(w.ctx, user(5000)); err != nil {
		t.Error("MongoDB does not accept writes again: ", err)
	}
	if err := w.engine().Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
		t.Error(err)
	}
	w.verified()
	w.mustBeEqual("users")
	t.Logf("%d acknowledged, %d refused, %d collections recreated", len(kept), late.refused.Load(), sum.Recreated)
}

func (w *world) mustHome(ids map[string]bool) {
	w.t.Helper()
	cur, err := w.users.Find(w.ctx, bson.D{})
	if err != nil {
		w.t.Fatal(err)
	}
	home := map[string]bool{}
	for cur.Next(w.ctx) {
		home[cur.Current.Lookup("_id").ObjectID().Hex()] = true
	}
	for id := range ids {
		if !home[id] {
			w.t.Errorf("an acknowledged write is lost: %s", id)
		}
	}
}

// rename moves a collection as a process would that slept with the command in
// its hands.
func (w *world) rename(from, to string) {
	w.t.Helper()
	command := bson.D{{Key: "renameCollection", Value: "legacy." + from}, {Key: "to", Value: "legacy." + to}}
	if err := w.mongo.Database("admin").RunCommand(w.ctx, command).Err(); err != nil {
		w.t.Fatal(err)
	}
}

// A fence that a process left behind after another one undid its cut-over is removed by
// any run.
func TestAnOrphanedFenceIsRemoved(t *testing.T) {
	w := shadowing(t, 40)
	run := background(w.ctx, func(ctx context.Context) error { return w.engine().Run(ctx, migrate.RunOptions{}) })
	w.rename("users", "users__banyan_e1")
	if err := w.db.CreateView(w.ctx, "users", "users__banyan_e1", mongo.Pipeline{}); err != nil {
		t.Error(err)
	}
	waitFor(t, func() bool {
		_, err := w.users.UpdateByID(w.ctx, userID(1), rename("after the fence"))
		return err == nil && w.phase().Phase == ownership.Shadowing
	})
	if err := run(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	w.verified()
	w.mustBeEqual("users")
}

// The switch does not happen when the fence is gone.
func TestNoSwitchWithoutAFence(t *testing.T) {
	w := shadowing(t, 40)
	_, err := w.engine().Cutover(w.ctx, migrate.CutoverOptions{Step: func(step string) {
		if step == migrate.StepSwitch {
			if err := w.users.Drop(w.ctx); err != nil {
				t.Error(err)
			}
			w.rename("users__banyan_e1", "users")
		}
	}})
	if !errors.Is(err, migrate.ErrUndone) || w.phase().Owner != ownership.MongoDB {
		t.Errorf("%v %+v", err, w.phase())
	}
}

// A cut-over that finds another in progress waits for it: the first one switches, and
// both report that.
func TestTwoCutoversAtOnceMakeOneSwitch(t *testing.T) {
	w := shadowing(t, 40)
	second, before := make(chan error, 1), w.phase().Revision
	sum, err := w.engine().Cutover(w.ctx, migrate.CutoverOptions{Step: func(step string) {
		if step == migrate.StepDrain {
			go func() {
				_, err := w.engine().Cutover(w.ctx, migrate.CutoverOptions{})
				second <- err
			}()
			w.faults.awaitRequests(t, ownership.DefaultTable, 20) // it finds the first one
		}
	}})
	if err != nil || sum.Step != migrate.StepDone {
		t.Errorf("%+v %v", sum, err)
	}
	if err := <-second; err != nil {
		t.Error(err)
	}
	if changes := w.phase().Revision - before; changes != 4 {
		t.Errorf("the record changed %d times; to announce, hold, switch and release takes 4", changes)
	}
	if r := w.phase(); r.Owner != ownership.DynamoDB || r.Epoch != 2 || r.Hold {
		t.Errorf("%+v", r)
	}
	if _, err := w.users.InsertOne(w.ctx, user(5000)); !errors.Is(fencedError(err), ownership.ErrFenced) {
		t.Errorf("a write past the fence: %v", err)
	}
	w.mustBeEqual("users")
}
