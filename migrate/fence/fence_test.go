package fence_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/fence"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/source"
)

// replay sends all renames and all commands about views that were ever sent once more, in
// any order, as a network may.
func (w *world) replay(rng *rand.Rand) {
	w.t.Helper()
	late := append(append(w.all("renameCollection"), w.all("create")...), w.all("collMod")...)
	for range 2 {
		for _, i := range rng.Perm(len(late)) {
			_ = w.raw(late[i].database, late[i].command) // most are refused
		}
	}
}

// Whatever was sent before arrives again, after each step and before each command: readers
// by the public name and by the present one see the collection, and it stays where it is.
func TestLateCommandsChangeNothing(t *testing.T) {
	inBoth(t, func(t *testing.T, w *world) {
		rng := rand.New(rand.NewPCG(1, 2))
		f := w.fence()
		for _, command := range []string{"", "renameCollection", "create"} {
			w.before(command, func() { w.replay(rng) })
			if w.record().Collection == "" {
				w.encapsulate(f)
			}
			w.replay(rng)
			w.mustStand(f, w.record().Collection)

			rec := w.announceAndHold(f)
			w.replay(rng)
			w.mustRead("users", "user")
			w.mustRead(rec.Collection, "user")

			rec, err := f.Raise(w.ctx, rec)
			w.must(err)
			w.replay(rng)
			w.mustStand(f, rec.Move.To)

			rec, err = f.Undo(w.ctx, rec.Revision)
			w.must(err)
			w.replay(rng)
			w.mustStand(f, rec.Collection)

			w.must(w.raw(w.db.Name(), bson.D{{Key: "drop", Value: "users"}}))
			w.must(f.Mend(w.ctx, rec))
			w.replay(rng)
			w.mustStand(f, rec.Collection)
		}
	})
}

// What somebody did to a view is put right, also where views lead to it over many others.
func TestViewsAreMended(t *testing.T) {
	point := func(name, on string, pipeline bson.A) func(w *world) {
		return func(w *world) {
			w.must(w.raw(w.db.Name(), bson.D{{Key: "collMod", Value: name}, {Key: "viewOn", Value: on}, {Key: "pipeline", Value: pipeline}}))
		}
	}
	drop := func(name string) func(w *world) {
		return func(w *world) { w.must(w.raw(w.db.Name(), bson.D{{Key: "drop", Value: name}})) }
	}
	for what, disturb := range map[string]func(w *world){
		"dropped":              drop("users"),
		"dropped midway":       drop("users__banyan_g3"),
		"pointed elsewhere":    point("users", "other", bson.A{}),
		"with a pipeline":      point("users__banyan_g2", "users__banyan_g3", bson.A{bson.D{{Key: "$limit", Value: 1}}}),
		"pointed to something": point("users__banyan_g4", "users__banyan_g9999", bson.A{}),
	} {
		t.Run(what, func(t *testing.T) {
			inBoth(t, func(t *testing.T, w *world) {
				f := w.fence()
				w.encapsulate(f)
				for range 12 { // two names each: more than a view may lead over
					w.moveAndUndo(f)
				}
				rec := w.record()
				w.mustStand(f, rec.Collection)
				disturb(w)
				if problems, err := f.Check(w.ctx, rec); err != nil || len(problems) == 0 {
					t.Errorf("%v %v", problems, err)
				}
				w.must(f.Mend(w.ctx, rec))
				w.mustStand(f, rec.Collection)
			})
		})
	}
}

// However often the collection has moved, a move points no view anew while writes wait: what
// leads there over many others is pointed anew before.
func TestAMovePointsNoViewAnew(t *testing.T) {
	inBoth(t, func(t *testing.T, w *world) {
		f := w.fence()
		w.encapsulate(f)
		for range 10 {
			w.must(f.Mend(w.ctx, w.record()))
			before := len(w.all("collMod"))
			w.moveAndUndo(f)
			if n := len(w.all("collMod")) - before; n > 0 {
				t.Fatalf("a move to %s has pointed %d views anew", w.record().Collection, n)
			}
		}
		if len(w.all("collMod")) == 0 {
			t.Error("nothing was pointed anew")
		}
		w.mustStand(f, w.record().Collection)
	})
}

// What somebody creates under a vacated name is kept under a name of its own, is shown,
// and goes only when it is discarded by that name.
func TestStraysAreSetAside(t *testing.T) {
	inBoth(t, func(t *testing.T, w *world) {
		f := w.fence()
		w.encapsulate(f)
		stray := bson.D{{Key: "_id", Value: 2}, {Key: "kind", Value: "stray"}}
		left := w.record().Collection
		w.before("create", func() { // the collection has left its name, and no view stands there yet
			if len(w.all("renameCollection")) == 2 {
				_, _ = w.db.Collection(left).InsertOne(w.ctx, stray)
			}
		})
		rec, err := f.Raise(w.ctx, w.announceAndHold(f))
		w.must(err)
		if err := f.Confirm(w.ctx, rec.Move.To, rec.Generation); !errors.Is(err, fence.ErrStray) {
			t.Errorf("%v", err)
		}
		if rec, err = f.Undo(w.ctx, rec.Revision); err != nil {
			t.Fatal(err)
		}
		w.mustRead("users", "user")
		var shown []fence.StrayDocument
		names, err := f.Strays(w.ctx, func(d fence.StrayDocument) error { shown = append(shown, d); return nil })
		if err != nil || len(names) != 1 || len(shown) != 1 || shown[0].Stray.Lookup("kind").StringValue() != "stray" ||
			shown[0].Current.Lookup("kind").StringValue() != "user" {
			t.Fatalf("%v, %+v, %v", names, shown, err)
		}
		if problems, err := f.Check(w.ctx, rec); err != nil || len(problems) != 1 || !strings.Contains(problems[0], "--discard "+shown[0].Collection) {
			t.Errorf("%v %v", problems, err)
		}
		for _, name := range []string{"users", rec.Collection, left, "other"} {
			if err := f.Discard(w.ctx, name); !contains(err, "set aside") {
				t.Errorf("%s: %v", name, err)
			}
		}
		w.must(f.Discard(w.ctx, shown[0].Collection))
		w.mustStand(f, rec.Collection)
	})
}

// A next name that is taken is given up: an undo goes on to a further one, an encapsulation
// says so and leaves the collection its public name. What stands there is kept.
func TestTheNextNameIsTaken(t *testing.T) {
	inBoth(t, func(t *testing.T, w *world) {
		f := w.fence()
		w.fill("users__banyan_g1", "taken")
		if _, err := f.Encapsulate(w.ctx); !contains(err, "taken") {
			t.Errorf("%v", err)
		}
		w.mustBeHome(ownership.Legacy, "user")
		w.mustRead("users__banyan_stray_g2", "taken")
		w.rename("users__banyan_stray_g2", "theirs", false)
		w.encapsulate(f)

		rec, err := f.Raise(w.ctx, w.announceAndHold(f))
		w.must(err)
		w.rename("theirs", fmt.Sprintf("users__banyan_g%d", rec.Generation+1), false)
		rec, err = f.Undo(w.ctx, rec.Revision)
		if err != nil || rec.Phase != ownership.Shadowing || rec.Hold || rec.Move != nil {
			t.Fatalf("%+v %v", rec, err)
		}
		names, err := f.Strays(w.ctx, func(d fence.StrayDocument) error {
			if d.Stray.Lookup("kind").StringValue() != "taken" {
				t.Errorf("%s", d.Stray)
			}
			return nil
		})
		if err != nil || len(names) != 1 {
			t.Errorf("%v, %v", names, err)
		}
		w.mustRead("users", "user")
		w.mustRead(rec.Collection, "user")
	})
}

// A collection that is dropped, or replaced by another, while it moves: nobody waits for
// it, the error says what to do, and what replaced it is under the public name.
func TestTheCollectionIsGone(t *testing.T) {
	for what, lose := range map[string]func(w *world, name string){
		"dropped": func(w *world, name string) { w.must(w.db.Collection(name).Drop(w.ctx)) },
		"replaced": func(w *world, name string) {
			w.fill("tmp", "replacement")
			w.rename("tmp", name, true)
		},
	} {
		for _, command := range []string{"renameCollection", "create"} {
			t.Run(what+" before "+command, func(t *testing.T) {
				inBoth(t, func(t *testing.T, w *world) {
					f := w.fence()
					w.before(command, sync.OnceFunc(func() { lose(w, map[string]string{"renameCollection": "users", "create": "users__banyan_g1"}[command]) }))
					if _, err := f.Encapsulate(w.ctx); !errors.Is(err, source.ErrGone) || !contains(err, "restore it") {
						t.Errorf("%v", err)
					}
					if r := w.record(); r.Phase != ownership.Legacy || r.Hold || r.Move != nil || r.Collection != "" {
						t.Errorf("%+v", r)
					}
					if what == "replaced" {
						w.mustBeHome(ownership.Legacy, "replacement")
					}
				})
			})
		}
		t.Run(what+" before an undo", func(t *testing.T) {
			inBoth(t, func(t *testing.T, w *world) {
				f := w.fence()
				w.encapsulate(f)
				rec, err := f.Raise(w.ctx, w.announceAndHold(f))
				w.must(err)
				lose(w, rec.Move.To)
				if _, err := f.Undo(w.ctx, rec.Revision); !errors.Is(err, source.ErrGone) || !contains(err, "restore it") {
					t.Errorf("%v", err)
				}
				if r := w.record(); r.Phase != ownership.Shadowing || r.Hold || r.Move != nil {
					t.Errorf("%+v", r)
				}
				_, err = f.Abandon(w.ctx)
				w.must(err)
				if what == "replaced" {
					w.mustBeHome(ownership.Abandoned, "replacement")
				}
			})
		})
	}
}

// Any number of operators say the same at once: nothing is lost, and once they have
// returned one of them is enough to finish.
func TestOperatorsAtOnce(t *testing.T) {
	inBoth(t, func(t *testing.T, w *world) {
		atOnce := func(verb func(*fence.Fence) error) {
			t.Helper()
			var all sync.WaitGroup
			for range 3 {
				f := w.fence(budget(time.Second))
				all.Go(func() {
					_ = verb(f) // it may be another's turn
					f.DDL.Close()
				})
			}
			all.Wait()
			w.must(verb(w.fence()))
		}
		encapsulate := func(f *fence.Fence) error { _, err := f.Encapsulate(w.ctx); defer f.DDL.Close(); return err }
		for range 2 {
			atOnce(encapsulate)
			w.mustStand(w.fence(), w.record().Collection)

			f := w.fence(budget(time.Second))
			_, err := f.Raise(w.ctx, w.announceAndHold(f))
			w.must(err)
			f.DDL.Close()
			atOnce(func(f *fence.Fence) error { _, err := f.Undo(w.ctx, 0); defer f.DDL.Close(); return err })
			w.mustStand(w.fence(), w.record().Collection)
			if r := w.record(); r.Phase != ownership.Shadowing || r.Hold || r.Move != nil {
				t.Errorf("%+v", r)
			}

			atOnce(func(f *fence.Fence) error { _, err := f.Abandon(w.ctx); defer f.DDL.Close(); return err })
			w.mustBeHome(ownership.Abandoned, "user")
		}
	})
}

// A process that slept through another one's undoing moves the collection no more: the
// record is no longer the one that it wrote.
func TestWhoseTurnIsOverMovesNothing(t *testing.T) {
	inBoth(t, func(t *testing.T, w *world) {
		f := w.fence()
		w.encapsulate(f)
		slept := w.announceAndHold(f)
		undone, err := w.fence().Undo(w.ctx, slept.Revision) // by another process
		w.must(err)
		if rec, err := f.Raise(w.ctx, slept); !errors.Is(err, ownership.ErrConflict) {
			t.Errorf("%+v %v", rec, err)
		}
		w.mustStand(f, undone.Collection)
	})
}
