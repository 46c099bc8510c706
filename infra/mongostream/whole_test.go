package mongostream_test

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
)

// ofWhole are things that happen to the collection as a whole, at once behind an insert of 1.
var ofWhole = map[string]func(w *world) error{
	"drop":         func(w *world) error { return w.things.Drop(w.ctx) },
	"dropDatabase": func(w *world) error { return w.db.Drop(w.ctx) },
	"rename away":  func(w *world) error { return w.rename("things", "old", true) },
	"rename onto":  func(w *world) error { return w.rename("tmp", "things", true) },
}

func (w *world) rename(from, to string, dropTarget bool) error {
	return w.client.Database("admin").RunCommand(w.ctx, bson.D{{Key: "renameCollection", Value: w.db.Name() + "." + from},
		{Key: "to", Value: w.db.Name() + "." + to}, {Key: "dropTarget", Value: dropTarget}}).Err()
}

// things is a source of the collection things: by a stream of it alone, or of the database.
func (w *world) thingsOf(scope string) mongostream.Source {
	if scope == "collection" {
		return w.source()
	}
	of := mongostream.Collections{Names: []string{"things"}}
	return mongostream.Source{Database: w.db, Pipeline: mongo.Pipeline{of.Match()}}
}

// readUntil reads to the insert of an id, and behind invalidations with a new stream.
func (w *world) readUntil(s mongostream.Source, from mongostream.Position, id int) (all []mongostream.Change, err error) {
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	for {
		from, err = w.readOnce(ctx, s, from, func(c mongostream.Change) bool {
			all = append(all, c)
			return c.IsOfDocument() && c.ID().AsInt64() == int64(id)
		})
		if err == nil || mongostream.Permanent(err) != nil || ctx.Err() != nil {
			return all, err
		}
	}
}

func (w *world) readOnce(ctx context.Context, s mongostream.Source, at mongostream.Position,
	last func(mongostream.Change) bool) (mongostream.Position, error) {
	stream, err := s.Open(ctx, at, 20*time.Millisecond)
	if err != nil {
		return at, err
	}
	defer stream.Close(ctx)
	for {
		c, err := stream.Next(ctx)
		switch {
		case err != nil:
			return at, err
		case c == nil:
			at = mongostream.Position{Token: stream.Token()}
		default:
			at = mongostream.Position{Token: c.Token, Invalidated: c.Operation == "invalidate"}
			if last(*c) {
				return at, nil
			}
		}
	}
}

// TestNothingOfACollectionAsAWholeIsMissed: SERVER-53478, nats-connector#13. What replaces or
// removes all documents is an event of each stream, wherever it starts.
func TestNothingOfACollectionAsAWholeIsMissed(t *testing.T) {
	want := map[string][]string{
		"database drop": {"drop"}, "collection drop": {"drop", "invalidate"},
		"database dropDatabase": {"drop", "dropDatabase", "invalidate"}, "collection dropDatabase": {"drop", "invalidate"},
		"database rename away": {"rename"}, "collection rename away": {"rename", "invalidate"},
		"database rename onto": {"rename"}, "collection rename onto": {"rename", "invalidate"},
	}
	for happening, do := range ofWhole {
		for _, scope := range []string{"database", "collection"} {
			t.Run(scope+" "+happening, func(t *testing.T) {
				if happening == "rename onto" {
					mongodbtest.Lacks(t, "SecantusDB", "shows the drop of what was there")
				}
				t.Parallel()
				w := newWorld(t, 1)
				if err := w.db.CreateCollection(w.ctx, "tmp"); err != nil {
					t.Fatal(err)
				}
				before := mongostream.Position{Start: *w.now()}
				w.insert(1)
				stored, err := w.readUntil(w.thingsOf(scope), before, 1)
				if err != nil {
					t.Fatal(err)
				}
				if err := do(w); err != nil {
					t.Fatal(err)
				}
				behind := mongostream.Position{Start: *w.now()}
				w.insert(2)
				of := want[scope+" "+happening]
				for from, c := range map[string]struct {
					at   mongostream.Position
					want []string
				}{
					"a start before it": {before, slices.Concat([]string{"insert"}, of, []string{"insert"})},
					"a stored token":    {mongostream.Position{Token: stored[0].Token}, slices.Concat(of, []string{"insert"})},
					"a start behind it": {behind, []string{"insert"}},
				} {
					seen, err := w.readUntil(w.thingsOf(scope), c.at, 2)
					if got := operations(seen); err != nil || !slices.Equal(got, c.want) {
						t.Errorf("from %s: %v (%v), want %v", from, got, err, c.want)
					}
				}
			})
		}
	}
}

// operations leaves out an invalidation behind another: a stream of a collection whose
// database is dropped may have one for either.
func operations(all []mongostream.Change) (names []string) {
	for _, c := range all {
		names = append(names, c.Operation)
	}
	return slices.CompactFunc(names, func(a, b string) bool { return a == b && a == "invalidate" })
}

// TestAnInvalidationThatIsFilteredEndsAReader (PeerDB#3087): the server closes the cursor at
// each opening, without an error or an event.
func TestAnInvalidationThatIsFilteredEndsAReader(t *testing.T) {
	byName := bson.D{{Key: "ns.coll", Value: "things"}}
	for name, filter := range map[string]bson.D{
		"a pipeline of names":     byName,
		"a pipeline of documents": append(bson.D{{Key: "documentKey", Value: bson.D{{Key: "$exists", Value: true}}}}, byName...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			source := mongostream.Source{Database: w.db, Pipeline: mongo.Pipeline{{{Key: "$match", Value: filter}}}}
			start := w.now()
			w.insert(1)
			stored, err := w.readUntil(source, mongostream.Position{Start: *start}, 1)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.db.Drop(w.ctx); err != nil {
				t.Fatal(err)
			}
			w.insert(2)
			for _, from := range []mongostream.Position{{Start: *start}, {Token: stored[0].Token}} {
				opened, err := 0, error(nil)
				for err == nil && opened < 10 {
					opened++
					from, err = w.readOnce(w.ctx, source, from, func(mongostream.Change) bool { return false })
					err = mongostream.Permanent(err)
				}
				if !errors.Is(err, mongostream.ErrInvalidated) || opened > 3 {
					t.Errorf("opened %d times: %v", opened, err)
				}
			}
			positions := mongostream.NewCheckpoint(w.client.Database(w.db.Name()+"_relays").Collection("positions"), "test", 10*time.Second)
			cfg := mongostream.Config{Name: "test", Source: source, StartAt: start, Checkpoint: positions,
				Handle: (&log{}).handle, DDL: func(context.Context, mongostream.Change) error { return nil }}
			for range 2 {
				if err := w.ended(cfg); !errors.Is(err, mongostream.ErrInvalidated) {
					t.Errorf("a follower ended with %v", err)
				}
			}
		})
	}
}

// TestExpandedEvents: what identifies a collection is its UUID.
func TestExpandedEvents(t *testing.T) {
	mongodbtest.Lacks(t, "SecantusDB", "shows the drop of what another was renamed onto, and no create by a write")
	w := newWorld(t, 1)
	start := mongostream.Position{Start: *w.now()}
	w.insert(1)
	if _, err := w.db.Collection("tmp").InsertOne(w.ctx, bson.D{}); err != nil {
		t.Fatal(err)
	}
	first, second := w.uuid("things"), w.uuid("tmp")
	if err := w.rename("tmp", "things", true); err != nil {
		t.Fatal(err)
	}
	w.insert(2)
	source := w.thingsOf("database")
	source.ShowExpandedEvents = true
	all, err := w.readUntil(source, start, 2)
	if err != nil || !slices.Equal(operations(all), []string{"create", "insert", "rename", "insert"}) {
		t.Fatalf("%v, %v", operations(all), err)
	}
	renamed := all[2]
	if renamed.Collection != "tmp" || renamed.RenamedToDatabase != w.db.Name() || renamed.RenamedTo != "things" || renamed.DropTarget != first {
		t.Errorf("%+v, want that tmp replaced things, %s", renamed, first)
	}
	for i, want := range []string{first, first, second, second} {
		if got := all[i].CollectionUUID; got != want {
			t.Errorf("%s: UUID %s, want %s", &all[i], got, want)
		}
	}
}

func (w *world) uuid(name string) string {
	w.t.Helper()
	all, err := w.db.ListCollectionSpecifications(w.ctx, bson.D{{Key: "name", Value: name}})
	if err != nil || len(all) != 1 {
		w.t.Fatal(all, err)
	}
	return hex.EncodeToString(all[0].UUID.Data)
}

// TestCollections: names, prefixes, and nothing that only looks alike.
func TestCollections(t *testing.T) {
	w := newWorld(t, 1)
	of := mongostream.Collections{Names: []string{"things", "other.x"}, Prefixes: []string{"things__g"}}
	start := mongostream.Position{Start: *w.now()}
	want := []string{"things", "things__g1", "things__g12", "other.x"}
	for _, name := range []string{"thing", "things", "things__", "things__g1", "things__g12", "athings__g1", "other.x", "otherxx"} {
		if got := of.Contains(name); got != slices.Contains(want, name) {
			t.Errorf("%s: %v", name, got)
		}
		if _, err := w.db.Collection(name).InsertOne(w.ctx, bson.D{{Key: "_id", Value: 0}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.db.Collection("thing").Drop(w.ctx); err != nil {
		t.Fatal(err)
	}
	w.insert(2)
	all, err := w.readUntil(mongostream.Source{Database: w.db, Pipeline: mongo.Pipeline{of.Match()}}, start, 2)
	var got []string
	for _, c := range all {
		got = append(got, c.Collection)
	}
	if err != nil || !slices.Equal(got, append(want, "things")) {
		t.Errorf("%v, %v", got, err)
	}
}
