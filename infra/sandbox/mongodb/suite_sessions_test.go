package mongodb_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
)

func raw(t *testing.T, s string) bson.Raw {
	t.Helper()
	b, err := bson.Marshal(parse(t, s))
	do(t, err)
	return b
}

func text(v any) string { return fmt.Sprint(v) }

// sorted shows a document's fields by name, where their order is not promised.
func sorted(t *testing.T, d bson.Raw) string {
	t.Helper()
	elements, err := d.Elements()
	do(t, err)
	var parts []string
	for _, e := range elements {
		parts = append(parts, e.String())
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

// snapshotFind reads as of an instant; the zero time lets the server choose.
func snapshotFind(t *testing.T, coll *mongo.Collection, at bson.Timestamp) (found string, chosen bson.Timestamp, err error) {
	t.Helper()
	rc := bson.D{{Key: "level", Value: "snapshot"}}
	if at.T > 0 {
		rc = append(rc, bson.E{Key: "atClusterTime", Value: at})
	}
	var reply struct {
		Cursor struct {
			At    bson.Timestamp `bson:"atClusterTime"`
			Batch []bson.Raw     `bson:"firstBatch"`
		}
	}
	err = coll.Database().RunCommand(t.Context(), bson.D{
		{Key: "find", Value: coll.Name()}, {Key: "sort", Value: bson.D{{Key: "_id", Value: 1}}}, {Key: "readConcern", Value: rc},
	}).Decode(&reply)
	for _, d := range reply.Cursor.Batch {
		found += show(t, d)
	}
	return found, reply.Cursor.At, err
}

func testSnapshots(t *testing.T, s *suite) {
	coll := s.collection(t, `{"_id": 1, "a": 1}`, `{"_id": 2, "a": 2}`)
	ctx := t.Context()
	then, at, err := snapshotFind(t, coll, bson.Timestamp{})
	do(t, err)
	if at.T == 0 || then != `{"_id":1,"a":1}{"_id":2,"a":2}` {
		t.Fatalf("at %v: %s", at, then)
	}
	_, err = coll.UpdateOne(ctx, parse(t, `{"_id": 1}`), parse(t, `{"$set": {"a": 9}}`))
	do(t, err)
	_, err = coll.DeleteOne(ctx, parse(t, `{"_id": 2}`))
	do(t, err)
	_, err = coll.InsertOne(ctx, parse(t, `{"_id": 3}`))
	do(t, err)
	s.part(t, "reads of the past", func(t *testing.T) { testPast(t, coll, at, then) })
	if now, later, err := snapshotFind(t, coll, bson.Timestamp{}); err != nil || now != `{"_id":1,"a":9}{"_id":3}` || !later.After(at) {
		t.Errorf("now, at %v: %s, %v", later, now, err)
	}
	s.part(t, "snapshot sessions", func(t *testing.T) { testSnapshotSession(t, s, coll) })
}

func testPast(t *testing.T, coll *mongo.Collection, at bson.Timestamp, then string) {
	for range 2 {
		if again, _, err := snapshotFind(t, coll, at); err != nil || again != then {
			t.Errorf("at the same time once more: %s, %v", again, err)
		}
	}
	if _, _, err := snapshotFind(t, coll, bson.Timestamp{T: 1, I: 1}); err == nil {
		t.Error("a read as of 1970 was accepted")
	}
}

// testSnapshotSession reads twice in a session, as one instant.
func testSnapshotSession(t *testing.T, s *suite, coll *mongo.Collection) {
	session, err := s.client.StartSession(options.Session().SetSnapshot(true))
	do(t, err)
	defer session.EndSession(context.Background())
	ctx := mongo.NewSessionContext(t.Context(), session)
	count := func() int {
		cur, err := coll.Find(ctx, bson.D{})
		do(t, err)
		var docs []bson.Raw
		do(t, cur.All(ctx, &docs))
		return len(docs)
	}
	before := count()
	_, err = coll.InsertOne(t.Context(), bson.D{})
	do(t, err)
	if after := count(); after != before {
		t.Errorf("a snapshot session counts %d, then %d", before, after)
	}
}

// testRetryableWrites sends the same numbered write twice.
func testRetryableWrites(t *testing.T, s *suite) {
	coll := s.collection(t, `{"_id": 1, "n": 0}`)
	ctx, db := t.Context(), coll.Database()
	lsid := bson.D{{Key: "id", Value: bson.Binary{Subtype: 4, Data: slices.Repeat([]byte{byte(coll.Name()[0])}, 16)}}}
	numbered := func(n int64, command bson.D) bson.D {
		return append(command, bson.E{Key: "lsid", Value: lsid}, bson.E{Key: "txnNumber", Value: n})
	}
	update := bson.D{{Key: "update", Value: "things"}, {Key: "updates", Value: bson.A{
		bson.D{{Key: "q", Value: bson.D{{Key: "_id", Value: 1}}}, {Key: "u", Value: parse(t, `{"$inc": {"n": 1}}`)}}}}}
	for range 2 {
		var r struct{ N, NModified int }
		do(t, db.RunCommand(ctx, numbered(5, update)).Decode(&r))
		if r.N != 1 || r.NModified != 1 {
			t.Errorf("update: %+v", r)
		}
	}
	modify := bson.D{{Key: "findAndModify", Value: "things"}, {Key: "query", Value: bson.D{}},
		{Key: "update", Value: parse(t, `{"$inc": {"n": 1}}`)}, {Key: "new", Value: true}}
	for range 2 {
		var r struct{ Value struct{ N int } }
		do(t, db.RunCommand(ctx, numbered(6, modify)).Decode(&r))
		if r.Value.N != 2 {
			t.Errorf("findAndModify: %+v", r)
		}
	}
	insert := bson.D{{Key: "insert", Value: "things"}, {Key: "documents", Value: bson.A{bson.D{{Key: "_id", Value: 7}}}}}
	for range 2 {
		var r struct{ WriteErrors []bson.Raw }
		do(t, db.RunCommand(ctx, numbered(7, insert)).Decode(&r))
		if len(r.WriteErrors) > 0 {
			t.Errorf("insert: %v", r.WriteErrors)
		}
	}
	if got := stored(t, coll); got != `{"_id":1,"n":2}` {
		t.Errorf("in the end %s", got)
	}
	s.part(t, "numbers that were overtaken", func(t *testing.T) {
		code(t, db.RunCommand(t.Context(), numbered(6, update)).Err(), 225)
	})
}

func testTransactions(t *testing.T, s *suite) {
	coll := s.collection(t, `{"_id": 1, "n": 0}`)
	ctx := t.Context()
	cs := watch(t, coll, `[]`, options.ChangeStream())
	session, err := s.client.StartSession()
	do(t, err)
	defer session.EndSession(context.Background())
	in := mongo.NewSessionContext(ctx, session)

	do(t, session.StartTransaction(options.Transaction().SetReadConcern(readconcern.Snapshot())))
	_, err = coll.UpdateOne(in, parse(t, `{"_id": 1}`), parse(t, `{"$set": {"n": 1}}`))
	do(t, err)
	_, err = coll.InsertOne(in, parse(t, `{"_id": 2}`))
	do(t, err)
	if got := ids(t, coll, bson.D{}); got != "1" {
		t.Errorf("before the commit others see %s", got)
	}
	if n, err := coll.CountDocuments(in, bson.D{}); err != nil || n != 2 {
		t.Errorf("within, %d documents: %v", n, err)
	}
	do(t, session.CommitTransaction(ctx))
	if got := ids(t, coll, bson.D{}); got != "1 2" {
		t.Errorf("after the commit others see %s", got)
	}
	a, b := next(t, cs), next(t, cs)
	if a.Type != "update" || b.Type != "insert" || !a.Time.Equal(b.Time) || token(a) >= token(b) {
		t.Errorf("the events are %+v and %+v", a, b)
	}

	do(t, session.StartTransaction())
	_, err = coll.DeleteMany(in, bson.D{})
	do(t, err)
	do(t, session.AbortTransaction(ctx))
	if got := ids(t, coll, bson.D{}); got != "1 2" {
		t.Errorf("after the abort others see %s", got)
	}
	testConflict(t, coll, session)
}

func testConflict(t *testing.T, coll *mongo.Collection, session *mongo.Session) {
	ctx := t.Context()
	in := mongo.NewSessionContext(ctx, session)
	do(t, session.StartTransaction())
	if err := coll.FindOne(in, parse(t, `{"_id": 1}`)).Err(); err != nil {
		t.Fatal(err)
	}
	_, err := coll.UpdateOne(ctx, parse(t, `{"_id": 1}`), parse(t, `{"$inc": {"n": 1}}`))
	do(t, err)
	_, err = coll.UpdateOne(in, parse(t, `{"_id": 1}`), parse(t, `{"$inc": {"n": 1}}`))
	var se mongo.ServerError
	if !errors.As(err, &se) || !se.HasErrorLabel("TransientTransactionError") {
		t.Errorf("a conflicting write: %v", err)
	}
	session.AbortTransaction(ctx)
	tries := 0
	_, err = session.WithTransaction(ctx, func(ctx context.Context) (any, error) {
		if tries++; tries == 1 {
			if _, err := coll.CountDocuments(ctx, bson.D{}); err != nil {
				return nil, err
			}
			_, err := coll.UpdateOne(t.Context(), parse(t, `{"_id": 1}`), parse(t, `{"$inc": {"n": 1}}`))
			do(t, err)
		}
		return coll.UpdateOne(ctx, parse(t, `{"_id": 1}`), parse(t, `{"$inc": {"n": 10}}`))
	})
	if err != nil || tries != 2 {
		t.Errorf("the conflict was resolved after %d tries: %v", tries, err)
	}
	if got := stored(t, coll); got != `{"_id":1,"n":13}` {
		t.Errorf("in the end %s", got)
	}
}
