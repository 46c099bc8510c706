package mongodb_test

import (
	"bytes"
	"errors"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

func errorAs(err error, target any) bool { return errors.As(err, target) }

func testHandshake(t *testing.T, s *suite) {
	var hello struct {
		IsMaster       bool `bson:"ismaster"`
		MaxWireVersion int
		MaxBSON        int `bson:"maxBsonObjectSize"`
	}
	if err := s.client.Database("admin").RunCommand(t.Context(), bson.D{{Key: "isMaster", Value: 1}}).Decode(&hello); err != nil {
		t.Fatal(err)
	}
	if !hello.IsMaster || hello.MaxBSON != 16<<20 || hello.MaxWireVersion < 9 {
		t.Errorf("isMaster says %+v", hello)
	}
	if err := s.client.Ping(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

// everyType is one value of each type that others still speak of, with the
// corners that decoders like to lose.
const everyType = `{"_id": 1,
 "int": {"$numberInt": "-1"}, "long": {"$numberLong": "9223372036854775807"},
 "double": {"$numberDouble": "-0.0"}, "nan": {"$numberDouble": "NaN"}, "inf": {"$numberDouble": "-Infinity"},
 "dec": {"$numberDecimal": "1.000E-6170"}, "dec34": {"$numberDecimal": "1234567890123456789012345678901234"}, "decnan": {"$numberDecimal": "NaN"},
 "text": "a\u0000b", "empty": "", "": 1, "doc": {"z": 1, "a": {"$numberLong": "1"}}, "arr": [1, [2, {"x": []}]],
 "bin": {"$binary": {"base64": "AQID", "subType": "80"}}, "old": {"$binary": {"base64": "AQID", "subType": "02"}},
 "uuid": {"$binary": {"base64": "c//SZESzTGmQ6OfR38A11A==", "subType": "04"}},
 "oid": {"$oid": "56e1fc72e0c917e9c4714161"}, "yes": true, "no": false,
 "old date": {"$date": {"$numberLong": "-284643869501"}}, "null": null,
 "re": {"$regularExpression": {"pattern": "^a/b", "options": "im"}},
 "js": {"$code": "f()"}, "ts": {"$timestamp": {"t": 4294967295, "i": 1}}, "min": {"$minKey": 1}, "max": {"$maxKey": 1}}`

const deprecatedTypes = `{"_id": 2, "undef": {"$undefined": true}, "sym": {"$symbol": "s"},
 "ptr": {"$dbPointer": {"$ref": "db.c", "$id": {"$oid": "56e1fc72e0c917e9c4714161"}}},
 "scope": {"$code": "f()", "$scope": {"x": 1}}}`

func testTypes(t *testing.T, s *suite) {
	document := everyType
	if s.peer == "mongo-java-server" {
		document = `{"_id": 1, "int": 1, "long": {"$numberLong": "9223372036854775807"}, "double": 1.5, "doc": {"z": 1, "a": 2}, "null": null,
			"arr": [1, [2]], "oid": {"$oid": "56e1fc72e0c917e9c4714161"}, "date": {"$date": {"$numberLong": "-1"}}, "dec": {"$numberDecimal": "1.50"}}`
	}
	testStored(t, s, document)
	s.part(t, "deprecated types", func(t *testing.T) { testStored(t, s, deprecatedTypes) })
}

// testStored reads what it stored, byte for byte.
func testStored(t *testing.T, s *suite, document string) {
	coll := s.collection(t)
	var d bson.D
	if err := bson.UnmarshalExtJSON([]byte(document), true, &d); err != nil {
		t.Fatal(err)
	}
	want, err := bson.Marshal(d)
	do(t, err)
	if _, err := coll.InsertOne(t.Context(), bson.Raw(want)); err != nil {
		t.Fatalf("inserting %s: %v", document, err)
	}
	got, err := coll.FindOne(t.Context(), bson.D{}).Raw()
	do(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("stored\n%s\nread\n%s", bson.Raw(want), got)
	}
}

// A query and the documents it finds, in order of _id.
type filterCase struct{ filter, want string }

var filterDocuments = []string{
	`{"_id": 1, "a": 1, "s": "apple"}`,
	`{"_id": 2, "a": {"$numberLong": "2"}, "s": "Banana"}`,
	`{"_id": 3, "a": 2.5, "b": {"c": 1, "d": 2}}`,
	`{"_id": 4, "a": [1, 5, 9], "b": {"d": 2, "c": 1}}`,
	`{"_id": 5, "a": null, "b": [{"c": 1, "d": 3}, {"c": 2, "d": 1}]}`,
	`{"_id": 6, "b": {"c": [1, 7]}}`,
	`{"_id": 7, "a": "1", "b": []}`,
	`{"_id": 8, "a": [[1, 2], 3], "b": [5]}`,
	`{"_id": 9, "a": {"$oid": "56e1fc72e0c917e9c4714161"}, "b": {"c": null}}`,
}

var filterCases = []filterCase{
	{`{}`, "1 2 3 4 5 6 7 8 9"},
	{`{"a": 1}`, "1 4"},
	{`{"a": 2}`, "2"},
	{`{"a": {"$gt": 1}}`, "2 3 4 8"},
	{`{"a": {"$gte": 1, "$lte": 2}}`, "1 2 4"},
	{`{"a": {"$gt": 5, "$lt": 2}}`, "4"},
	{`{"a": {"$in": [1, "1"]}}`, "1 4 7"},
	{`{"a": {"$nin": [1, "1", null]}}`, "2 3 8 9"},
	{`{"a": {"$ne": 1}}`, "2 3 5 6 7 8 9"},
	{`{"a": null}`, "5 6"},
	{`{"a": {"$exists": true}}`, "1 2 3 4 5 7 8 9"},
	{`{"a": {"$exists": false}}`, "6"},
	{`{"a": [1, 5, 9]}`, "4"},
	{`{"a": [1, 2]}`, "8"},
	{`{"a": {"$size": 3}}`, "4"},
	{`{"a": {"$elemMatch": {"$gt": 4, "$lt": 6}}}`, "4"},
	{`{"a.0": 1}`, "4"},
	{`{"a.1": {"$gt": 2}}`, "4 8"},
	{`{"b": {"c": 1, "d": 2}}`, "3"},
	{`{"b.c": 1}`, "3 4 5 6"},
	{`{"b.c": 7}`, "6"},
	{`{"b.c": {"$exists": true}}`, "3 4 5 6 9"},
	{`{"b": {"$elemMatch": {"c": 1, "d": 3}}}`, "5"},
	{`{"b": {"$elemMatch": {"c": 1, "d": 1}}}`, ""},
	{`{"b.c": 1, "b.d": 1}`, "5"},
	{`{"b.1.c": 2}`, "5"},
	{`{"s": {"$regex": "^a"}}`, "1"},
	{`{"s": {"$regex": "^b", "$options": "i"}}`, "2"},
	{`{"s": {"$in": [{"$regularExpression": {"pattern": "an", "options": ""}}]}}`, "2"},
	{`{"s": {"$not": {"$regularExpression": {"pattern": "^a", "options": ""}}}}`, "2 3 4 5 6 7 8 9"},
	{`{"a": {"$not": {"$gt": 1}}}`, "1 5 6 7 9"},
	{`{"a": {"$type": "string"}}`, "7"},
	{`{"a": {"$type": "number"}}`, "1 2 3 4 8"},
	{`{"a": {"$type": ["null", "objectId"]}}`, "5 9"},
	{`{"$or": [{"a": 1}, {"s": "Banana"}]}`, "1 2 4"},
	{`{"$and": [{"a": 1}, {"s": "apple"}]}`, "1"},
	{`{"$nor": [{"a": {"$exists": true}}, {"b": {"$exists": false}}]}`, "6"},
	{`{"_id": {"$in": [3, 99, 1]}}`, "1 3"},
	{`{"_id": {"$gt": 7}}`, "8 9"},
}

func testFilters(t *testing.T, s *suite) {
	coll := s.collection(t, filterDocuments...)
	s.checkFilters(t, coll, filterCases)
}

func (s *suite) checkFilters(t *testing.T, coll *mongo.Collection, cases []filterCase) {
	t.Helper()
	for _, c := range cases {
		if why := lacking[s.peer]["filters "+c.filter]; why != "" {
			t.Logf("left out for %s: %s, as it %s", s.peer, c.filter, why)
			continue
		}
		got := ids(t, coll, parse(t, c.filter), options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
		if got != c.want {
			t.Errorf("%s finds %q, want %q", c.filter, got, c.want)
		}
	}
}

// testMoreFilters holds the corners of MongoDB's rules.
func testMoreFilters(t *testing.T, s *suite) {
	coll := s.collection(t,
		`{"_id": 1, "a": {"$minKey": 1}}`, `{"_id": 2, "a": {"$maxKey": 1}}`, `{"_id": 3, "a": {"$numberDouble": "NaN"}}`,
		`{"_id": 4, "a": 5}`, `{"_id": 5, "a": {"b": 1}}`, `{"_id": 6, "a": [5]}`, `{"_id": 7, "a": [{}]}`, `{"_id": 8, "a": [null]}`,
		`{"_id": 9, "a": {"$numberDecimal": "5.0"}}`)
	s.checkFilters(t, coll, []filterCase{
		{`{"a.b": null}`, "1 2 3 4 7 9"},
		{`{"a.b": {"$exists": false}}`, "1 2 3 4 6 7 8 9"},
		{`{"a": {"$gt": {"$minKey": 1}}}`, "2 3 4 5 6 7 8 9"},
		{`{"a": {"$lt": {"$maxKey": 1}}}`, "1 3 4 5 6 7 8 9"},
		{`{"a": {"$lt": 6}}`, "4 6 9"},
		{`{"a": {"$numberDouble": "NaN"}}`, "3"},
		{`{"a": {"$gte": {"$numberDouble": "NaN"}}}`, "3"},
		{`{"a": null}`, "8"},
		{`{"a": {"$gte": null}}`, "8"},
		{`{"a": 5}`, "4 6 9"},
	})
}

func testOrder(t *testing.T, s *suite) {
	documents := []string{
		`{"_id": 0, "v": {"$minKey": 1}}`, `{"_id": 1}`, `{"_id": 2, "v": {"$numberDouble": "-Infinity"}}`,
		`{"_id": 3, "v": -1}`, `{"_id": 4, "v": {"$numberLong": "9007199254740992"}}`, `{"_id": 5, "v": {"$numberLong": "9007199254740993"}}`,
		`{"_id": 6, "v": {"$numberDecimal": "9007199254740993.5"}}`, `{"_id": 7, "v": "a"}`, `{"_id": 8, "v": "b"}`,
		`{"_id": 9, "v": {"x": 1}}`, `{"_id": 10, "v": {"y": 0}}`,
		`{"_id": 11, "v": {"$binary": {"base64": "/w==", "subType": "00"}}}`, `{"_id": 12, "v": {"$binary": {"base64": "AAA=", "subType": "00"}}}`,
		`{"_id": 13, "v": {"$oid": "000000000000000000000001"}}`, `{"_id": 14, "v": false}`, `{"_id": 15, "v": true}`,
		`{"_id": 16, "v": {"$date": {"$numberLong": "-5"}}}`, `{"_id": 17, "v": {"$date": {"$numberLong": "5"}}}`,
		`{"_id": 18, "v": {"$timestamp": {"t": 1, "i": 2}}}`, `{"_id": 19, "v": {"$regularExpression": {"pattern": "a", "options": ""}}}`,
		`{"_id": 20, "v": {"$maxKey": 1}}`,
	}
	want := "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20"
	if s.peer == "mongo-java-server" { // it orders some types otherwise
		documents, want = []string{documents[1], documents[3], documents[7], documents[8], documents[13], documents[14], documents[15]}, "1 3 7 8 13 14 15"
	}
	coll := s.database(t).Collection("things")
	for i := range documents { // not in order
		if _, err := coll.InsertOne(t.Context(), parse(t, documents[(i*5+3)%len(documents)])); err != nil {
			t.Fatal(err)
		}
	}
	up := options.Find().SetSort(bson.D{{Key: "v", Value: 1}})
	if got := ids(t, coll, bson.D{}, up); got != want {
		t.Errorf("sorted in memory: %s", got)
	}
	if _, err := coll.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "v", Value: -1}}}); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, coll, bson.D{}, up); got != want {
		t.Errorf("sorted by an index: %s", got)
	}
}
