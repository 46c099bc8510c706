package mongodb_test

import (
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

func testProjections(t *testing.T, s *suite) {
	coll := s.collection(t, `{"_id": 1, "a": 1, "b": {"c": 2, "d": 3}, "e": [{"f": 1, "g": 2}, {"f": 3}, 5]}`)
	for _, c := range []struct{ projection, want string }{
		{`{"a": 1}`, `{"_id":1,"a":1}`},
		{`{"_id": 0, "a": 1}`, `{"a":1}`},
		{`{"_id": 1}`, `{"_id":1}`},
		{`{"_id": 0}`, `{"a":1,"b":{"c":2,"d":3},"e":[{"f":1,"g":2},{"f":3},5]}`},
		{`{"b.d": 1}`, `{"_id":1,"b":{"d":3}}`},
		{`{"b.c": 0, "e": 0}`, `{"_id":1,"a":1,"b":{"d":3}}`},
		{`{"e.f": 1}`, `{"_id":1,"e":[{"f":1},{"f":3}]}`},
		{`{"e.f": 0}`, `{"_id":1,"a":1,"b":{"c":2,"d":3},"e":[{"g":2},{},5]}`},
	} {
		d, err := coll.FindOne(t.Context(), bson.D{}, options.FindOne().SetProjection(parse(t, c.projection))).Raw()
		if err != nil {
			t.Errorf("%s: %v", c.projection, err)
			continue
		}
		if got := show(t, d); got != c.want {
			t.Errorf("%s shows %s, want %s", c.projection, got, c.want)
		}
	}
}

func testCursors(t *testing.T, s *suite) {
	coll := s.collection(t)
	ctx := t.Context()
	var docs []any
	for i := range 250 {
		docs = append(docs, bson.D{{Key: "_id", Value: i}, {Key: "even", Value: i%2 == 0}})
	}
	if _, err := coll.InsertMany(ctx, docs); err != nil {
		t.Fatal(err)
	}
	cur, err := coll.Find(ctx, bson.D{}, options.Find().SetBatchSize(30).SetSort(bson.D{{Key: "_id", Value: -1}}))
	if err != nil {
		t.Fatal(err)
	}
	want := 249
	for cur.Next(ctx) {
		if got, _ := cur.Current.Lookup("_id").Int32OK(); int(got) != want {
			t.Fatalf("cursor gives %d, want %d", got, want)
		}
		want--
	}
	if cur.Err() != nil || want != -1 {
		t.Errorf("the cursor ended before %d: %v", want, cur.Err())
	}
	window := options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetSkip(5).SetLimit(3)
	if got := ids(t, coll, parse(t, `{"even": true}`), window); got != "10 12 14" {
		t.Errorf("skip and limit give %s", got)
	}
	if n, err := coll.CountDocuments(ctx, parse(t, `{"even": true}`)); err != nil || n != 125 {
		t.Errorf("counted %d, %v", n, err)
	}
	if n, err := coll.EstimatedDocumentCount(ctx); err != nil || n != 250 {
		t.Errorf("estimated %d, %v", n, err)
	}
	testLostCursor(t, coll)
}

func testLostCursor(t *testing.T, coll *mongo.Collection) {
	err := coll.Database().RunCommand(t.Context(), bson.D{{Key: "getMore", Value: int64(12345)}, {Key: "collection", Value: coll.Name()}}).Err()
	code(t, err, 43)
}

func testAggregation(t *testing.T, s *suite) {
	coll := s.collection(t,
		`{"_id": 1, "k": "a", "n": 1, "tags": ["x", "y"]}`, `{"_id": 2, "k": "b", "n": 5, "tags": []}`,
		`{"_id": 3, "k": "a", "n": 3, "tags": ["x"]}`, `{"_id": 4, "k": "a", "n": {"$numberLong": "4"}}`)
	for _, c := range []struct{ pipeline, want string }{
		{`[{"$match": {"_id": {"$gt": 2}}}, {"$limit": 2}, {"$project": {"n": 1}}]`, `{"_id":3,"n":3} {"_id":4,"n":4}`},
		{`[{"$match": {"k": "a"}}, {"$group": {"_id": 1, "n": {"$sum": 1}}}]`, `{"_id":1,"n":3}`},
		{`[{"$match": {"_id": 2}}, {"$project": {"tags": 0}}]`, `{"_id":2,"k":"b","n":5}`},
	} {
		if got := aggregated(t, coll, c.pipeline); got != c.want {
			t.Errorf("%s gives %s, want %s", c.pipeline, got, c.want)
		}
	}
}

func aggregated(t *testing.T, coll *mongo.Collection, pipeline string) string {
	t.Helper()
	var p bson.A
	if err := bson.UnmarshalExtJSON([]byte(pipeline), false, &p); err != nil {
		t.Fatal(err)
	}
	cur, err := coll.Aggregate(t.Context(), p)
	if err != nil {
		t.Errorf("%s: %v", pipeline, err)
		return ""
	}
	var docs []bson.D
	if err := cur.All(t.Context(), &docs); err != nil {
		t.Errorf("%s: %v", pipeline, err)
	}
	var out []string
	for _, d := range docs {
		out = append(out, show(t, d))
	}
	return strings.Join(out, " ")
}
