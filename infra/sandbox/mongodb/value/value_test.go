package value_test

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

func values(t testing.TB, list string) []value.V {
	t.Helper()
	var d bson.D
	if err := bson.UnmarshalExtJSON([]byte(`{"v": `+list+`}`), true, &d); err != nil {
		t.Fatal(err)
	}
	b, err := bson.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	out, err := value.Field(b, "v").Array().Values()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// ascending is in MongoDB's order, each less than the next.
const ascending = `[{"$minKey": 1}, {"$undefined": true}, null, {"$numberDouble": "NaN"}, {"$numberDecimal": "-Infinity"}, {"$numberDecimal": "-1E+6000"},
 {"$numberDouble": "-1e300"}, {"$numberLong": "-9223372036854775808"}, {"$numberInt": "-1"}, {"$numberDouble": "-0.0"}, {"$numberDecimal": "1E-6176"},
 {"$numberDouble": "0.1"}, {"$numberDecimal": "0.11"}, {"$numberLong": "9007199254740992"}, {"$numberLong": "9007199254740993"},
 {"$numberDecimal": "9007199254740993.5"}, {"$numberLong": "9223372036854775807"}, {"$numberDouble": "9223372036854775808"}, {"$numberDouble": "Infinity"},
 "", "a", {"$symbol": "b"}, "ba", {}, {"a": 1}, {"a": 2}, {"b": 0}, {"a": "x"}, [], [1], [1, 2], [2],
 {"$binary": {"base64": "", "subType": "00"}}, {"$binary": {"base64": "/w==", "subType": "00"}}, {"$binary": {"base64": "AA==", "subType": "05"}},
 {"$binary": {"base64": "AAA=", "subType": "00"}},
 {"$oid": "000000000000000000000001"}, {"$oid": "ff0000000000000000000000"}, false, true, {"$date": {"$numberLong": "-1"}}, {"$date": {"$numberLong": "0"}},
 {"$timestamp": {"t": 0, "i": 4294967295}}, {"$timestamp": {"t": 4294967295, "i": 0}}, {"$regularExpression": {"pattern": "a", "options": ""}},
 {"$regularExpression": {"pattern": "a", "options": "i"}}, {"$dbPointer": {"$ref": "a", "$id": {"$oid": "000000000000000000000001"}}},
 {"$code": "a"}, {"$code": "a", "$scope": {}}, {"$maxKey": 1}]`

func TestCompare(t *testing.T) {
	list := values(t, ascending)
	for i, a := range list {
		for j, b := range list {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := value.Compare(a, b); (got > 0) != (want > 0) || (got < 0) != (want < 0) {
				t.Errorf("%s and %s compare as %d", a, b, got)
			}
		}
	}
	for _, same := range values(t, `[[1, {"$numberLong": "1"}, {"$numberDouble": "1"}, {"$numberDecimal": "1.000"}],
		[{"$numberDouble": "NaN"}, {"$numberDecimal": "NaN"}],
		[{"$numberDouble": "0"}, {"$numberDouble": "-0.0"}, {"$numberDecimal": "-0E+10"}], ["a", {"$symbol": "a"}], [{"a": 1}, {"a": {"$numberLong": "1"}}]]`) {
		list, _ := same.Array().Values()
		for _, v := range list {
			if !value.Equal(list[0], v) {
				t.Errorf("%s and %s are not equal", list[0], v)
			}
		}
	}
}

func TestAdd(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{`1`, `2`, `{"$numberInt": "3"}`},
		{`{"$numberInt": "2147483647"}`, `1`, `{"$numberLong": "2147483648"}`},
		{`1`, `{"$numberLong": "2"}`, `{"$numberLong": "3"}`},
		{`{"$numberLong": "-9223372036854775807"}`, `-1`, `{"$numberLong": "-9223372036854775808"}`},
		{`1`, `{"$numberDouble": "0.5"}`, `{"$numberDouble": "1.5"}`},
	} {
		in := values(t, "["+c.a+", "+c.b+", "+c.want+"]")
		got, ok := value.Add(in[0], in[1])
		if !ok || !value.Identical(got, in[2]) {
			t.Errorf("%s + %s is %s, want %s", c.a, c.b, got, c.want)
		}
	}
	for _, pair := range []string{
		`[{"$numberLong": "9223372036854775807"}, 1]`, `[-1, {"$numberLong": "-9223372036854775808"}]`, `[{"$numberDecimal": "1"}, 1]`,
	} {
		in := values(t, pair)
		if v, ok := value.Add(in[0], in[1]); ok {
			t.Errorf("%s gives %s", pair, v)
		}
	}
}

// FuzzCompare: the order is one, whatever the values.
func FuzzCompare(f *testing.F) {
	list := values(f, ascending)
	for i := range list {
		a := bsoncore.BuildDocument(nil, bsoncore.AppendValueElement(nil, "v", list[i]))
		b := bsoncore.BuildDocument(nil, bsoncore.AppendValueElement(nil, "v", list[(i*7+1)%len(list)]))
		f.Add([]byte(a), []byte(b))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if value.Validate(a, 100) != nil || value.Validate(b, 100) != nil {
			return
		}
		ab, ba := value.CompareDocuments(a, b), value.CompareDocuments(b, a)
		if (ab > 0) != (ba < 0) || (ab == 0) != (ba == 0) || value.CompareDocuments(a, a) != 0 {
			t.Fatalf("%x and %x compare as %d and %d", a, b, ab, ba)
		}
		if n := value.NewNode(value.Document(a)); len(n.Fields()) >= 0 && string(n.Value().Data) != string(a) && canonical(a) {
			t.Fatalf("%x comes out of a tree as %x", a, n.Value().Data)
		}
	})
}

// canonical says that iterating gives back all of the document.
func canonical(d []byte) bool {
	it, n := value.Elements(d), 5
	for it.Next() {
		n += 2 + len(it.Key) + len(it.Value.Data)
	}
	return n == len(d)
}
