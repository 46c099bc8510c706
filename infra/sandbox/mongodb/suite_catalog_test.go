package mongodb_test

import (
	"context"
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
	all, err := s.client.ListDatabaseNames(ctx, bson.D{})
	if err != nil || !strings.Contains(strings.Join(all, " "), db.Name()) {
		t.Errorf("databases: %v, %v", all, err)
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
	if err := db.CreateView(ctx, "big", "things", bson.A{parse(t, `{"$match": {"a": {"$gt": 1}}}`), parse(t, `{"$addFields": {"b": "$a"}}`)}); err != nil {
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
	specs, err := db.ListCollectionSpecifications(ctx, bson.D{{Key: "name", Value: "big"}})
	if err != nil || len(specs) != 1 || specs[0].Type != "view" || !specs[0].ReadOnly {
		t.Errorf("specification: %+v, %v", specs, err)
	}
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
	_, err := coll.InsertOne(ctx, parse(t, `{"_id": 2}`))
	code(t, err, 166)
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
	_, err = coll.InsertOne(ctx, bson.D{{Key: "_id", Value: bson.A{1}}})
	code(t, err, 53)
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
