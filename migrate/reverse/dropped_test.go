package reverse

import (
	"context"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	mongodbserver "github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/side"
	"github.com/banyan-fig/banyan/migrate/source"
)

// TestTheWayBackKeepsWhatTheTableHasNot: a document that is replaced keeps the fields that the
// plan drops; one that is new has none. One whose _id gets another numeric type is deleted
// first, since a server may keep the _id of what it replaces.
func TestTheWayBackKeepsWhatTheTableHasNot(t *testing.T) {
	server, err := mongodbserver.Start(mongodbserver.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var deleted []bson.RawValue
	monitor := &event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
		if e.CommandName == "delete" {
			all, _ := e.Command.Lookup("deletes").Array().Values()
			for _, d := range all {
				deleted = append(deleted, d.Document().Lookup("q", "_id"))
			}
		}
	}}
	client, err := mongo.Connect(options.Client().ApplyURI("mongodb://" + server.Addr() + "/?directConnection=true").SetMonitor(monitor))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = client.Disconnect(ctx)
		_ = server.Close()
	})
	p, err := plan.Parse("p.yaml", []byte("entity: users\nsource: {collection: users}\ntarget: {table: users, key: {type: number}}\n"+
		"fields: [{from: blob, drop: true}, {from: log, drop: true}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	r := &Reverse{Plan: p, Source: &source.Collection{DB: client.Database("legacy"), Codec: p.Codec()}}
	users := r.Source.DB.Collection("users")
	raw := func(d bson.D) bson.Raw {
		b, err := bson.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	before := []any{bson.D{{Key: "_id", Value: int32(1)}, {Key: "blob", Value: "b"}, {Key: "a", Value: 1}, {Key: "log", Value: bson.A{1}}},
		bson.D{{Key: "_id", Value: int32(2)}, {Key: "blob", Value: "stays"}}, bson.D{{Key: "_id", Value: int32(3)}, {Key: "blob", Value: "goes"}},
		bson.D{{Key: "_id", Value: int32(5)}, {Key: "blob", Value: "goes"}}, bson.D{{Key: "_id", Value: int32(6)}, {Key: "blob", Value: "b"}}}
	if _, err := users.InsertMany(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	var changes []*change
	for _, d := range []bson.D{{{Key: "_id", Value: int32(1)}, {Key: "a", Value: 2}}, {{Key: "_id", Value: int32(4)}, {Key: "a", Value: 4}}} {
		doc := raw(d)
		again := newBatch() // deleted and created again, which arrives at once
		for _, doc := range []bson.Raw{nil, raw(bson.D{{Key: "_id", Value: int32(5)}, {Key: "a", Value: 5}})} {
			again.add(change{write: true, key: "5", id: raw(bson.D{{Key: "_id", Value: int32(5)}}).Lookup("_id"), doc: doc})
		}
		changes = append(changes, again.writes()...)
		changes = append(changes, &change{write: true, id: doc.Lookup("_id"), doc: doc})
	}
	changes = append(changes, &change{write: true, id: raw(bson.D{{Key: "_id", Value: int32(3)}}).Lookup("_id")})
	retyped := raw(bson.D{{Key: "_id", Value: 6.0}})
	changes = append(changes, &change{write: true, id: retyped.Lookup("_id"), doc: retyped})
	session, err := client.StartSession()
	if err != nil {
		t.Fatal(err)
	}
	defer endSession(t.Context(), session)
	for range 2 { // it may be carried twice
		err := transact(t.Context(), session, func(ctx context.Context) error {
			return r.writeDocuments(ctx, ownership.Record{Collection: "users"}, changes, newBatch())
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	cursor, err := users.Find(t.Context(), bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		t.Fatal(err)
	}
	var got []bson.Raw
	if err := cursor.All(t.Context(), &got); err != nil {
		t.Fatal(err)
	}
	want := []bson.Raw{raw(bson.D{{Key: "_id", Value: int32(1)}, {Key: "a", Value: 2}, {Key: "blob", Value: "b"}, {Key: "log", Value: bson.A{1}}}),
		raw(bson.D{{Key: "_id", Value: int32(2)}, {Key: "blob", Value: "stays"}}), raw(bson.D{{Key: "_id", Value: int32(4)}, {Key: "a", Value: 4}}),
		raw(bson.D{{Key: "_id", Value: int32(5)}, {Key: "a", Value: 5}}), raw(bson.D{{Key: "_id", Value: 6.0}, {Key: "blob", Value: "b"}})}
	if len(deleted) != 3 || side.IDKey(deleted[1]) != side.IDKey(retyped.Lookup("_id")) {
		t.Errorf("deleted were %v, want 3, 6, and 3 again", deleted)
	}
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i := range want {
		if string(got[i]) != string(want[i]) {
			t.Errorf("%v, want %v", got[i], want[i])
		}
	}
}
