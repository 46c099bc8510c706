package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/matrix"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/backfill"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/verify"
)

// replaceable is how many users a collection has before somebody replaces it.
const replaceable = 40

// asReplaced are the users of a collection that somebody puts in the place of another: some
// are gone, some are new, some are others.
func asReplaced() (docs []any) {
	for i := replaceable / 2; i < replaceable*3/2; i++ {
		d := user(i)
		if i%2 == 0 {
			d[1].Value = fmt.Sprint("replaced ", i)
		}
		docs = append(docs, d)
	}
	return docs
}

// replacements are the ways to replace a collection as a whole.
var replacements = map[string]func(*world, string) error{
	"rename onto": func(w *world, name string) error {
		if _, err := w.db.Collection("tmp").InsertMany(w.ctx, asReplaced()); err != nil {
			return err
		}
		command := bson.D{{Key: "renameCollection", Value: "legacy.tmp"}, {Key: "to", Value: "legacy." + name}, {Key: "dropTarget", Value: true}}
		return w.mongo.Database("admin").RunCommand(w.ctx, command).Err()
	},
	"out": func(w *world, name string) error {
		if _, err := w.db.Collection("tmp").InsertMany(w.ctx, asReplaced()); err != nil {
			return err
		}
		_, err := w.db.Collection("tmp").Aggregate(w.ctx, mongo.Pipeline{{{Key: "$out", Value: name}}})
		return err
	},
	"drop and insert": func(w *world, name string) error {
		if err := w.db.Collection(name).Drop(w.ctx); err != nil {
			return err
		}
		_, err := w.db.Collection(name).InsertMany(w.ctx, asReplaced())
		return err
	},
	"rename away": func(w *world, name string) error {
		w.rename(name, "elsewhere")
		_, err := w.db.Collection(name).InsertMany(w.ctx, asReplaced())
		return err
	},
	"drop the database": func(w *world, name string) error {
		if err := w.db.Drop(w.ctx); err != nil {
			return err
		}
		_, err := w.db.Collection(name).InsertMany(w.ctx, asReplaced())
		return err
	},
	"through the public name": func(w *world, name string) error {
		public := w.db.Collection("users")
		if err := public.Drop(w.ctx); err != nil {
			return err
		}
		if _, err := public.InsertMany(w.ctx, asReplaced()); err != nil || name == "users" {
			return err
		}
		command := bson.D{{Key: "renameCollection", Value: "legacy.users"}, {Key: "to", Value: "legacy." + name}, {Key: "dropTarget", Value: true}}
		return w.mongo.Database("admin").RunCommand(w.ctx, command).Err()
	},
}

// ends runs a verb, which must end by itself, and returns its error.
func (w *world) ends(what string, verb func(context.Context) error) error {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, 3*time.Minute)
	defer cancel()
	err := verb(ctx)
	if ctx.Err() != nil {
		w.t.Errorf("%s does not end: %v", what, err)
	}
	return err
}

// mustSayReplaced checks that every verb ends and says that the collection was replaced,
// and what to do, and that nobody switches.
func (w *world) mustSayReplaced() {
	w.t.Helper()
	says := func(what string, err error) {
		w.t.Helper()
		if err == nil || !strings.Contains(err.Error(), "--from-start") && !strings.Contains(err.Error(), "abandon") {
			w.t.Errorf("%s says %v", what, err)
		}
	}
	says("run", w.ends("run", func(ctx context.Context) error { return w.engine().Run(ctx, migrate.RunOptions{}) }))
	says("verify", w.ends("verify", func(ctx context.Context) error {
		_, err := w.engine().Verify(ctx, verify.Options{})
		return err
	}))
	says("cutover", w.ends("cutover", func(ctx context.Context) error {
		_, err := w.engine().Cutover(ctx, cutover.Options{NoMembers: true})
		return err
	}))
	says("status", w.ends("status", func(ctx context.Context) error {
		st, err := w.engine().Status(ctx)
		if err != nil {
			return err
		}
		return errors.New(strings.Join(st.Problems, "; "))
	}))
	if r := w.phase(); r.Owner != ownership.MongoDB || r.Hold || r.Move != nil {
		w.t.Errorf("%+v", r)
	}
}

// mustBeginAgain goes on as an operator would: it takes what stands there now as the source,
// and switches.
func (w *world) mustBeginAgain() {
	w.t.Helper()
	run := func() error {
		return w.ends("run --from-start", func(ctx context.Context) error {
			return w.engine().Run(ctx, migrate.RunOptions{FromStart: true, UntilShadowing: true})
		})
	}
	if err := run(); err != nil {
		w.t.Fatal(err)
	}
	v, err := w.engine().Verify(w.ctx, verify.Options{Repair: true})
	if err != nil || v.Mismatches > 0 {
		w.t.Fatalf("%+v %v", v, err)
	}
	for _, name := range w.strays() {
		if err := w.engine().Discard(w.ctx, name); err != nil {
			w.t.Error(err)
		}
	}
	if sum, err := w.cutOver(); err != nil || sum.Step != cutover.StepDone {
		w.t.Fatalf("%+v %v", sum, err)
	}
	if n, err := w.db.Collection("users").CountDocuments(w.ctx, bson.D{}); err != nil || n != replaceable {
		w.t.Errorf("%d documents, %v", n, err)
	}
	w.mustBeEqual("users")
}

// everyReplacement runs a test for every way to replace a collection, or for those named.
func everyReplacement(t *testing.T, test func(t *testing.T, replace func(*world, string) error), only ...string) {
	if len(only) == 0 {
		only = slices.Collect(maps.Keys(replacements))
	}
	drawn := matrix.Some(1, len(only))
	for i, name := range only {
		t.Run(name, func(t *testing.T) {
			drawn.Skip(t, i)
			test(t, replacements[name])
		})
	}
}

// Old data was switched behind a green verification: a rename onto the collection and $out
// are no change events of its documents (SERVER-53478), and a drop with a re-insert passed
// where the name exists again.
func TestReplacedAfterTheVerification(t *testing.T) {
	everyReplacement(t, func(t *testing.T, replace func(*world, string) error) {
		w := shadowing(t, replaceable)
		if err := replace(w, w.users.Name()); err != nil {
			t.Fatal(err)
		}
		w.mustSayReplaced()
		w.mustBeginAgain()
	})
}

// The first verb after the replacement is the cut-over.
func TestReplacedImmediatelyBeforeTheCutover(t *testing.T) {
	everyReplacement(t, func(t *testing.T, replace func(*world, string) error) {
		w := shadowing(t, replaceable)
		if err := replace(w, w.users.Name()); err != nil {
			t.Fatal(err)
		}
		err := w.ends("cutover", func(ctx context.Context) error {
			_, err := w.engine().Cutover(ctx, cutover.Options{NoMembers: true})
			return err
		})
		if err == nil || w.phase().Owner != ownership.MongoDB {
			t.Fatalf("%v %+v", err, w.phase())
		}
		w.mustSayReplaced()
		w.mustBeginAgain()
	}, "rename onto", "out", "drop the database")
}

// A run that follows ends by itself: it does not burn a processor at a stream that was
// invalidated (nats-connector#13).
func TestReplacedWhileARunFollows(t *testing.T) {
	everyReplacement(t, func(t *testing.T, replace func(*world, string) error) {
		w := shadowing(t, replaceable)
		done := make(chan error, 1)
		go func() {
			done <- w.ends("run", func(ctx context.Context) error { return w.engine().Run(ctx, migrate.RunOptions{}) })
		}()
		waitFor(t, func() bool { st, err := w.engine().Status(w.ctx); return err == nil && st.Changes.Followed })
		if err := replace(w, w.users.Name()); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err == nil || !strings.Contains(err.Error(), "--from-start") {
			t.Errorf("%v", err)
		}
		w.mustSayReplaced()
		w.mustBeginAgain()
	})
}

// While it is copied, by a run that goes on or one that was interrupted.
func TestReplacedWhileItIsCopied(t *testing.T) {
	t.Parallel()
	for _, alive := range []bool{true, false} {
		t.Run(fmt.Sprint("alive ", alive), func(t *testing.T) {
			everyReplacement(t, func(t *testing.T, replace func(*world, string) error) {
				w := newWorld(t)
				w.seed(replaceable)
				w.encapsulate()
				small := func(c *migrate.Config) { c.RangeSize, c.ChunkSize, c.Limits = 10, 5, backfill.NewLimits(4, 10) }
				ctx, interrupt := context.WithCancel(w.ctx)
				defer interrupt()
				done := make(chan error, 1)
				go func() {
					done <- w.ends("run", func(context.Context) error { return w.engine(small).Run(ctx, migrate.RunOptions{}) })
				}()
				waitFor(t, func() bool { st, err := w.engine().Status(w.ctx); return err == nil && st.Copied.Documents > 0 })
				if !alive {
					interrupt()
					<-done
				}
				if err := replace(w, w.users.Name()); err != nil {
					t.Fatal(err)
				}
				if alive {
					if err := <-done; err == nil || !strings.Contains(err.Error(), "--from-start") {
						t.Errorf("%v", err)
					}
				}
				if err := w.ends("run", func(ctx context.Context) error { return w.engine().Run(ctx, migrate.RunOptions{}) }); err == nil ||
					!strings.Contains(err.Error(), "--from-start") {
					t.Errorf("%v", err)
				}
				w.mustBeginAgain()
			})
		})
	}
}

// heldSteps are those of a cut-over at which somebody may come between.
var heldSteps = []string{cutover.StepPreTail, cutover.StepAnnounce, cutover.StepHold, cutover.StepFence, cutover.StepDrain, cutover.StepTail,
	cutover.StepConfirm}

// Within a cut-over, before and behind its fence and at each of its steps, the collection
// under its name of that step.
func TestReplacedWithinTheCutover(t *testing.T) {
	t.Parallel()
	drawn := matrix.Some(2, len(heldSteps))
	for i, at := range heldSteps {
		var only []string
		if at != cutover.StepHold && at != cutover.StepDrain {
			only = []string{"rename onto"}
		}
		t.Run(at, func(t *testing.T) {
			drawn.Skip(t, i)
			everyReplacement(t, func(t *testing.T, replace func(*world, string) error) {
				w := shadowing(t, replaceable)
				w.plan.Budgets.Hold = afterACrash
				var replaceErr error
				err := w.ends("cutover", func(ctx context.Context) error {
					_, err := w.engine().Cutover(ctx, cutover.Options{NoMembers: true, Step: func(step string) {
						if step == at {
							replaceErr = replace(w, w.located())
						}
					}})
					return err
				})
				if replaceErr != nil {
					t.Fatal(replaceErr)
				}
				if err == nil || w.phase().Owner != ownership.MongoDB {
					t.Fatalf("%v %+v", err, w.phase())
				}
				w.mustSayReplaced()
				w.mustBeginAgain()
			}, only...)
		})
	}
}

// located is the name under which the collection stands now.
func (w *world) located() string {
	w.t.Helper()
	all, err := w.db.ListCollectionNames(w.ctx, bson.D{{Key: "type", Value: "collection"},
		{Key: "name", Value: bson.Regex{Pattern: "^users($|__banyan_g)"}}})
	if err != nil || len(all) != 1 {
		w.t.Errorf("%v %v", all, err)
		return "users"
	}
	return all[0]
}
