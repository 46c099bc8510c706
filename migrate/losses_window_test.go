package migrate_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/infra/matrix"
	mongodbserver "github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/fence"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// upserted is how many users a stranger upserts: replaceable of them exist.
const upserted = replaceable + 4

// withStranger is a world in which a stranger comes between two commands: once armed with a
// name, it upserts users under it, and inserts one with an e-mail that exists, immediately
// before a view is created there.
func withStranger(t *testing.T) (w *world, arm func(name string)) {
	var at atomic.Pointer[string]
	w = newWorld(t, func(c *mongodbserver.Config) {
		c.Fault = func(command, namespace string) mongodbserver.Fault {
			name := at.Load()
			if name == nil || command != "create" || namespace != "legacy."+*name || !at.CompareAndSwap(name, nil) {
				return mongodbserver.Fault{}
			}
			stray := w.db.Collection(*name)
			for i := range upserted {
				if _, err := stray.UpdateOne(w.ctx, byID(i), bson.D{{Key: "$inc", Value: bson.D{{Key: "logins", Value: 1}}}},
					options.UpdateOne().SetUpsert(true)); err != nil {
					t.Error(err)
				}
			}
			taken := user(999)
			taken[2].Value = "u1@example.com" // that of user 1, whom the vacant name does not have
			if _, err := stray.InsertOne(w.ctx, taken); err != nil {
				t.Error(err)
			}
			return mongodbserver.Fault{}
		}
	})
	return w, func(name string) { at.Store(&name) }
}

// mustKeepStrays checks that what a stranger wrote is kept and shown beside what the
// collection has, stops cut-overs until it is discarded, and has changed nothing.
func (w *world) mustKeepStrays() {
	w.t.Helper()
	w.follow()
	if n, err := w.users.CountDocuments(w.ctx, bson.D{{Key: "logins", Value: bson.D{{Key: "$exists", Value: true}}}}); err != nil || n != 0 {
		w.t.Errorf("%d documents of the collection were changed: %v", n, err)
	}
	if n, err := w.users.CountDocuments(w.ctx, bson.D{}); err != nil || n != replaceable {
		w.t.Errorf("%d documents: %v", n, err)
	}
	alone, both := 0, 0
	n, err := w.engine().Strays(w.ctx, func(d fence.StrayDocument) error {
		if _, there := d.Stray.Lookup("logins").AsInt64OK(); d.Current != nil && there && !d.Current.Lookup("name").IsZero() {
			both++
		} else if d.Current == nil {
			alone++
		}
		return nil
	})
	if err != nil || len(n) != 1 || both != replaceable || alone != upserted-replaceable+1 {
		w.t.Errorf("the strays %v show %d documents beside the collection's, %d alone: %v", n, both, alone, err)
	}
	if w.phase().Phase != ownership.Shadowing {
		return
	}
	w.verified()
	if _, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true}); err == nil || !strings.Contains(err.Error(), "banyan-migrate strays") {
		w.t.Errorf("cutover with a stray says %v", err)
	}
	for _, name := range w.strays() {
		if err := w.engine().Discard(w.ctx, name); err != nil {
			w.t.Error(err)
		}
	}
	w.verified()
	if sum, err := w.cutOver(); err != nil || sum.Step != cutover.StepDone {
		w.t.Fatalf("%+v %v", sum, err)
	}
	w.mustBeEqual("users")
}

// validated gives the collection a validator that a stranger's documents do not pass.
func (w *world) validated() {
	w.t.Helper()
	if err := w.db.RunCommand(w.ctx, bson.D{{Key: "collMod", Value: "users"},
		{Key: "validator", Value: bson.D{{Key: "email", Value: bson.D{{Key: "$type", Value: "string"}}}}}}).Err(); err != nil {
		w.t.Fatal(err)
	}
	w.plan.Acknowledge = append(w.plan.Acknowledge, "validator")
}

// withAndWithoutValidator runs a test for a collection of either kind. A stray does not have
// the validator: an undo that merged it failed with error 121 for good.
func withAndWithoutValidator(t *testing.T, test func(t *testing.T, w *world, arm func(name string))) {
	drawn := matrix.Some(1, 2)
	for i, name := range []string{"no validator", "validator"} {
		t.Run(name, func(t *testing.T) {
			drawn.Skip(t, i)
			w, arm := withStranger(t)
			w.seed(replaceable)
			if i == 1 {
				w.validated()
			}
			test(t, w, arm)
		})
	}
}

// Between rename and view a stranger's upserts made documents that replaced whole ones.
func TestStrayOfAnEncapsulation(t *testing.T) {
	withAndWithoutValidator(t, func(t *testing.T, w *world, arm func(string)) {
		arm("users")
		if _, err := w.engine().Encapsulate(w.ctx, willing); !errors.Is(err, fence.ErrStray) || w.phase().Phase != ownership.Encapsulated {
			t.Fatalf("%v %+v", err, w.phase())
		}
		w.mustKeepStrays()
		if err := w.engine().Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
			t.Fatal(err)
		}
		w.mustKeepStrays()
	})
}

func (w *world) shadowed() {
	w.t.Helper()
	w.encapsulate()
	if err := w.engine().Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
		w.t.Fatal(err)
	}
	w.verified()
}

func TestStrayOfACutover(t *testing.T) {
	withAndWithoutValidator(t, func(t *testing.T, w *world, arm func(string)) {
		w.shadowed()
		arm("users__banyan_g1")
		if _, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true}); !errors.Is(err, cutover.ErrUndone) || !errors.Is(err, fence.ErrStray) {
			t.Fatal(err)
		}
		w.mustKeepStrays()
	})
}

func TestStrayOfAnUndo(t *testing.T) {
	withAndWithoutValidator(t, func(t *testing.T, w *world, arm func(string)) {
		w.shadowed()
		ctx, cancel := context.WithCancel(w.ctx)
		defer cancel()
		_, err := w.engine().Cutover(ctx, cutover.Options{NoMembers: true, Step: func(step string) {
			if step == cutover.StepDrain {
				arm("users__banyan_g2")
				cancel()
			}
		}})
		if !errors.Is(err, cutover.ErrUndone) || w.phase().Phase != ownership.Shadowing {
			t.Fatalf("%v %+v", err, w.phase())
		}
		w.mustKeepStrays()
	})
}

// Nothing of a stranger's keeps the public name from being given back.
func TestStrayAndAbandoned(t *testing.T) {
	withAndWithoutValidator(t, func(t *testing.T, w *world, arm func(string)) {
		arm("users")
		if _, err := w.engine().Encapsulate(w.ctx, willing); !errors.Is(err, fence.ErrStray) {
			t.Fatal(err)
		}
		if _, err := w.engine().Abandon(w.ctx); err != nil {
			t.Fatal(err)
		}
		w.mustBeHome(replaceable)
		documents := 0
		strays, err := w.engine().Strays(w.ctx, func(fence.StrayDocument) error { documents++; return nil })
		if err != nil || len(strays) != 1 || documents != upserted+1 {
			t.Fatalf("the stray is not kept, or not shown: %v, %d documents, %v", strays, documents, err)
		}
		if late, misfits, err := w.engine().LateWrites(w.ctx); err != nil || len(late)+len(misfits) > 0 {
			t.Errorf("%v %v %v", late, misfits, err)
		}
		if err := w.engine().Discard(w.ctx, "users"); !errors.Is(err, fence.ErrNotDiscardable) {
			t.Error(err)
		}
		if err := w.engine().Discard(w.ctx, strays[0]); err != nil || len(w.strays()) > 0 {
			t.Errorf("%v %v", w.strays(), err)
		}
	})
}

// Killed between rename and view, the name was vacant until somebody ran the tool, and
// status did not say so.
func TestStatusSaysThatANameIsVacant(t *testing.T) {
	t.Parallel()
	for name, killed := range map[string]func(context.Context, *migrate.Engine) error{
		"encapsulate": func(ctx context.Context, e *migrate.Engine) error { _, err := e.Encapsulate(ctx, willing); return err },
		"cutover": func(ctx context.Context, e *migrate.Engine) error {
			_, err := e.Cutover(ctx, cutover.Options{NoMembers: true})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.seed(replaceable)
			dies := func() func(linktest.Command) linktest.Fate { return at("create", 1, linktest.KillBefore) }
			if name == "cutover" {
				w.shadowed()
				dies = func() func(linktest.Command) linktest.Fate { return at("renameCollection", 1, linktest.KillAfter) }
			}
			w.plan.Budgets.Hold = afterACrash
			w.mustDie(dies, killed)
			st, err := w.engine().Status(w.ctx)
			if err != nil || !slices.ContainsFunc(st.Problems, func(p string) bool { return strings.Contains(p, "is vacant: a write to it would create") }) {
				t.Errorf("%q %v", st.Problems, err)
			}
			waitFor(t, func() bool {
				st, err := w.engine().Status(w.ctx)
				return err == nil && slices.ContainsFunc(st.Problems, func(p string) bool { return strings.Contains(p, "writes wait since") })
			})
		})
	}
}
