package migrate_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/infra/matrix"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/backfill"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/fence"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// While an encapsulation looks for other writers, the collection is replaced: nothing is
// fenced that was not looked at, and calling it again takes what stands there then.
func TestReplacedWhileAnEncapsulationWatches(t *testing.T) {
	everyReplacement(t, func(t *testing.T, replace func(*world, string) error) {
		w := newWorld(t)
		w.seed(replaceable)
		var once sync.Once
		e := w.process(&linktest.Link{Choose: func(c linktest.Command) linktest.Fate {
			if c.Name == "getMore" || c.Name == "renameCollection" { // of the watched stream, or at the latest moment
				once.Do(func() {
					if err := replace(w, "users"); err != nil {
						t.Error(err)
					}
				})
			}
			return linktest.Deliver
		}})
		err := w.ends("encapsulate", func(ctx context.Context) error {
			_, err := e.Encapsulate(ctx, willing)
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "run `banyan-migrate encapsulate` again") && !errors.Is(err, migrate.ErrRefused) {
			t.Errorf("%v", err)
		}
		if r := w.phase(); r.Hold || r.Move != nil || r.Collection != "" {
			t.Errorf("%+v", r)
		}
		w.encapsulate()
		if err := w.engine().Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
			t.Fatal(err)
		}
		w.verified()
		if _, err := w.cutOver(); err != nil {
			t.Fatal(err)
		}
		w.mustBeEqual("users")
	})
}

// restoreOver does to the public name what mongorestore --drop does.
func (w *world) restoreOver(name string) error {
	if err := w.db.Collection(name).Drop(w.ctx); err != nil {
		return err
	}
	_, err := w.db.Collection(name).InsertMany(w.ctx, asReplaced())
	return err
}

// The ways to replace a collection that the server refuses for a view.
func TestTheViewIsNotReplaced(t *testing.T) {
	mongodbtest.Lacks(t, "SecantusDB", "replaces a view")
	w := shadowing(t, replaceable)
	for _, name := range []string{"rename onto", "out"} {
		if err := replacements[name](w, "users"); err == nil {
			t.Errorf("%s replaces a view", name)
		}
		if err := w.db.Collection("tmp").Drop(w.ctx); err != nil {
			t.Fatal(err)
		}
	}
	w.mustStand()
	if _, err := w.cutOver(); err != nil {
		t.Error(err)
	}
	w.mustBeEqual("users")
}

// mustKeepTheRestored checks that what somebody restored under the public name is kept and
// shown, stops cut-overs until it is discarded, and costs the collection nothing.
func (w *world) mustKeepTheRestored() {
	w.t.Helper()
	_, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true})
	if err == nil || !strings.Contains(err.Error(), "banyan-migrate strays") {
		w.t.Fatalf("cutover says %v", err)
	}
	shown, both := 0, 0
	if n, err := w.engine().Strays(w.ctx, func(d fence.StrayDocument) error {
		if shown++; d.Current != nil {
			both++
		}
		return nil
	}); err != nil || len(n) != 1 || shown != replaceable || both != replaceable/2 {
		w.t.Errorf("strays %v with %d documents, %d of them beside the collection's: %v", n, shown, both, err)
	}
	for _, name := range w.strays() {
		if err := w.engine().Discard(w.ctx, name); err != nil {
			w.t.Error(err)
		}
	}
	w.follow()
	if _, err := w.users.UpdateByID(w.ctx, userID(3), rename("still here")); err != nil {
		w.t.Error(err)
	}
	w.verified()
	if sum, err := w.cutOver(); err != nil || sum.Step != cutover.StepDone {
		w.t.Fatalf("%+v %v", sum, err)
	}
	if n, err := w.db.Collection("users").CountDocuments(w.ctx, bson.D{}); err != nil || n != replaceable {
		w.t.Errorf("%d documents, %v", n, err)
	}
	w.mustBeEqual("users")
}

// mongorestore --drop drops the view and creates a collection in its place: a stray.
func TestRestoredOverThePublicName(t *testing.T) {
	t.Parallel()
	t.Run("verified", func(t *testing.T) {
		w := shadowing(t, replaceable)
		if err := w.restoreOver("users"); err != nil {
			t.Fatal(err)
		}
		w.mustKeepTheRestored()
	})
	t.Run("while a run copies", func(t *testing.T) {
		w := newWorld(t)
		w.seed(replaceable)
		w.encapsulate()
		small := func(c *migrate.Config) { c.RangeSize, c.ChunkSize, c.Limits = 10, 5, backfill.NewLimits(4, 20) }
		done := make(chan error, 1)
		go func() {
			done <- w.ends("run", func(ctx context.Context) error {
				return w.engine(small).Run(ctx, migrate.RunOptions{UntilShadowing: true})
			})
		}()
		waitFor(t, func() bool { st, err := w.engine().Status(w.ctx); return err == nil && st.Copied.Documents > 0 })
		if err := w.restoreOver("users"); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		w.verified()
		w.mustKeepTheRestored()
	})
	drawn := matrix.Some(1, len(heldSteps))
	for i, at := range heldSteps {
		t.Run(at, func(t *testing.T) {
			drawn.Skip(t, i)
			w := shadowing(t, replaceable)
			var restoreErr error
			_, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true, Step: func(step string) {
				if step == at {
					restoreErr = w.restoreOver("users")
				}
			}})
			if restoreErr != nil {
				t.Fatal(restoreErr)
			}
			if err == nil || w.phase().Owner != ownership.MongoDB {
				t.Fatalf("%v %+v", err, w.phase())
			}
			w.mustKeepTheRestored()
		})
	}
}

// collMod changes what documents may be, or which of them expire: it ends a verification,
// not the copy.
func TestModifiedAfterTheVerification(t *testing.T) {
	t.Parallel()
	modify := func(w *world) error {
		return w.db.RunCommand(w.ctx, bson.D{{Key: "collMod", Value: w.located()},
			{Key: "validator", Value: bson.D{{Key: "name", Value: bson.D{{Key: "$exists", Value: true}}}}}}).Err()
	}
	after := func(t *testing.T, w *world, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "verif") || w.phase().Owner != ownership.MongoDB {
			t.Fatalf("%v %+v", err, w.phase())
		}
		_, err = w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true})
		if err == nil || !strings.Contains(err.Error(), "verif") {
			t.Errorf("%v", err)
		}
		w.verified()
		if _, err := w.cutOver(); err != nil {
			t.Error(err)
		}
		w.mustBeEqual("users")
	}
	t.Run("verified", func(t *testing.T) {
		w := shadowing(t, replaceable)
		if err := modify(w); err != nil {
			t.Fatal(err)
		}
		_, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true})
		after(t, w, err)
	})
	drawn := matrix.Some(1, 3)
	for i, at := range []string{cutover.StepPreTail, cutover.StepHold, cutover.StepDrain} {
		t.Run(at, func(t *testing.T) {
			drawn.Skip(t, i)
			w := shadowing(t, replaceable)
			_, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true, Step: func(step string) {
				if step == at {
					if err := modify(w); err != nil {
						t.Error(err)
					}
				}
			}})
			after(t, w, err)
		})
	}
}

// A late collMod points a view elsewhere, or back: it is found, and put right.
func TestAViewThatIsPointedElsewhereIsFoundAndMended(t *testing.T) {
	w := shadowing(t, replaceable)
	if _, err := w.db.Collection("elsewhere").InsertOne(w.ctx, user(1)); err != nil {
		t.Fatal(err)
	}
	if err := w.db.RunCommand(w.ctx, bson.D{{Key: "collMod", Value: "users"}, {Key: "viewOn", Value: "elsewhere"},
		{Key: "pipeline", Value: bson.A{}}}).Err(); err != nil {
		t.Fatal(err)
	}
	if all := w.astray(); len(all) != 1 || !strings.Contains(all[0], "does not lead to users__banyan_g1") {
		t.Errorf("%q", all)
	}
	if _, err := w.cutOver(); err != nil {
		t.Error(err)
	}
	w.mustStand()
	w.mustBeEqual("users")
}

// The way on after a replacement, for whoever does not want to begin again.
func TestReplacedAndAbandoned(t *testing.T) {
	mustAbandon := func(t *testing.T, w *world) {
		t.Helper()
		if err := w.ends("abandon", func(ctx context.Context) error {
			_, err := w.engine().Abandon(ctx)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if n, err := w.db.Collection("users").CountDocuments(w.ctx, bson.D{}); err != nil || n != replaceable {
			t.Errorf("%d documents, %v", n, err)
		}
		if _, err := w.db.Collection("users").UpdateByID(w.ctx, userID(replaceable), rename("at home")); err != nil {
			t.Error(err)
		}
	}
	everyReplacement(t, func(t *testing.T, replace func(*world, string) error) {
		w := shadowing(t, replaceable)
		if err := replace(w, w.users.Name()); err != nil {
			t.Fatal(err)
		}
		mustAbandon(t, w)
	})
	t.Run("within the cutover", func(t *testing.T) {
		w := shadowing(t, replaceable)
		if _, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true, Step: func(step string) {
			if step == cutover.StepDrain {
				if err := replacements["out"](w, w.located()); err != nil {
					t.Error(err)
				}
			}
		}}); err == nil {
			t.Fatal("it switched")
		}
		mustAbandon(t, w)
	})
}
