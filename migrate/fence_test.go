package migrate_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/fence"
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
				_ = pause(ctx, slower*rest)
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

// Whoever writes under a name that the collection has left, what MongoDB acknowledged
// is in the collection or stands as a stray, and one collection accepts writes again.
func TestUndoUnderLateWritersLosesNothing(t *testing.T) {
	mongodbtest.Lacks(t, "SecantusDB", "acknowledges writes to a view and loses them")
	w := shadowing(t, 40)
	w.plan.Budgets.Hold = afterACrash
	var late *lateWriters
	sum, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true, Step: func(step string) {
		switch step {
		case cutover.StepFence:
			late = w.startLateWriters(4, 2*time.Millisecond)
			waitFor(t, func() bool { return late.acknowledged() >= 8 })
		case cutover.StepDrain:
			time.Sleep(w.plan.Budgets.Hold) // a drain that is slower than the hold may last
		}
	}})
	if !errors.Is(err, cutover.ErrUndone) {
		t.Fatalf("%+v %v", sum, err)
	}
	kept := late.stopAll()
	if r := w.phase(); r.Phase != ownership.Shadowing || r.Hold || r.Move != nil {
		t.Fatalf("%+v", r)
	}
	w.mustKeep(kept)
	w.follow()
	if _, err := w.users.InsertOne(w.ctx, user(5000)); err != nil {
		t.Error("MongoDB does not accept writes again: ", err)
	}
	strays, err := w.engine().Strays(w.ctx, func(d fence.StrayDocument) error { return nil })
	if err != nil {
		t.Error(err)
	}
	for _, name := range w.strays() { // none, where nobody came between
		_, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true})
		if !errors.Is(err, cutover.ErrRefused) || !strings.Contains(err.Error(), "set aside") {
			t.Errorf("cut over with the strays %s: %v", strays, err)
		}
		if err := w.engine().Discard(w.ctx, name); err != nil {
			t.Error(err)
		}
	}
	w.verified()
	w.plan.Budgets.Hold = longHold
	if _, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true}); err != nil {
		t.Error(err)
	}
	w.mustBeEqual("users")
	t.Logf("%d acknowledged, %d refused, strays %s", len(kept), late.refused.Load(), strays)
}

// strays are the names of the collections that were set aside.
func (w *world) strays() []string {
	w.t.Helper()
	names, err := w.db.ListCollectionNames(w.ctx, bson.D{{Key: "name", Value: bson.Regex{Pattern: "^users__banyan_stray_"}}})
	if err != nil {
		w.t.Fatal(err)
	}
	return names
}

// mustKeep checks that documents are in the collection, or stand as strays.
func (w *world) mustKeep(ids map[string]bool) {
	w.t.Helper()
	there := map[string]bool{}
	for _, name := range append(w.strays(), "users") {
		cur, err := w.db.Collection(name).Find(w.ctx, bson.D{})
		if err != nil {
			w.t.Fatal(err)
		}
		for cur.Next(w.ctx) {
			there[cur.Current.Lookup("_id").ObjectID().Hex()] = true
		}
	}
	for id := range ids {
		if !there[id] {
			w.t.Errorf("an acknowledged write is lost: %s", id)
		}
	}
}

// rename moves a collection as a process would that slept with the command in
// its hands.
func (w *world) rename(from, to string) {
	w.t.Helper()
	command := bson.D{{Key: "renameCollection", Value: w.db.Name() + "." + from}, {Key: "to", Value: w.db.Name() + "." + to}}
	if err := w.mongo.Database("admin").RunCommand(w.ctx, command).Err(); err != nil {
		w.t.Fatal(err)
	}
}

// The switch does not happen when somebody takes the fence away.
func TestNoSwitchWithoutAFence(t *testing.T) {
	w := shadowing(t, 40)
	_, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true, Step: func(step string) {
		if step == cutover.StepConfirm {
			if err := w.users.Drop(w.ctx); err != nil {
				t.Error(err)
			}
			w.rename("users__banyan_g2", "users__banyan_g1")
		}
	}})
	if !errors.Is(err, cutover.ErrUndone) || w.phase().Owner != ownership.MongoDB {
		t.Errorf("%v %+v", err, w.phase())
	}
}

// A cut-over that finds another in progress waits for it: the first one switches, and
// both report that.
func TestTwoCutoversAtOnceMakeOneSwitch(t *testing.T) {
	mongodbtest.Lacks(t, "SecantusDB", "acknowledges writes to a view and loses them")
	w := shadowing(t, 40)
	second, before := make(chan error, 1), w.phase().Revision
	sum, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true, Step: func(step string) {
		if step == cutover.StepDrain {
			go func() {
				_, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true})
				second <- err
			}()
			w.faults.awaitRequests(t, ownership.DefaultTable, 20) // it finds the first one
		}
	}})
	if err != nil || sum.Step != cutover.StepDone {
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

// A view that somebody drops after the switch is missed by status, and put back by cutover.
func TestAViewThatIsLostAfterTheSwitchIsPutBack(t *testing.T) {
	w := shadowing(t, 3)
	if _, err := w.cutOver(); err != nil {
		t.Fatal(err)
	}
	if err := w.db.Collection("users").Drop(w.ctx); err != nil {
		t.Fatal(err)
	}
	if all := w.astray(); len(all) != 1 || !strings.Contains(all[0], "the name users is vacant") || !strings.Contains(all[0], "banyan-migrate cutover") {
		t.Errorf("%q", all)
	}
	if _, err := w.engine().Cutover(w.ctx, cutover.Options{DryRun: true}); err != nil || len(w.astray()) == 0 {
		t.Errorf("a dry run wrote, or failed: %v", err)
	}
	if _, err := w.cutOver(); err != nil {
		t.Error(err)
	}
	w.mustStand()
}
