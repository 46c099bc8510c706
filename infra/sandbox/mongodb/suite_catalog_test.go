package mongodb_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

func testCatalog(t *testing.T, s *suite) {
	db := s.database(t)
	ctx := t.Context()
	for _, name := range []string{"b", "a"} {
		if err := db.CreateCollection(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	names, err := db.ListCollectionNames(ctx, bson.D{{Key: "name", Value: bson.D{{Key: "$in", Value: bson.A{"a", "b"}}}}})
	if err != nil || len(names) != 2 {
		t.Errorf("collections: %v, %v", names, err)
	}
	if s.peer != "mongo-java-server" { // allows it
		code(t, db.CreateCollection(ctx, "a", options.CreateCollection().SetValidator(bson.D{{Key: "x", Value: 1}})), 48)
	}
	if err := db.Collection("a").Drop(ctx); err != nil {
		t.Error(err)
	}
	if err := db.Collection("never").Drop(ctx); err != nil {
		t.Errorf("dropping what is not there: %v", err)
	}
}

func (s *suite) rename(ctx context.Context, db *mongo.Database, from, to string, dropTarget bool) error {
	return s.client.Database("admin").RunCommand(ctx, bson.D{
		{Key: "renameCollection", Value: db.Name() + "." + from}, {Key: "to", Value: db.Name() + "." + to}, {Key: "dropTarget", Value: dropTarget},
	}).Err()
}

func testRename(t *testing.T, s *suite) {
	coll := s.collection(t, `{"_id": 1, "a": 1}`)
	ctx, db := t.Context(), coll.Database()
	index(t, coll, `{"a": 1}`, options.Index().SetUnique(true))
	if err := s.rename(ctx, db, "things", "moved", false); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, db.Collection("moved"), bson.D{}) + "|" + ids(t, coll, bson.D{}); got != "1|" {
		t.Errorf("moved|left: %s", got)
	}
	if _, err := db.Collection("moved").InsertOne(ctx, parse(t, `{"_id": 2, "a": 1}`)); !mongo.IsDuplicateKeyError(err) {
		t.Errorf("the index did not move along: %v", err)
	}
	if err := s.rename(ctx, db, "things", "other", false); s.peer == "mongo-java-server" {
		if err == nil { // it gives no code
			t.Error("renaming what is not there was accepted")
		}
	} else {
		code(t, err, 26)
	}
	if _, err := coll.InsertOne(ctx, parse(t, `{"_id": 9}`)); err != nil {
		t.Fatalf("an insert makes the old name anew: %v", err)
	}
	code(t, s.rename(ctx, db, "things", "moved", false), 48)
	if err := s.rename(ctx, db, "things", "moved", true); err != nil {
		t.Error(err)
	}
	if got := ids(t, db.Collection("moved"), bson.D{}); got != "9" {
		t.Errorf("after dropTarget: %s", got)
	}
}

// testRenameUnderWrites loses no acknowledged insert to a rename: each is under
// the old name or the new one.
func testRenameUnderWrites(t *testing.T, s *suite) {
	coll := s.collection(t, `{"_id": "first"}`)
	ctx, db := t.Context(), coll.Database()
	const writers, each = 4, 50
	var wg sync.WaitGroup
	for w := range writers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range each {
				if _, err := coll.InsertOne(ctx, bson.D{{Key: "_id", Value: w*each + i}}); err != nil {
					t.Errorf("insert: %v", err)
				}
			}
		}()
	}
	if err := s.rename(ctx, db, "things", "moved", false); err != nil {
		t.Error(err)
	}
	wg.Wait()
	old, err := coll.CountDocuments(ctx, bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	moved, err := db.Collection("moved").CountDocuments(ctx, bson.D{})
	if err != nil || old+moved != writers*each+1 || moved < 1 {
		t.Errorf("%d under the old name and %d under the new, of %d: %v", old, moved, writers*each+1, err)
	}
}

func testViews(t *testing.T, s *suite) {
	coll := s.collection(t, `{"_id": 1, "a": 1}`, `{"_id": 2, "a": 2}`, `{"_id": 3, "a": 3}`)
	ctx, db := t.Context(), coll.Database()
	if err := db.CreateView(ctx, "big", "things", bson.A{parse(t, `{"$match": {"a": {"$gt": 1}}}`), parse(t, `{"$set": {"b": "$a"}}`)}); err != nil {
		t.Fatal(err)
	}
	if err := db.CreateView(ctx, "bigger", "big", bson.A{parse(t, `{"$match": {"b": {"$gt": 2}}}`)}); err != nil {
		t.Fatal(err)
	}
	big := db.Collection("big")
	down := options.Find().SetSort(bson.D{{Key: "_id", Value: -1}})
	if got := ids(t, big, bson.D{}, down) + "|" + ids(t, db.Collection("bigger"), bson.D{}) + "|" + ids(t, big, parse(t, `{"b": 2}`)); got != "3 2|3|2" {
		t.Errorf("views show %s", got)
	}
	if n, err := big.CountDocuments(ctx, bson.D{}); err != nil || n != 2 {
		t.Errorf("counted %d, %v", n, err)
	}
	if n, err := big.EstimatedDocumentCount(ctx); err != nil || n != 2 {
		t.Errorf("estimated %d, %v", n, err)
	}
	s.part(t, "writes to views", func(t *testing.T) { testWritesToView(t, big) })
	specs, err := db.ListCollectionSpecifications(ctx, bson.D{{Key: "name", Value: "big"}})
	if err != nil || len(specs) != 1 || specs[0].Type != "view" || !specs[0].ReadOnly {
		t.Errorf("specification: %+v, %v", specs, err)
	}
}

func testWritesToView(t *testing.T, big *mongo.Collection) {
	ctx := t.Context()
	_, err := big.InsertOne(ctx, parse(t, `{"_id": 4}`))
	code(t, err, 166)
	_, err = big.UpdateOne(ctx, bson.D{}, parse(t, `{"$set": {"x": 1}}`))
	code(t, err, 166)
	_, err = big.DeleteMany(ctx, bson.D{})
	code(t, err, 166)
	code(t, big.FindOneAndDelete(ctx, bson.D{}).Err(), 166)
	_, err = big.BulkWrite(ctx, []mongo.WriteModel{mongo.NewInsertOneModel().SetDocument(bson.D{})})
	code(t, err, 166)
	_, err = big.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{Key: "a", Value: 1}}})
	code(t, err, 166)
}

// testFence is the way in which a collection is taken away from its writers and
// given back: rename it and put a view in its place.
func testFence(t *testing.T, s *suite) {
	coll := s.collection(t, `{"_id": 1}`)
	ctx, db := t.Context(), coll.Database()
	if err := s.rename(ctx, db, "things", "things__e1", false); err != nil {
		t.Fatal(err)
	}
	if err := db.CreateView(ctx, "things", "things__e1", bson.A{}); err != nil {
		t.Fatal(err)
	}
	s.part(t, "writes to the fence", func(t *testing.T) {
		_, err := coll.InsertOne(t.Context(), parse(t, `{"_id": 2}`))
		code(t, err, 166)
	})
	if got := ids(t, coll, bson.D{}); got != "1" {
		t.Errorf("through the fence one reads %s", got)
	}
	if err := s.rename(ctx, db, "things__e1", "things", false); err == nil {
		t.Error("a rename onto the view was accepted")
	}
	if err := coll.Drop(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.rename(ctx, db, "things__e1", "things", false); err != nil {
		t.Fatal(err)
	}
	if _, err := coll.InsertOne(ctx, parse(t, `{"_id": 2}`)); err != nil {
		t.Errorf("after the fence was taken down: %v", err)
	}
	code(t, db.CreateView(ctx, "things", "other", bson.A{}), 48)
}

func testValidators(t *testing.T, s *suite) {
	db := s.database(t)
	ctx := t.Context()
	if err := db.CreateCollection(ctx, "things", options.CreateCollection().SetValidator(parse(t, `{"a": {"$type": "int"}}`))); err != nil {
		t.Fatal(err)
	}
	coll := db.Collection("things")
	_, err := coll.InsertOne(ctx, parse(t, `{"_id": 1, "a": "x"}`))
	code(t, err, 121)
	if _, err := coll.InsertOne(ctx, parse(t, `{"_id": 1, "a": 1}`)); err != nil {
		t.Error(err)
	}
	_, err = coll.UpdateOne(ctx, bson.D{}, parse(t, `{"$unset": {"a": 1}}`))
	code(t, err, 121)
	if err := db.RunCommand(ctx, bson.D{{Key: "collMod", Value: "things"}, {Key: "validator", Value: bson.D{}}}).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := coll.UpdateOne(ctx, bson.D{}, parse(t, `{"$unset": {"a": 1}}`)); err != nil {
		t.Error(err)
	}
}

// testValidationLevels: moderate lets what was invalid before be, warn and off
// refuse nothing.
func testValidationLevels(t *testing.T, s *suite) {
	coll := s.collection(t, `{"_id": "bad", "a": "x"}`, `{"_id": "good", "a": 1}`)
	ctx, db := t.Context(), coll.Database()
	modify := func(options string) {
		t.Helper()
		do(t, db.RunCommand(ctx, append(bson.D{{Key: "collMod", Value: "things"}}, parse(t, options)...)).Err())
	}
	modify(`{"validator": {"a": {"$type": "int"}}, "validationLevel": "moderate"}`)
	set := parse(t, `{"$set": {"b": 1}}`)
	_, err := coll.UpdateOne(ctx, parse(t, `{"_id": "bad"}`), set)
	do(t, err)
	_, err = coll.UpdateOne(ctx, parse(t, `{"_id": "good"}`), parse(t, `{"$set": {"a": "x"}}`))
	code(t, err, 121)
	var we mongo.WriteException
	if errors.As(err, &we) && we.WriteErrors[0].Details.Lookup("failingDocumentId").StringValue() != "good" {
		t.Errorf("the details are %s", we.WriteErrors[0].Details)
	}
	_, err = coll.InsertOne(ctx, bson.D{})
	code(t, err, 121)
	modify(`{"validationLevel": "strict"}`)
	_, err = coll.UpdateOne(ctx, parse(t, `{"_id": "bad"}`), parse(t, `{"$set": {"b": 2}}`))
	code(t, err, 121)
	for _, lenient := range []string{`{"validationAction": "warn"}`, `{"validationAction": "error", "validationLevel": "off"}`} {
		modify(lenient)
		_, err = coll.InsertOne(ctx, bson.D{})
		do(t, err)
	}
}

func testCollMod(t *testing.T, s *suite) {
	coll := s.collection(t, `{"_id": 1, "a": 1}`, `{"_id": 2, "a": 2}`)
	ctx, db := t.Context(), coll.Database()
	modify := func(command string, reply any) error {
		r := db.RunCommand(ctx, parse(t, command))
		if r.Err() == nil {
			do(t, r.Decode(reply))
		}
		return r.Err()
	}
	index(t, coll, `{"at": 1}`, options.Index().SetExpireAfterSeconds(60).SetName("ttl"))
	var changed struct {
		Old int64 `bson:"expireAfterSeconds_old"`
		New int64 `bson:"expireAfterSeconds_new"`
	}
	for range 2 {
		do(t, modify(`{"collMod": "things", "index": {"name": "ttl", "expireAfterSeconds": 2147483647}}`, &changed))
	}
	specs, err := coll.Indexes().ListSpecifications(ctx)
	if err != nil || len(specs) != 2 || *specs[1].ExpireAfterSeconds != 2147483647 || changed.Old != 2147483647 {
		t.Errorf("the index is %+v after %+v: %v", specs, changed, err)
	}
	code(t, modify(`{"collMod": "things", "index": {"name": "none", "expireAfterSeconds": 1}}`, &changed), 27)

	do(t, db.CreateView(ctx, "view", "things", bson.A{}))
	do(t, modify(`{"collMod": "view", "viewOn": "things", "pipeline": [{"$match": {"a": 2}}]}`, &changed))
	if got := ids(t, db.Collection("view"), bson.D{}); got != "2" {
		t.Errorf("the view shows %s", got)
	}
	do(t, modify(`{"collMod": "view", "viewOn": "nothing", "pipeline": []}`, &changed))
	if got := ids(t, db.Collection("view"), bson.D{}); got != "" {
		t.Errorf("a view of nothing shows %s", got)
	}
	code(t, modify(`{"collMod": "view", "validator": {"a": 1}}`, &changed), 72)
	code(t, modify(`{"collMod": "things", "viewOn": "things", "pipeline": []}`, &changed), 72)
	code(t, modify(`{"collMod": "never", "validator": {"a": 1}}`, &changed), 26)
}

func testErrors(t *testing.T, s *suite) {
	coll := s.collection(t, `{"_id": 1}`)
	ctx, db := t.Context(), coll.Database()
	code(t, db.RunCommand(ctx, bson.D{{Key: "makeCoffee", Value: 1}}).Err(), 59)
	_, err := coll.Find(ctx, parse(t, `{"a": {"$nonsense": 1}}`))
	code(t, err, 2)
	_, err = coll.InsertOne(ctx, parse(t, `{"_id": 1}`))
	if !mongo.IsDuplicateKeyError(err) {
		t.Errorf("the same _id: %v", err)
	}
	if s.peer == "mongo-java-server" {
		return // it has other codes for, or accepts, the rest
	}
	s.part(t, "an array as _id", func(t *testing.T) {
		_, err := coll.InsertOne(t.Context(), bson.D{{Key: "_id", Value: bson.A{1}}})
		code(t, err, 53)
	})
	_, err = db.Collection("a$b").InsertOne(ctx, bson.D{})
	code(t, err, 73)
	_, err = coll.Aggregate(ctx, bson.A{bson.D{{Key: "$nonsense", Value: 1}}})
	code(t, err, 40324)
	_, err = coll.ReplaceOne(ctx, parse(t, `{"_id": 1}`), parse(t, `{"_id": 2}`))
	code(t, err, 66)
}

func testLargeDocuments(t *testing.T, s *suite) {
	coll := s.collection(t)
	ctx := t.Context()
	fits := strings.Repeat("x", 16<<20-40)
	if _, err := coll.InsertOne(ctx, bson.D{{Key: "_id", Value: 1}, {Key: "s", Value: fits}}); err != nil {
		t.Fatalf("a document of nearly 16 MiB: %v", err)
	}
	if _, err := coll.InsertOne(ctx, bson.D{{Key: "_id", Value: 2}, {Key: "s", Value: fits + strings.Repeat("x", 40)}}); err == nil {
		t.Error("a document of more than 16 MiB was accepted")
	}
	if s.peer != "mongo-java-server" { // has no limit here
		if _, err := coll.UpdateOne(ctx, bson.D{}, bson.D{{Key: "$set", Value: bson.D{{Key: "t", Value: fits[:100]}}}}); err == nil {
			t.Error("an update to more than 16 MiB was accepted")
		}
	}
	if _, err := coll.DeleteOne(ctx, bson.D{{Key: "_id", Value: 1}}); err != nil {
		t.Error(err)
	}
}
