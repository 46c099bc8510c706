package mongostream_test

import (
	"errors"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongostream"
)

func TestPublicName(t *testing.T) {
	for name, want := range map[string]string{
		"users": "users", "users__banyan_g1": "users", "users__banyan_g120": "users", "a__banyan_g1__banyan_g2": "a__banyan_g1",
		"users__banyan_g": "users__banyan_g", "users__banyan_g0": "users__banyan_g0", "users__banyan_gone": "users__banyan_gone",
		"users__banyan_stray_g1": "users__banyan_stray_g1", "__banyan_g1": "__banyan_g1",
	} {
		if got := mongostream.PublicName(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// Where a collection is while migrate moves it, and what somebody wrote to a name that it
// has left is not it.
func TestLocate(t *testing.T) {
	w := newWorld(t, 1)
	uuid := ""
	at := func(want string) {
		t.Helper()
		places, err := mongostream.Locate(w.ctx, w.db, "things", "others")
		if got := places["things"]; err != nil || got.Name != want || uuid != "" && got.UUID != uuid || len(places) > 1 {
			t.Errorf("%+v, %v, want %s", places, err, want)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at("")
	w.insert(1)
	uuid = w.uuid("things")
	at("things")
	_, err := w.db.Collection("banyan_claims").InsertOne(w.ctx, bson.D{{Key: "_id", Value: "things"}})
	must(err)
	must(w.rename("things", "things__banyan_g9", false))
	at("things__banyan_g9")
	w.insert(2) // by somebody, before the view is there
	at("things__banyan_g9")
	must(w.rename("things", "things__banyan_stray_g10", false))
	must(w.db.CreateView(w.ctx, "things", "things__banyan_g9", mongo.Pipeline{}))
	at("things__banyan_g9")
	must(w.rename("things__banyan_g9", "things__banyan_g11", false))
	at("things__banyan_g11")
	_, err = w.db.Collection("things__banyan_g9").InsertOne(w.ctx, bson.D{})
	must(err)
	at("things__banyan_g11")
	must(w.db.Collection("things").Drop(w.ctx)) // the migration is abandoned
	must(w.rename("things__banyan_g11", "things", false))
	must(w.db.Collection("banyan_claims").Drop(w.ctx))
	at("things") // though something stands under an old name
}

// A rename by migrate is no end of the collection; another one is.
func TestMovesAreFollowed(t *testing.T) {
	w := newWorld(t, 1)
	of := mongostream.Collections{Names: []string{"things"}}.AndMoved()
	var seen log
	var moved []string
	cfg := mongostream.Config{Name: "test", StartAt: w.now(), Handle: seen.handle,
		Source: mongostream.Source{Database: w.db, Pipeline: mongo.Pipeline{of.Match()}},
		Moved:  func(c mongostream.Change) { moved = append(moved, c.RenamedTo) }}
	w.insert(1)
	names := []string{"things__banyan_g1", "things__banyan_g2", "things", "elsewhere"}
	for i, from := range []string{"things", "things__banyan_g1", "things__banyan_g2", "things"} {
		if err := w.rename(from, names[i], false); err != nil {
			t.Fatal(err)
		}
		if _, err := w.db.Collection(names[i]).InsertOne(w.ctx, bson.D{{Key: "_id", Value: 2 + i}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.ended(cfg); !errors.Is(err, mongostream.ErrInvalidated) {
		t.Errorf("%v, want that the last rename ends it", err)
	}
	if got := seen.get(); !slices.Equal(got, []string{inserted(1), inserted(2), inserted(3), inserted(4)}) || !slices.Equal(moved, names[:3]) {
		t.Errorf("handled %v, moved to %v", got, moved)
	}
}
