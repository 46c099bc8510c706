package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/binding"
	"github.com/banyan-fig/banyan/migrate/changes"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/source"
	"github.com/banyan-fig/banyan/migrate/verify"
)

// A cut-over that dies when it has only announced the move leaves the collection where it
// is: to abandon gives the name back all the same.
func TestAbandonAfterACutoverThatDiedAnnouncing(t *testing.T) {
	w := shadowing(t, 20)
	w.plan.Budgets.Hold = afterACrash
	l := &linktest.Link{Choose: at("owner", 1, linktest.KillAfter)}
	if _, err := w.process(l).Cutover(l.Context(w.ctx), cutover.Options{NoMembers: true}); err == nil || !l.Killed() {
		t.Fatal("it was not killed")
	}
	if r := w.phase(); r.Move == nil || r.Hold {
		t.Fatalf("%+v", r)
	}
	if _, err := w.engine().Abandon(w.ctx); err != nil {
		t.Fatal(err)
	}
	w.mustBeAbandoned(20)
}

func (w *world) mustBeAbandoned(documents int64) {
	w.t.Helper()
	if r := w.phase(); r.Phase != ownership.Abandoned || r.Hold || r.Move != nil || r.Collection != "" {
		w.t.Errorf("%+v", r)
	}
	w.mustBeHome(documents)
}

// An encapsulation that dies while it gives the public name back is undone first by the
// next one: the collection is encapsulated under a name that it never had.
func TestEncapsulateAfterOneThatDiedGivingBack(t *testing.T) {
	t.Parallel()
	for _, nth := range []int{3, 4} { // to give back, given back
		t.Run(fmt.Sprint(nth), func(t *testing.T) { mustEncapsulateAfterDeathAt(t, nth) })
	}
}

func mustEncapsulateAfterDeathAt(t *testing.T, nth int) {
	w := newWorld(t)
	w.seed(20)
	w.plan.Budgets.Hold = afterACrash
	taken := w.db.Collection("users__banyan_g1")
	dies := at("owner", nth, linktest.KillBefore)
	l := &linktest.Link{Choose: func(c linktest.Command) linktest.Fate {
		if is(c, "owner") && strings.Contains(string(c.Body), `"hold":{"BOOL":true}`) { // from here on it can only undo
			if _, err := taken.InsertOne(w.ctx, bson.D{{Key: "x", Value: 1}}); err != nil {
				t.Error(err)
			}
		}
		return dies(c)
	}}
	if _, err := w.process(l).Encapsulate(l.Context(w.ctx), willing); err == nil || !l.Killed() {
		t.Fatalf("it was not killed: %v", err)
	}
	if err := taken.Drop(w.ctx); err != nil {
		t.Fatal(err)
	}
	w.encapsulate()
	if r := w.phase(); r.Phase != ownership.Encapsulated || r.Collection == "users" || r.Hold || r.Move != nil {
		t.Errorf("%+v", r)
	}
	w.mustStand()
}

// What is wrong with the names right after an encapsulation does not undo it, since the
// members already use the new name; it is told, and mended by the same verb.
func TestAnEncapsulationThatIsDisturbedAtItsEndStands(t *testing.T) {
	w := newWorld(t)
	w.seed(20)
	var owner atomic.Int64
	l := &linktest.Link{Choose: func(c linktest.Command) linktest.Fate {
		if is(c, "owner") && owner.Add(1) == 3 { // adopts the name
			if err := w.db.Collection("users").Drop(w.ctx); err != nil {
				t.Error(err)
			}
		}
		return linktest.Deliver
	}}
	if _, err := w.process(l).Encapsulate(l.Context(w.ctx), willing); err == nil || !strings.Contains(err.Error(), "encapsulate") {
		t.Errorf("%v", err)
	}
	if r := w.phase(); r.Phase != ownership.Encapsulated || r.Collection != "users__banyan_g1" || r.Hold || r.Move != nil {
		t.Errorf("%+v", r)
	}
	w.encapsulate()
	w.mustStand()
	if err := w.users.Drop(w.ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := w.engine().Encapsulate(w.ctx, willing); !errors.Is(err, source.ErrGone) {
		t.Errorf("encapsulated, although the collection is gone: %v", err)
	}
}

// While an abandonment is not finished, no other verb says that all is well.
func TestEncapsulateSaysThatAnAbandonmentIsNotFinished(t *testing.T) {
	w := newWorld(t)
	w.seed(20)
	w.encapsulate()
	w.plan.Budgets.Hold = afterACrash
	l := &linktest.Link{Choose: at("owner", 1, linktest.KillAfter)}
	if _, err := w.process(l).Abandon(l.Context(w.ctx)); err == nil || !l.Killed() {
		t.Fatal("it was not killed")
	}
	if _, err := w.engine().Encapsulate(w.ctx, willing); err == nil || !strings.Contains(err.Error(), "banyan-migrate abandon") {
		t.Errorf("%v", err)
	}
	if _, err := w.engine().Abandon(w.ctx); err != nil {
		t.Fatal(err)
	}
	w.mustBeAbandoned(20)
}

// A plan whose source was edited gives no other collection's name back.
func TestAbandonWithAnotherSourceIsRefused(t *testing.T) {
	w := newWorld(t)
	w.seed(20)
	w.encapsulate()
	if _, err := w.db.Collection("accounts").InsertOne(w.ctx, bson.D{{Key: "x", Value: 1}}); err != nil {
		t.Fatal(err)
	}
	before := w.phase()
	for what, change := range map[string]func(*migrate.Config){
		"collection": func(c *migrate.Config) {
			edited := *c.Plan
			edited.Source.Collection = "accounts"
			c.Plan = &edited
		},
		"database": func(c *migrate.Config) { c.Database = "other" },
	} {
		if _, err := w.engine(change).Abandon(w.ctx); !errors.Is(err, binding.ErrDiffers) {
			t.Errorf("another %s: %v", what, err)
		}
	}
	if r := w.phase(); r.Revision != before.Revision {
		t.Errorf("%+v", r)
	}
	if _, err := w.engine().Abandon(w.ctx); err != nil {
		t.Fatal(err)
	}
	w.mustBeAbandoned(20)
}

// A migration that was abandoned while a run went on can be begun again.
func TestEncapsulateAndRunAfterAnAbandonment(t *testing.T) {
	w := shadowing(t, 20)
	ended := background(w.ctx, func(ctx context.Context) error { return w.engine().Run(ctx, migrate.RunOptions{}) })
	waitFor(t, func() bool { st, err := w.engine().Status(w.ctx); return err == nil && st.Changes.Followed })
	if _, err := w.engine().Abandon(w.ctx); err != nil {
		t.Fatal(err)
	}
	w.mustBeAbandoned(20)
	waitFor(t, func() bool { st, err := w.engine().Status(w.ctx); return err == nil && len(st.Workers) == 0 })
	if err := ended(); !errors.Is(err, changes.ErrGivenBack) {
		t.Error(err)
	}
	w.encapsulate()
	if err := w.engine().Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
		t.Fatal(err)
	}
	w.verified()
}

// Whatever the URI prefers to read from, and to whom it says that it belongs: a migration
// looks at the primary. Here a secondary cannot be reached at all.
func TestAMigrationHeedsNoReadPreference(t *testing.T) {
	w := newWorld(t)
	w.seed(20)
	w.uri += "&readPreference=secondary&w=1&retryWrites=false&appName=mine"
	client, err := w.dial(nil)("banyan-migrate users", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	e := w.engine(func(c *migrate.Config) { c.Mongo, c.Dial = client, w.dial(nil) })
	ctx, cancel := context.WithTimeout(w.ctx, 3*time.Minute)
	defer cancel()
	if _, err := e.Encapsulate(ctx, willing); err != nil {
		t.Fatal(err)
	}
	if err := e.Run(ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Verify(ctx, verify.Options{}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { // for a transaction that a reader could not end in time on a busy machine
		_, err := e.Cutover(ctx, cutover.Options{NoMembers: true, DryRun: true})
		if err != nil && !strings.Contains(err.Error(), "a transaction is open") {
			t.Fatal(err)
		}
		return err == nil
	})
	if _, err := e.Abandon(ctx); err != nil {
		t.Fatal(err)
	}
	w.mustBeAbandoned(20)
}
