package migrate_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/fence"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
)

// Whoever counts the items of a table that was migrated counts no deleted documents.
func TestNoTombstoneIsLeftBehindAMigration(t *testing.T) {
	w := shadowing(t, 30)
	if _, err := w.users.DeleteMany(w.ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$lt", Value: userID(5)}}}}); err != nil {
		t.Fatal(err)
	}
	now := migrate.CompleteOptions{Wait: time.Millisecond}
	if _, err := w.engine().Complete(w.ctx, now); !errors.Is(err, migrate.ErrNotSwitched) {
		t.Errorf("%v", err)
	}
	if _, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true}); err != nil {
		t.Fatal(err)
	}
	if n := len(w.scan("users")); n != 30 {
		t.Fatalf("%d items, want the tombstones among them", n)
	}
	l := &linktest.Link{Choose: at("DeleteItem", 3, linktest.KillAfter)}
	if _, err := w.process(l).Complete(l.Context(w.ctx), now); err == nil {
		t.Fatal("it was not killed")
	}
	done, err := w.engine().Complete(w.ctx, now)
	if err != nil || len(done.Left) != 3 {
		t.Fatalf("%+v %v", done, err)
	}
	if n := len(w.scan("users")); n != 25 {
		t.Errorf("%d items are left of 25", n)
	}
	if r := w.phase(); r.Phase != ownership.Complete || r.Owner != ownership.DynamoDB {
		t.Errorf("%+v", r)
	}
	w.mustBeEqual("users")
	for _, name := range done.Left {
		if err := w.db.Collection(name).Drop(w.ctx); err != nil {
			t.Fatal(err)
		}
	}
	if st, err := w.engine().Status(w.ctx); err != nil || len(st.Problems) > 0 {
		t.Errorf("status misses what was to be dropped: %q %v", st.Problems, err)
	}
}

// inMongoDB are the names of everything in the entity's database, but for what the server
// makes when its profiler records.
func (w *world) inMongoDB() []string {
	w.t.Helper()
	all, err := w.db.ListCollectionNames(w.ctx, bson.D{})
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(all)
	return slices.DeleteFunc(all, func(name string) bool { return name == "system.profile" })
}

// switchedToDrop is a world whose owner has switched, with a plan that exports and drops.
func switchedToDrop(t *testing.T) *world {
	w := shadowing(t, 30)
	if _, err := w.cutOver(); err != nil {
		t.Fatal(err)
	}
	w.plan.Complete = plan.Complete{ExportTo: t.TempDir(), Drop: true}
	return w
}

// After the end there is in MongoDB what was there before, but for the collection, and what
// is shared by all migrations of the database.
func TestACompletedMigrationLeavesNothingInMongoDB(t *testing.T) {
	w := newWorld(t)
	if _, err := w.db.Collection("users_of_others").InsertOne(w.ctx, bson.D{}); err != nil {
		t.Fatal(err)
	}
	before := w.inMongoDB()
	w.seed(30)
	w.encapsulate()
	if err := w.engine().Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
		t.Fatal(err)
	}
	w.verified()
	if _, err := w.cutOver(); err != nil {
		t.Fatal(err)
	}
	w.plan.Complete = plan.Complete{ExportTo: filepath.Join(t.TempDir(), "exports"), Drop: true}
	held := w.inMongoDB()
	would, err := w.engine().Complete(w.ctx, migrate.CompleteOptions{DryRun: true})
	if err != nil || would.Exported == nil || would.Exported.Documents != 30 || len(would.Dropped) != 3 || len(would.Left) > 0 {
		t.Fatalf("%+v %v", would, err)
	}
	if _, err := os.Stat(w.plan.Complete.ExportTo); !slices.Equal(w.inMongoDB(), held) ||
		!errors.Is(err, os.ErrNotExist) || w.phase().Phase != ownership.Switched {
		t.Fatalf("a dry run left %q, the directory of the export (%v), phase %s", w.inMongoDB(), err, w.phase().Phase)
	}
	done, err := w.engine().Complete(w.ctx, migrate.CompleteOptions{Wait: time.Millisecond})
	if err != nil || done.Exported == nil || done.Exported.Documents != 30 || !slices.Equal(done.Dropped, would.Dropped) || len(done.Left) > 0 {
		t.Fatalf("%+v %v", done, err)
	}
	after := slices.DeleteFunc(w.inMongoDB(), func(name string) bool { return strings.HasPrefix(name, "banyan_") })
	if !slices.Equal(after, before) {
		t.Errorf("there were %q, and are %q", before, after)
	}
	for _, shared := range []string{"banyan_claims", "banyan_barriers"} {
		if n, err := w.db.Collection(shared).CountDocuments(w.ctx, bson.D{}); err != nil || n > 0 {
			t.Errorf("%d documents in %s, %v", n, shared, err)
		}
	}
	if again, err := w.engine().Complete(w.ctx, migrate.CompleteOptions{Wait: time.Millisecond}); err != nil || len(again.Dropped) > 0 {
		t.Errorf("again: %+v %v", again, err)
	}
	if n := len(w.scan("users")); n != 30 {
		t.Errorf("%d items", n)
	}
}

// Whatever becomes of any of its commands, it ends when it is called again, and no late one
// drops what somebody has created since.
func TestACompletionWhoseCommandsAreKilledLostLateOrRepeated(t *testing.T) {
	t.Parallel()
	everyFate(t, []string{"drop!", "drop!", "drop!"}, func(t *testing.T, l *linktest.Link) {
		w := switchedToDrop(t)
		now := migrate.CompleteOptions{Wait: time.Millisecond}
		one, cancel := context.WithTimeout(w.ctx, 5*time.Second)
		_, _ = w.process(l).Complete(l.Context(one), now) // it may end in any way
		cancel()
		done, err := w.engine().Complete(w.ctx, now)
		if err != nil || len(done.Left) > 0 {
			t.Fatalf("%+v %v", done, err)
		}
		if _, err := w.users.InsertOne(w.ctx, bson.D{{Key: "_id", Value: "of somebody else"}}); err != nil {
			t.Fatal(err)
		}
		l.AwaitLate()
		if n, err := w.users.CountDocuments(w.ctx, bson.D{}); err != nil || n != 1 {
			t.Errorf("a late command dropped a collection of somebody else: %d documents, %v", n, err)
		}
	})
}

func TestNothingIsDroppedWithoutItsExport(t *testing.T) {
	w := switchedToDrop(t)
	held := w.inMongoDB()
	file := filepath.Join(t.TempDir(), "a file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.plan.Complete.ExportTo = file
	done, err := w.engine().Complete(w.ctx, migrate.CompleteOptions{Wait: time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "nothing was dropped") {
		t.Errorf("%+v %v", done, err)
	}
	if !slices.Equal(w.inMongoDB(), held) {
		t.Errorf("there were %q, and are %q", held, w.inMongoDB())
	}
}

func TestStraysAreNotDropped(t *testing.T) {
	w := switchedToDrop(t)
	if _, err := w.db.Collection("users__banyan_stray_g9").InsertOne(w.ctx, bson.D{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.engine().Complete(w.ctx, migrate.CompleteOptions{Wait: time.Millisecond}); !errors.Is(err, fence.ErrStray) {
		t.Errorf("%v", err)
	}
	if n, err := w.db.Collection("users__banyan_stray_g9").CountDocuments(w.ctx, bson.D{}); err != nil || n != 1 {
		t.Errorf("%d %v", n, err)
	}
}
