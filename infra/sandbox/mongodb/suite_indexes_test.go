package mongodb_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

func index(t *testing.T, coll *mongo.Collection, keys string, opts *options.IndexOptionsBuilder) string {
	t.Helper()
	name, err := coll.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: parse(t, keys), Options: opts})
	if err != nil {
		t.Fatalf("index %s: %v", keys, err)
	}
	return name
}

func testUniqueIndexes(t *testing.T, s *suite) {
	coll := s.collection(t, `{"_id": 1, "email": "a"}`, `{"_id": 2, "email": "b"}`)
	ctx := t.Context()
	index(t, coll, `{"email": 1}`, options.Index().SetUnique(true))
	_, err := coll.InsertOne(ctx, parse(t, `{"_id": 3, "email": "a"}`))
	if !mongo.IsDuplicateKeyError(err) {
		t.Errorf("inserting a duplicate: %v", err)
	}
	if s.peer != "mongo-java-server" { // it tells neither keyPattern nor keyValue
		testDuplicateDetails(t, err)
	}
	_, err = coll.UpdateOne(ctx, parse(t, `{"_id": 2}`), parse(t, `{"$set": {"email": "a"}}`))
	if !mongo.IsDuplicateKeyError(err) {
		t.Errorf("updating to a duplicate: %v", err)
	}
	if _, err := coll.UpdateOne(ctx, parse(t, `{"_id": 1}`), parse(t, `{"$set": {"email": "c"}}`)); err != nil {
		t.Error(err)
	}
	if _, err := coll.InsertOne(ctx, parse(t, `{"_id": 3, "email": "a"}`)); err != nil {
		t.Errorf("the old value is still taken: %v", err)
	}
	if _, err := coll.InsertOne(ctx, parse(t, `{"_id": 4}`)); err != nil {
		t.Error(err)
	}
	if _, err = coll.InsertOne(ctx, parse(t, `{"_id": 5, "email": null}`)); !mongo.IsDuplicateKeyError(err) {
		t.Errorf("missing and null are the same to a unique index: %v", err)
	}
	if got := ids(t, coll, bson.D{}); got != "1 2 3 4" {
		t.Errorf("stored: %s", got)
	}
}

func testDuplicateDetails(t *testing.T, err error) {
	var we mongo.WriteException
	if !errorAs(err, &we) || len(we.WriteErrors) != 1 {
		t.Errorf("a duplicate is answered with %T", err)
		return
	}
	raw := we.WriteErrors[0].Raw
	if got := show(t, raw.Lookup("keyValue").Document()); got != `{"email":"a"}` {
		t.Errorf("keyValue is %s", got)
	}
	if got := show(t, raw.Lookup("keyPattern").Document()); got != `{"email":1}` {
		t.Errorf("keyPattern is %s", got)
	}
}

func testIndexManagement(t *testing.T, s *suite) {
	coll := s.collection(t, `{"_id": 1, "a": 1}`)
	ctx := t.Context()
	if got := index(t, coll, `{"a": 1, "b": -1}`, nil); got != "a_1_b_-1" {
		t.Errorf("the index is named %s", got)
	}
	index(t, coll, `{"a": 1, "b": -1}`, nil) // again: no error
	index(t, coll, `{"at": 1}`, options.Index().SetExpireAfterSeconds(3600).SetName("ttl"))
	specs, err := coll.Indexes().ListSpecifications(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, x := range specs {
		names = append(names, x.Name)
	}
	if got := strings.Join(names, " "); got != "_id_ a_1_b_-1 ttl" {
		t.Errorf("indexes: %s", got)
	}
	if err := coll.Indexes().DropOne(ctx, "ttl"); err != nil {
		t.Error(err)
	}
	if s.peer != "mongo-java-server" {
		code(t, coll.Indexes().DropOne(ctx, "ttl"), 27)
	}
	if _, err := coll.InsertOne(ctx, parse(t, `{"_id": 2, "a": 1}`)); err != nil {
		t.Fatal(err)
	}
	_, err = coll.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{Key: "a", Value: 1}}, Options: options.Index().SetUnique(true)})
	code(t, err, 11000)
}

func testPartialIndexes(t *testing.T, s *suite) {
	coll := s.collection(t)
	ctx := t.Context()
	index(t, coll, `{"email": 1}`, options.Index().SetUnique(true).SetPartialFilterExpression(parse(t, `{"active": true}`)))
	index(t, coll, `{"phone": 1}`, options.Index().SetUnique(true).SetSparse(true))
	for _, d := range []string{`{"_id": 1, "email": "a"}`, `{"_id": 2, "email": "a"}`, `{"_id": 3, "email": "a", "active": true}`} {
		if _, err := coll.InsertOne(ctx, parse(t, d)); err != nil {
			t.Errorf("inserting %s: %v", d, err)
		}
	}
	_, err := coll.UpdateOne(ctx, parse(t, `{"_id": 1}`), parse(t, `{"$set": {"active": true}}`))
	if !mongo.IsDuplicateKeyError(err) {
		t.Errorf("coming into the partial index: %v", err)
	}
	if _, err := coll.InsertOne(ctx, parse(t, `{"_id": 4, "phone": null}`)); err != nil {
		t.Error(err)
	}
	if _, err := coll.InsertOne(ctx, parse(t, `{"_id": 5, "phone": null}`)); !mongo.IsDuplicateKeyError(err) {
		t.Errorf("a null is there, also for a sparse index: %v", err)
	}
	up := options.Find().SetSort(parse(t, `{"phone": 1}`))
	if got := len(strings.Fields(ids(t, coll, bson.D{}, up))); got != 4 {
		t.Errorf("sorting by a sparse index finds %d", got)
	}
}

// testIndexesChangeNothing asks the same of a collection with and without
// indexes.
func testIndexesChangeNothing(t *testing.T, s *suite) {
	plain, indexed := s.collection(t), s.collection(t)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	var docs []any
	for i := range 300 {
		d := bson.D{{Key: "_id", Value: i}, {Key: "a", Value: r.IntN(10)}, {Key: "at", Value: r.IntN(100)}}
		if i%7 == 0 {
			d[1].Value = bson.A{r.IntN(10), r.IntN(10)}
		}
		docs = append(docs, d)
	}
	for _, c := range []*mongo.Collection{plain, indexed} {
		if _, err := c.InsertMany(t.Context(), docs); err != nil {
			t.Fatal(err)
		}
	}
	index(t, indexed, `{"a": 1, "at": -1}`, nil)
	index(t, indexed, `{"at": 1}`, nil)
	for range 60 {
		filter, sort := randomQuery(r), bson.D{{Key: "at", Value: 1 - 2*r.IntN(2)}, {Key: "_id", Value: 1}}
		opts := options.Find().SetSort(sort).SetLimit(int64(r.IntN(3) * 20))
		if a, b := ids(t, plain, filter, opts), ids(t, indexed, filter, opts); a != b {
			t.Fatalf("seed %d: %s by %s finds\n%s\nwith indexes\n%s", seed, show(t, filter), show(t, sort), a, b)
		}
	}
	if a, b := newest(t, plain), newest(t, indexed); a != b {
		t.Errorf("seed %d: the newest are\n%s\nwith indexes\n%s", seed, a, b)
	}
}

// newest are the latest times of some documents.
func newest(t *testing.T, coll *mongo.Collection) (times string) {
	t.Helper()
	cur, err := coll.Find(t.Context(), bson.D{{Key: "a", Value: bson.D{{Key: "$in", Value: bson.A{1, 3, 5}}}}},
		options.Find().SetSort(bson.D{{Key: "at", Value: -1}}).SetLimit(20))
	do(t, err)
	for cur.Next(t.Context()) {
		times += cur.Current.Lookup("at").String() + " "
	}
	do(t, cur.Err())
	return times
}

func randomQuery(r *rand.Rand) bson.D {
	between := func(key string, n int) bson.E {
		low := r.IntN(n)
		return bson.E{Key: key, Value: bson.D{{Key: "$gte", Value: low}, {Key: "$lt", Value: low + r.IntN(n)}}}
	}
	switch r.IntN(5) {
	case 0:
		return bson.D{{Key: "a", Value: r.IntN(10)}}
	case 1:
		return bson.D{{Key: "a", Value: bson.D{{Key: "$in", Value: bson.A{r.IntN(10), r.IntN(10), r.IntN(10)}}}}}
	case 2:
		return bson.D{between("a", 10)}
	case 3:
		return bson.D{between("at", 100)}
	}
	return bson.D{{Key: "a", Value: r.IntN(10)}, between("at", 100)}
}
