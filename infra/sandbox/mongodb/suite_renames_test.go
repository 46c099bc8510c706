package mongodb_test

import (
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// seen are the next events of a stream, as "type coll" or "rename coll to".
func seen(t *testing.T, cs *mongo.ChangeStream, n int) string {
	t.Helper()
	var out []string
	for range n {
		e := next(t, cs)
		out = append(out, strings.TrimSpace(strings.Join([]string{e.Type, e.NS.Coll, e.To.Coll}, " ")))
	}
	return strings.Join(out, ", ")
}

// testRenameEvents: a rename onto a name is an event of both names, whatever was
// under the second, whose drop is no event of its own.
func testRenameEvents(t *testing.T, s *suite) {
	db := s.collection(t, `{"_id": 1}`).Database()
	ctx := t.Context()
	do(t, db.CreateCollection(ctx, "new"))
	dropped, id := uuidOf(t, db, "things"), uuidOf(t, db, "new")
	all, expanded := watch(t, db, `[]`, options.ChangeStream()), watch(t, db, `[]`, options.ChangeStream().SetShowExpandedEvents(true))
	of := map[string]*mongo.ChangeStream{}
	for _, name := range []string{"things", "new"} {
		of[name] = watch(t, db.Collection(name), `[]`, options.ChangeStream())
	}
	do(t, s.rename(ctx, db, "new", "things", true))
	for name, cs := range of {
		if got := seen(t, cs, 2); got != "rename new things, invalidate" {
			t.Errorf("%s: %s", name, got)
		}
		if cs.ID() != 0 || cs.Next(ctx) || cs.Err() != nil {
			t.Errorf("%s: after the end the cursor is %d, with the error %v", name, cs.ID(), cs.Err())
		}
	}
	_, err := db.Collection("things").InsertOne(ctx, parse(t, `{"_id": 2}`))
	do(t, err)
	if got := seen(t, all, 2); got != "rename new things, insert things" {
		t.Errorf("database: %s", got)
	}
	var e struct {
		UUID        bson.Binary `bson:"collectionUUID"`
		Description struct {
			To         struct{ DB, Coll string }
			DropTarget bson.Binary `bson:"dropTarget"`
		} `bson:"operationDescription"`
	}
	next(t, expanded)
	do(t, expanded.Decode(&e))
	if !e.UUID.Equal(id) || !e.Description.DropTarget.Equal(dropped) || e.Description.To.Coll != "things" {
		t.Errorf("expanded: %s", expanded.Current)
	}
	if e := all.Current.Lookup("collectionUUID"); e.Type != 0 {
		t.Errorf("a collectionUUID without expanded events: %s", all.Current)
	}
}

func testExpandedEvents(t *testing.T, s *suite) {
	db := s.database(t)
	ctx := t.Context()
	plain, expanded := watch(t, db, `[]`, options.ChangeStream()), watch(t, db, `[]`, options.ChangeStream().SetShowExpandedEvents(true))
	do(t, db.CreateCollection(ctx, "c"))
	index(t, db.Collection("c"), `{"a": 1}`, nil)
	do(t, db.RunCommand(ctx, bson.D{{Key: "collMod", Value: "c"}, {Key: "validator", Value: parse(t, `{"a": 1}`)}}).Err())
	do(t, db.Collection("c").Indexes().DropOne(ctx, "a_1"))
	do(t, db.Collection("c").Drop(ctx))
	if got, want := seen(t, expanded, 5), "create c, createIndexes c, modify c, dropIndexes c, drop c"; got != want {
		t.Errorf("expanded: %s, want %s", got, want)
	}
	if got := seen(t, plain, 1); got != "drop c" {
		t.Errorf("plain: %s", got)
	}
}

// testOutEvents: $out puts a new collection in the place of its target by a
// rename.
func testOutEvents(t *testing.T, s *suite) {
	coll := s.collection(t, `{"_id": 1, "a": 1}`, `{"_id": 2, "a": 2}`)
	ctx, db := t.Context(), coll.Database()
	target := db.Collection("target")
	index(t, target, `{"a": 1}`, options.Index().SetUnique(true))
	_, err := target.InsertOne(ctx, parse(t, `{"_id": 9, "a": 9}`))
	do(t, err)
	id, cs := uuidOf(t, db, "target"), watch(t, target, `[]`, options.ChangeStream())
	cur, err := coll.Aggregate(ctx, bson.A{parse(t, `{"$match": {"a": 2}}`), parse(t, `{"$out": "target"}`)})
	do(t, err)
	if cur.Next(ctx) {
		t.Errorf("$out gives %s", cur.Current)
	}
	if got := ids(t, target, bson.D{}); got != "2" || uuidOf(t, db, "target").Equal(id) {
		t.Errorf("the target has %s, and its UUID is %v", got, uuidOf(t, db, "target"))
	}
	e := next(t, cs)
	if e.Type != "rename" || e.To.Coll != "target" || next(t, cs).Type != "invalidate" {
		t.Errorf("of the target one sees %+v", e)
	}
	if _, err := target.InsertOne(ctx, parse(t, `{"a": 2}`)); !mongo.IsDuplicateKeyError(err) {
		t.Errorf("the target's unique index is gone: %v", err)
	}
	do(t, db.CreateView(ctx, "view", "things", bson.A{}))
	if _, err = coll.Aggregate(ctx, bson.A{parse(t, `{"$out": "view"}`)}); err == nil {
		t.Error("$out onto a view was accepted")
	}
	if names, err := db.ListCollectionNames(ctx, parse(t, `{"name": {"$regex": "^tmp"}}`)); err != nil || len(names) > 0 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

func testDropDatabaseEvents(t *testing.T, s *suite) {
	db := s.collection(t, `{"_id": 1}`).Database()
	ctx := t.Context()
	do(t, db.CreateCollection(ctx, "a"))
	all, one := watch(t, db, `[]`, options.ChangeStream()), watch(t, db.Collection("things"), `[]`, options.ChangeStream())
	do(t, db.Drop(ctx))
	if got := seen(t, all, 4); got != "drop a, drop things, dropDatabase, invalidate" && got != "drop things, drop a, dropDatabase, invalidate" || all.ID() != 0 {
		t.Errorf("database: %s, cursor %d", got, all.ID())
	}
	if got := seen(t, one, 2); got != "drop things, invalidate" || one.ID() != 0 {
		t.Errorf("collection: %s, cursor %d", got, one.ID())
	}
}

// testCursorsEnd: a cursor does not go on when its collection is dropped or has
// another name, even if there is a new one under the old name.
func testCursorsEnd(t *testing.T, s *suite) {
	db := s.database(t)
	ctx := t.Context()
	do(t, db.CreateCollection(ctx, "source"))
	for name, end := range map[string]func() error{
		"renamed": func() error { return s.rename(ctx, db, "renamed", "away", false) },
		"dropped": func() error { return db.Collection("dropped").Drop(ctx) },
		"target":  func() error { return s.rename(ctx, db, "source", "target", true) },
	} {
		coll := db.Collection(name)
		var docs []any
		for i := range 10 {
			docs = append(docs, bson.D{{Key: "_id", Value: i}})
		}
		_, err := coll.InsertMany(ctx, docs)
		do(t, err)
		cur, err := coll.Find(ctx, bson.D{}, options.Find().SetBatchSize(2))
		do(t, err)
		do(t, end())
		_, err = coll.InsertOne(ctx, bson.D{})
		do(t, err)
		for cur.Next(ctx) {
		}
		code(t, cur.Err(), 175)
	}
}
