package changestream_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// move renames a collection as migrate does, and puts a view in its place.
func (w *world) move(from, to string) {
	w.t.Helper()
	w.do(nil, w.mongo.Database("admin").RunCommand(w.ctx, doc("renameCollection", w.db.Name()+"."+from, "to", w.db.Name()+"."+to)).Err())
	w.do(nil, w.db.CreateView(w.ctx, from, to, bson.A{}))
}

// TestMigrateMovesTheCollection while it is published, once while nobody publishes: its
// events go on under the name of the mapping, and what somebody writes to a name that the
// collection has left is none of them.
func TestMigrateMovesTheCollection(t *testing.T) {
	w := newWorld(t, 1)
	w.do(w.db.Collection("banyan_claims").InsertOne(w.ctx, doc("_id", "users")))
	w.do(w.users.InsertOne(w.ctx, doc("_id", id(1), "name", "Ada")))
	cfg := w.config(parse(t, snapshotMapping))
	cfg.Snapshot = true
	p, stop := w.publisher(cfg)
	waitFor(t, "the snapshot", func() bool { return p.Status().Published == 1 })
	w.do(nil, w.mongo.Database("admin").RunCommand(w.ctx, doc("renameCollection", w.db.Name()+".users", "to", w.db.Name()+".users__banyan_g1")).Err())
	w.do(w.users.InsertOne(w.ctx, doc("_id", id(1), "name", "a stray"))) // there is no view yet
	g1 := w.db.Collection("users__banyan_g1")
	w.do(g1.UpdateByID(w.ctx, id(1), set("name", "Ada L.")))
	waitFor(t, "the update", func() bool { return p.Status().Published == 2 })
	w.do(nil, w.mongo.Database("admin").RunCommand(w.ctx, doc("renameCollection", w.db.Name()+".users", "to", w.db.Name()+".users__banyan_stray_g2")).Err())
	w.do(nil, w.db.CreateView(w.ctx, "users", "users__banyan_g1", bson.A{}))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.do(g1.UpdateByID(w.ctx, id(1), set("name", "Countess")))
	w.move("users__banyan_g1", "users__banyan_g3")
	w.do(w.db.Collection("users__banyan_g3").InsertOne(w.ctx, doc("_id", id(2), "name", "Bob")))
	p, stop = w.publisher(cfg)
	waitFor(t, "the rest", func() bool { return p.Status().Published == 2 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	ada := "user.is " + `{"name":"`
	if diff := cmp.Diff([]string{ada + `Ada"}`, ada + `Ada L."}`, ada + `Countess"}`}, facts(w.kept()[id(1).Hex()])); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{ada + `Bob"}`}, facts(w.kept()[id(2).Hex()])); diff != "" {
		t.Error(diff)
	}
	if letters := w.refused(); len(letters) > 0 {
		t.Errorf("%+v", letters)
	}
	if err := p.Forget(w.ctx); err != nil { // a snapshot reads where the collection is
		t.Fatal(err)
	}
	p, stop = w.publisher(cfg)
	waitFor(t, "another snapshot", func() bool { return p.Status().Published == 2 && !p.Status().Snapshot.Running })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for _, e := range w.kept()[id(1).Hex()] {
		if e.Subject != "users/"+id(1).Hex() {
			t.Errorf("%+v", e)
		}
	}
}

const snapshotMapping = `
version: 1
collections:
  users:
    - on: [insert, update, snapshot]
      event: user.is
      data:
        name: name
`
