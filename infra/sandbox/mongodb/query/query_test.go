package query_test

import (
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/query"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

func document(t testing.TB, s string) value.D {
	t.Helper()
	var d bson.D
	if err := bson.UnmarshalExtJSON([]byte(s), false, &d); err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	b, err := bson.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var filters = []string{
	`{}`, `{"a": 1}`, `{"a.b.0": {"$in": [1, null, {"$regularExpression": {"pattern": "x", "options": "i"}}]}}`,
	`{"$or": [{"a": {"$gt": 1, "$lte": 9}}, {"b": {"$not": {"$size": 2}}}]}`,
	`{"a": {"$elemMatch": {"b": 1, "c": {"$exists": true}}}, "d": {"$nin": [1, 2]}}`,
	`{"a": {"$ne": 4}, "b": {"$type": ["int", 2]}}`,
}

// FuzzFilter: no filter and no document make the matcher panic, and negation
// negates.
func FuzzFilter(f *testing.F) {
	for _, s := range filters {
		f.Add([]byte(document(f, s)), []byte(document(f, `{"_id": 1, "a": [{"b": [1, 2]}, 5], "b": {"c": null}, "d": "x"}`)))
	}
	f.Fuzz(func(t *testing.T, filter, d []byte) {
		if value.Validate(filter, value.MaxDepth) != nil || value.Validate(d, value.MaxDepth) != nil {
			return
		}
		compiled, err := query.CompileFilter(filter)
		if err != nil {
			return
		}
		nor := bsoncore.BuildDocument(nil, bsoncore.BuildArrayElement(nil, "$nor", value.Document(filter)))
		negated, err := query.CompileFilter(nor)
		if err != nil {
			t.Fatalf("%s compiles but not within $nor: %v", bson.Raw(filter), err)
		}
		if compiled.Matches(d) == negated.Matches(d) {
			t.Fatalf("%s and its negation both say %v of %s", bson.Raw(filter), compiled.Matches(d), bson.Raw(d))
		}
	})
}

// FuzzUpdate: an update makes a valid document, keeps _id, and its description
// is what a diff of the two documents says as well.
func FuzzUpdate(f *testing.F) {
	for _, s := range []string{
		`{"$set": {"a.b": 1}, "$inc": {"n": 2}}`, `{"$push": {"l": {"$each": [3, 1]}}}`,
		`{"$setOnInsert": {"z": 1}, "$unset": {"n": ""}}`, `{"$pull": {"l": {"$gt": 1}}}`, `{"x": 1}`,
	} {
		f.Add([]byte(document(f, s)), []byte(document(f, `{"_id": 1, "a": {"b": 2}, "n": 1, "l": [1, 2]}`)))
	}
	f.Fuzz(func(t *testing.T, update, d []byte) {
		if value.Validate(update, value.MaxStoredDepth) != nil || value.Validate(d, value.MaxStoredDepth) != nil {
			return
		}
		u, err := query.CompileUpdate(value.Document(update))
		if err != nil {
			return
		}
		r, err := u.Apply(d, false)
		if err != nil {
			return
		}
		if err := value.Validate(r.After, 2*value.MaxDepth); err != nil {
			t.Fatalf("%s of %s gives invalid BSON: %v", bson.Raw(update), bson.Raw(d), err)
		}
		if id := value.Field(d, "_id"); !value.Missing(id) && !value.Equal(id, value.Field(r.After, "_id")) {
			t.Fatalf("%s changed the _id of %s", bson.Raw(update), bson.Raw(d))
		}
	})
}

func TestOrderWithLimitIsTheBeginningOfAll(t *testing.T) {
	var docs []value.D
	for i := range 5000 {
		docs = append(docs, bsoncore.BuildDocument(nil, bsoncore.AppendInt32Element(nil, "n", int32(i*7919%1000)), bsoncore.AppendInt32Element(nil, "i", int32(i))))
	}
	o, err := query.CompileOrder(document(t, `{"n": -1}`))
	if err != nil {
		t.Fatal(err)
	}
	all := o.Sort(docs, 0)
	for _, limit := range []int{1, 20, 999, 5000, 6000} {
		if got := o.Sort(docs, limit); !slices.EqualFunc(got, all[:min(limit, len(all))], func(a, b value.D) bool { return string(a) == string(b) }) {
			t.Errorf("the first %d differ from the beginning of all", limit)
		}
	}
}

func TestDiff(t *testing.T) {
	for _, c := range []struct{ before, after, updated, removed string }{
		{`{"a": 1}`, `{"a": 1}`, `{}`, ``},
		{`{"a": {"b": 1, "c": 2}}`, `{"a": {"b": 3}}`, `{"a.b": 3}`, `a.c`},
		{`{"a": [1, 2]}`, `{"a": [1, 2, 3]}`, `{"a.2": 3}`, ``},
		{`{"a": 1}`, `{"b": 1}`, `{"b": 1}`, `a`},
		{`{"a": {"b": 1}}`, `{"a": 5}`, `{"a": 5}`, ``},
	} {
		d := query.Diff(document(t, c.before), document(t, c.after))
		removed := ""
		if len(d.Removed) > 0 {
			removed = d.Removed[0]
		}
		if string(d.Updated) != string(document(t, c.updated)) || removed != c.removed {
			t.Errorf("%s to %s: updated %s, removed %v", c.before, c.after, d.Updated, d.Removed)
		}
	}
}
