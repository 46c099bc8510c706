package migrate_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/side"
	"github.com/banyan-fig/banyan/migrate/verify"
)

// tooLarge is more than an item can hold.
var tooLarge = strings.Repeat("x", 420_000)

// awaitMisfits waits until so many documents are set aside.
func (w *world) awaitMisfits(e *migrate.Engine, want int) migrate.Status {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		s, err := e.Status(w.ctx)
		if err != nil {
			w.t.Fatal(err)
		}
		if s.Misfits.Count == want {
			return s
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%+v, want %d", s.Misfits, want)
		}
	}
}

func (w *world) set(id any, field string, value any) {
	w.t.Helper()
	if _, err := w.users.UpdateByID(w.ctx, id, bson.D{{Key: "$set", Value: bson.D{{Key: field, Value: value}, {Key: "version",
		Value: time.Now().UnixNano()}}}}); err != nil {
		w.t.Fatal(err)
	}
}

// TestAChangeThatDoesNotFitIsSetAside: the changes go on, the cut-over is refused by name,
// and what is repaired or deleted blocks it no longer.
func TestAChangeThatDoesNotFitIsSetAside(t *testing.T) {
	w := newWorld(t)
	w.seed(20)
	w.encapsulate()
	e := w.engine()
	if err := e.Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
		t.Fatal(err)
	}
	stop := background(w.ctx, func(ctx context.Context) error { return e.Run(ctx, migrate.RunOptions{}) })
	w.set(userID(3), "bio", tooLarge)
	w.insertTooLarge(100)
	s := w.awaitMisfits(e, 2)
	if first := s.Misfits.First; first.Shown != userID(3).Hex() || first.Field != "bio" || !strings.Contains(first.WayOut, "compressed") {
		t.Errorf("%+v", first)
	}
	if len(s.Problems) == 0 || !strings.Contains(strings.Join(s.Problems, "\n"), userID(3).Hex()) {
		t.Errorf("%q", s.Problems)
	}
	if _, err := w.users.InsertOne(w.ctx, user(101)); err != nil { // goes on
		t.Fatal(err)
	}
	if v, err := e.Verify(w.ctx, verify.Options{}); err != nil || v.Mismatches == 0 || v.Items != 21 {
		t.Errorf("%+v %v", v, err)
	}
	if _, err := e.Cutover(w.ctx, cutover.Options{NoMembers: true}); !errors.Is(err,
		cutover.ErrRefused) || !strings.Contains(err.Error(), "2 documents do not fit") {
		t.Errorf("%v", err)
	}
	w.set(userID(3), "bio", "short")
	w.awaitMisfits(e, 1)
	if _, err := w.users.DeleteOne(w.ctx, bson.D{{Key: "_id", Value: userID(100)}}); err != nil {
		t.Fatal(err)
	}
	w.awaitMisfits(e, 0)
	if v, err := e.Verify(w.ctx, verify.Options{}); err != nil || v.Mismatches != 0 {
		t.Fatalf("%+v %v", v, err)
	}
	if _, err := e.Cutover(w.ctx, cutover.Options{NoMembers: true}); err != nil {
		t.Fatal(err)
	}
	_ = stop() // it may have ended by itself
}

// TestACopyGoesOnPastWhatDoesNotFit: and so do the changes past an _id that can be no key,
// whose deletion says nothing to the target.
func TestACopyGoesOnPastWhatDoesNotFit(t *testing.T) {
	w := newWorld(t)
	w.seed(20)
	w.insertTooLarge(200, 201)
	w.encapsulate()
	e := w.engine(func(c *migrate.Config) { c.ChunkSize = 4 })
	if err := e.Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
		t.Fatal(err)
	}
	if got := len(w.scan("users")); got != 20 {
		t.Errorf("%d items", got)
	}
	w.awaitMisfits(e, 2)
	stop := background(w.ctx, func(ctx context.Context) error { return e.Run(ctx, migrate.RunOptions{}) })
	if _, err := w.users.InsertOne(w.ctx, bson.D{{Key: "_id", Value: "text"}, {Key: "email", Value: "text@example.com"}}); err != nil {
		t.Fatal(err)
	}
	w.awaitMisfits(e, 3)
	all := bson.A{"text", userID(200), userID(201)}
	if _, err := w.users.DeleteMany(w.ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: all}}}}); err != nil {
		t.Fatal(err)
	}
	w.awaitMisfits(e, 0)
	_ = stop() // it was interrupted
	w.mustBeEqual("users")
}

func (w *world) insertTooLarge(users ...int) {
	w.t.Helper()
	for _, n := range users {
		if _, err := w.users.InsertOne(w.ctx, append(user(n), bson.E{Key: "bio", Value: tooLarge})); err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestAMisfitThatCameLateGoes: a process that was slow sets aside what another has seen
// repaired; what is set aside is tried again.
func TestAMisfitThatCameLateGoes(t *testing.T) {
	w := newWorld(t)
	w.seed(5)
	w.encapsulate()
	e := w.engine()
	if err := e.Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
		t.Fatal(err)
	}
	stop := background(w.ctx, func(ctx context.Context) error { return e.Run(ctx, migrate.RunOptions{}) })
	late := userID(2)
	store := control.New(w.ddb, ownership.DefaultTable, "users")
	if err := store.SetAside(w.ctx, &side.Misfit{ID: bson.RawValue{Type: bson.TypeObjectID, Value: late[:]}}, 1); err != nil {
		t.Fatal(err)
	}
	w.awaitMisfits(e, 0)
	_ = stop() // it was interrupted
	w.mustBeEqual("users")
}

// TestTooManyMisfitsStopTheRun: then the plan is wrong.
func TestTooManyMisfitsStopTheRun(t *testing.T) {
	w := newWorld(t)
	w.seed(5)
	w.insertTooLarge(200, 201, 202)
	w.encapsulate()
	e := w.engine(func(c *migrate.Config) { c.MaxMisfits = 2 })
	if err := e.Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); !errors.Is(err, control.ErrTooManyMisfits) {
		t.Error(err)
	}
}
