package mongodb_test

import (
	"context"
	"errors"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// testRefused has commands that MongoDB refuses and a careless server takes.
func testRefused(t *testing.T, s *suite) {
	db := s.collection(t, `{"_id": 1}`, `{"_id": 2}`, `{"_id": 3}`).Database()
	ctx := t.Context()
	do(t, db.CreateView(ctx, "view", "things", bson.A{}))
	for command, want := range map[string]int{
		`{"insert": "things", "documents": [{"_id": {"$a": 1}}]}`:                                                     52,
		`{"find": "things", "batchSize": -1}`:                                                                         51024,
		`{"aggregate": "things", "pipeline": [], "cursor": {"batchSize": -1}}`:                                        51024,
		`{"aggregate": "things", "pipeline": []}`:                                                                     9,
		`{"create": "other", "nonsense": 1}`:                                                                          40415,
		`{"find": "view", "sort": {"$natural": 1}}`:                                                                   168,
		`{"find": "view", "limit": 2, "singleBatch": true}`:                                                           168,
		`{"insert": "things", "documents": [{}], "writeConcern": {"w": 51}}`:                                          9,
		`{"find": "things", "writeConcern": {"w": 1}}`:                                                                72,
		`{"insert": "things", "documents": [{}], "readConcern": {"level": "snapshot"}}`:                               72,
		`{"update": "things", "updates": [{"q": {}, "u": {"$set": {"a": 1}}}], "readConcern": {"level": "majority"}}`: 72,
		`{"listCollections": 1, "readConcern": {"level": "snapshot"}}`:                                                72,
		`{"count": "things", "readConcern": {"level": "snapshot"}}`:                                                   72,
	} {
		var r struct {
			Code        int
			WriteErrors []struct{ Code int } `bson:"writeErrors"`
		}
		do(t, bson.Unmarshal(run(t, db, parse(t, command)), &r))
		if len(r.WriteErrors) > 0 {
			r.Code = r.WriteErrors[0].Code
		}
		if r.Code != want {
			t.Errorf("%s: code %d, want %d", command, r.Code, want)
		}
	}
	for _, command := range []string{
		`{"find": "view", "limit": 1, "singleBatch": true}`, `{"find": "view", "limit": 2}`, `{"find": "things", "limit": 2, "singleBatch": true}`,
		`{"find": "things", "collation": {"locale": "simple"}}`, `{"find": "things", "sort": {"$natural": 1}}`,
	} {
		if err := db.RunCommand(ctx, parse(t, command)).Err(); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
	snapshot, err := s.client.StartSession(options.Session().SetSnapshot(true))
	do(t, err)
	defer snapshot.EndSession(context.Background())
	if _, err := db.Collection("things").InsertOne(mongo.NewSessionContext(ctx, snapshot), bson.D{}); err == nil {
		t.Error("a snapshot session may write")
	}
}

// testWriteConcerns: what a set of one member cannot promise is told, and the
// write is done.
func testWriteConcerns(t *testing.T, s *suite) {
	db := s.collection(t).Database()
	for concern, want := range map[string]int{`{"w": 5}`: 100, `{"w": "nope"}`: 79, `{"w": "majority"}`: 0, `{"w": 1}`: 0} {
		command := append(parse(t, `{"insert": "things", "documents": [{}]}`), bson.E{Key: "writeConcern", Value: parse(t, concern)})
		var r struct {
			N     int
			OK    int
			Error struct{ Code int } `bson:"writeConcernError"`
		}
		do(t, bson.Unmarshal(run(t, db, command), &r))
		if r.OK != 1 || r.N != 1 || r.Error.Code != want {
			t.Errorf("%s: %+v, want error %d", concern, r, want)
		}
	}
}

// testWriteConflicts: the second transaction to write a document, or a unique
// value, fails at its write; a write outside of transactions waits for the first.
func testWriteConflicts(t *testing.T, s *suite) {
	coll := s.collection(t, `{"_id": 1, "n": 0}`)
	ctx := t.Context()
	index(t, coll, `{"mail": 1}`, options.Index().SetUnique(true).SetSparse(true))
	first, err := s.client.StartSession()
	do(t, err)
	defer first.EndSession(context.Background())
	in := mongo.NewSessionContext(ctx, first)
	do(t, first.StartTransaction())
	_, err = coll.UpdateOne(in, parse(t, `{"_id": 1}`), parse(t, `{"$inc": {"n": 1}}`))
	do(t, err)
	_, err = coll.InsertOne(in, parse(t, `{"_id": 2, "mail": "a"}`))
	do(t, err)

	second, err := s.client.StartSession()
	do(t, err)
	defer second.EndSession(context.Background())
	for name, write := range map[string]func(ctx context.Context) error{
		"update": func(ctx context.Context) error {
			_, err := coll.UpdateOne(ctx, parse(t, `{"_id": 1}`), parse(t, `{"$inc": {"n": 10}}`))
			return err
		},
		"delete": func(ctx context.Context) error {
			_, err := coll.DeleteMany(ctx, bson.D{})
			return err
		},
		"insert": func(ctx context.Context) error {
			_, err := coll.InsertOne(ctx, parse(t, `{"_id": 3, "mail": "a"}`))
			return err
		},
	} {
		do(t, second.StartTransaction())
		err := write(mongo.NewSessionContext(ctx, second))
		var se mongo.ServerError
		if !errors.As(err, &se) || !se.HasErrorCode(112) || !se.HasErrorLabel("TransientTransactionError") {
			t.Errorf("%s in another transaction: %v", name, err)
		}
		_ = second.AbortTransaction(ctx)
	}
	update := bson.D{{Key: "update", Value: "things"}, {Key: "maxTimeMS", Value: 50}, {Key: "updates", Value: bson.A{
		bson.D{{Key: "q", Value: bson.D{{Key: "_id", Value: 1}}}, {Key: "u", Value: parse(t, `{"$inc": {"n": 100}}`)}}}}}
	code(t, coll.Database().RunCommand(ctx, update).Err(), 50)
	waiting := make(chan error, 1)
	go func() {
		_, err := coll.UpdateOne(ctx, parse(t, `{"_id": 1}`), parse(t, `{"$inc": {"n": 1000}}`))
		waiting <- err
	}()
	until(t, s.client, `{"op": "update", "ns": "`+coll.Database().Name()+`.things"}`)
	do(t, first.CommitTransaction(ctx))
	do(t, <-waiting)
	if got := stored(t, coll); got != `{"_id":1,"n":1001}` {
		t.Errorf("in the end %s", got)
	}
}

// testTransactionalDDL: what a transaction creates is there for others when it
// commits.
func testTransactionalDDL(t *testing.T, s *suite) {
	db := s.database(t)
	ctx := t.Context()
	do(t, db.CreateCollection(ctx, "there"))
	session, err := s.client.StartSession()
	do(t, err)
	defer session.EndSession(context.Background())
	in := mongo.NewSessionContext(ctx, session)
	names := func() string {
		names, err := db.ListCollectionNames(ctx, parse(t, `{"name": {"$in": ["explicit", "implicit"]}}`))
		do(t, err)
		return text(len(names))
	}
	for _, end := range []func(context.Context) error{session.AbortTransaction, session.CommitTransaction} {
		do(t, session.StartTransaction())
		do(t, db.CreateCollection(in, "explicit"))
		_, err := db.Collection("implicit").InsertOne(in, parse(t, `{"_id": 1}`))
		do(t, err)
		_, err = db.Collection("implicit").UpdateOne(in, bson.D{}, parse(t, `{"$set": {"a": 1}}`))
		do(t, err)
		if d, err := db.Collection("implicit").FindOne(in, bson.D{}).Raw(); err != nil || show(t, d) != `{"_id":1,"a":1}` {
			t.Errorf("within: %s, %v", d, err)
		}
		if n := names(); n != "0" {
			t.Errorf("others see %s collections before the end", n)
		}
		do(t, end(ctx))
	}
	if n := names(); n != "2" || stored(t, db.Collection("implicit")) != `{"_id":1,"a":1}` {
		t.Errorf("after the commit there are %s collections", n)
	}
	for _, c := range []bson.D{
		{{Key: "drop", Value: "there"}}, {{Key: "collMod", Value: "there"}}, {{Key: "count", Value: "there"}}, {{Key: "listCollections", Value: 1}},
	} {
		do(t, session.StartTransaction())
		code(t, db.RunCommand(in, c).Err(), 263)
		_ = session.AbortTransaction(ctx)
	}
}
