package entity

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

func raw(t *testing.T, doc any) bson.Raw {
	t.Helper()
	if extended, ok := doc.(string); ok {
		var d bson.D
		if err := bson.UnmarshalExtJSON([]byte(extended), true, &d); err != nil {
			t.Fatal(err)
		}
		doc = d
	}
	b, err := bson.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// twice has the field a twice, which no map has, and a driver sends all the same.
func twice() bson.Raw {
	at, doc := bsoncore.AppendDocumentStart(nil)
	doc = bsoncore.AppendInt32Element(doc, "a", 1)
	doc = bsoncore.AppendInt32Element(doc, "a", 2)
	doc, _ = bsoncore.AppendDocumentEnd(doc, at)
	return bson.Raw(doc)
}

// TestMerge: only what has changed between two views of a document changes in it.
func TestMerge(t *testing.T) {
	for name, c := range map[string]struct{ doc, from, to, want string }{
		"nothing": {`{"a":{"$numberInt":"1"}}`, `{"a":{"$numberInt":"1"}}`, `{"a":{"$numberInt":"1"}}`, `{"a":{"$numberInt":"1"}}`},
		"a type that the view does not have is kept": {`{"n":{"$numberDecimal":"1.50"},"a":{"$numberInt":"1"}}`,
			`{"n":{"$numberDouble":"1.5"},"a":{"$numberLong":"1"}}`, `{"n":{"$numberDouble":"1.5"},"a":{"$numberLong":"2"}}`,
			`{"n":{"$numberDecimal":"1.50"},"a":{"$numberLong":"2"}}`},
		"a field that the view does not have is kept": {`{"x":"y","a":"1"}`, `{"a":"1"}`, `{"a":"2"}`, `{"x":"y","a":"2"}`},
		"a field that the view empties is removed":    {`{"x":"y","a":"1","b":"2"}`, `{"a":"1","b":"2"}`, `{"b":"2"}`, `{"x":"y","b":"2"}`},
		"a new field comes last":                      {`{"x":"y"}`, `{}`, `{"a":"1"}`, `{"x":"y","a":"1"}`},
		"zero values of a view are no fields":         {`{"x":"y"}`, `{"a":""}`, `{"a":""}`, `{"x":"y"}`},
		"a zero value that changes is one":            {`{"x":"y"}`, `{"a":""}`, `{"a":"1"}`, `{"x":"y","a":"1"}`},
		"the order is the document's":                 {`{"b":"1","a":"1"}`, `{"a":"1","b":"1"}`, `{"a":"2","b":"2"}`, `{"b":"2","a":"2"}`},
		"null is a value":                             {`{"a":null}`, `{"a":null}`, `{"a":"1"}`, `{"a":"1"}`},
		"in documents, too": {`{"d":{"x":"y","n":{"$numberDecimal":"1.50"},"a":"1"}}`, `{"d":{"n":{"$numberDouble":"1.5"},"a":"1"}}`,
			`{"d":{"n":{"$numberDouble":"1.5"},"a":"2"}}`, `{"d":{"x":"y","n":{"$numberDecimal":"1.50"},"a":"2"}}`},
		"a document that becomes a text": {`{"d":{"x":"y"}}`, `{"d":{}}`, `{"d":"z"}`, `{"d":"z"}`},
		"arrays change as a whole":       {`{"l":[{"x":"y","a":"1"}]}`, `{"l":[{"a":"1"}]}`, `{"l":[{"a":"2"}]}`, `{"l":[{"a":"2"}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := merge(raw(t, c.doc), raw(t, c.from), raw(t, c.to))
			if want := raw(t, c.want); err != nil || string(got) != string(want) {
				t.Errorf("got %v, %v; want %v", got, err, want)
			}
		})
	}
	empty := raw(t, bson.D{})
	if got, err := merge(twice(), empty, raw(t, `{"b":"1"}`)); err != nil || got.Lookup("a").Int32() != 1 {
		t.Errorf("with a field that is there twice: %v, %v", got, err)
	}
	if got, err := merge(bson.Raw("no document"), empty, empty); err == nil {
		t.Errorf("of no document: %v, want an error", got)
	}
}

func TestWithVersion(t *testing.T) {
	for name, c := range map[string]struct{ doc, want string }{
		"behind all":               {`{"_id":"1"}`, `{"_id":"1","v":{"$numberLong":"7"}}`},
		"in its place":             {`{"v":{"$numberLong":"6"},"_id":"1"}`, `{"v":{"$numberLong":"7"},"_id":"1"}`},
		"whatever its type is now": {`{"v":"six","_id":"1"}`, `{"v":{"$numberLong":"7"},"_id":"1"}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := withVersion(raw(t, c.doc), "v", 7)
			if want := raw(t, c.want); err != nil || string(got) != string(want) {
				t.Errorf("got %v, %v; want %v", got, err, want)
			}
		})
	}
	if got, err := withVersion(twice(), "v", 7); err == nil {
		t.Errorf("of a document that has a field twice: %v, want an error", got)
	}
}

func TestWithout(t *testing.T) {
	doc := raw(t, `{"_id":"1","_outbox":[],"a":"1","_outbox_cleared":true}`)
	if got, want := without(doc, "_outbox", "_outbox_cleared"), raw(t, `{"_id":"1","a":"1"}`); string(got) != string(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := without(doc, "b"); string(got) != string(doc) {
		t.Errorf("got %v, want it as it was", got)
	}
}
