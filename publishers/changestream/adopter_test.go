package changestream_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/publishers/changestream"
)

// TestDocumentsOfOthers: an event type that no registry knows, made of documents
// such as are found in databases that grew for years.
func TestDocumentsOfOthers(t *testing.T) {
	w := newWorld(t, 1)
	mapping := parse(t, `
version: 1
collections:
  users:
    - on: insert
      event: warehouse.stocked
      version: 7
      correlation: audit.request
      data:
        id: {field: _id, as: text}
        price: {field: price, missing: omit}
        count: {field: count, as: number, missing: omit}
        since: {field: since, missing: omit}
        dollar: {field: $ref, missing: omit}
        dotted: {field: 'size\.cm', missing: omit}
        below: {field: 'shelf\.no.row', missing: omit}
`)
	cfg := w.config(mapping)
	cfg.EnsureImages = true
	p, stop := w.publisher(cfg)
	decimal, err := bson.ParseDecimal128("1.50")
	w.do(nil, err)
	uuid := bson.Binary{Subtype: bson.TypeBinaryUUID, Data: []byte("0123456789abcdef")}
	compound := bson.D{{Key: "shop", Value: 7}, {Key: "sku", Value: "a.b"}}
	for i, d := range []bson.D{
		{{Key: "_id", Value: compound}, {Key: "price", Value: decimal}},
		{{Key: "_id", Value: uuid}, {Key: "count", Value: int64(1)<<60 + 1}},
		{{Key: "_id", Value: decimal}, {Key: "since", Value: time.Date(1912, 6, 23, 1, 2, 3, 0, time.UTC)}},
		{{Key: "_id", Value: int64(1)<<62 + 1}, {Key: "$ref", Value: "x"}, {Key: "size.cm", Value: 3}, {Key: "shelf.no", Value: bson.D{{Key: "row", Value: 4}}}},
		{{Key: "_id", Value: "large"}, {Key: "price", Value: 2}, {Key: "scan", Value: strings.Repeat("x", 15<<20)}},
	} {
		if _, err := w.users.InsertOne(w.ctx, d); err != nil {
			t.Fatalf("document %d: %v", i, err)
		}
	}
	want := []string{
		`{"shop":7,"sku":"a.b"}: warehouse.stocked {"id":"{\"shop\":7,\"sku\":\"a.b\"}","price":"1.50"}`,
		`30313233-3435-3637-3839-616263646566: warehouse.stocked {"id":"30313233-3435-3637-3839-616263646566","count":1152921504606846977}`,
		`1.50: warehouse.stocked {"id":"1.50","since":"1912-06-23T01:02:03Z"}`,
		`4611686018427387905: warehouse.stocked {"id":"4611686018427387905","dollar":"x","dotted":3,"below":4}`,
		`large: warehouse.stocked {"id":"large","price":2}`,
	}
	waitFor(t, "all events", func() bool { st := p.Status(); return st.Published+st.Refused >= int64(len(want)) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for _, letter := range w.refused() {
		t.Error("dead letter: ", letter.Reason)
	}
	got := map[string]bool{}
	for key, all := range w.kept() {
		for _, e := range all {
			if e.Type == "warehouse.stocked" && (e.Version != 7 || e.CorrelationID != e.ID) {
				t.Errorf("%+v", e)
			}
			got[fmt.Sprintf("%s: %s %s", key, e.Type, e.Data)] = true
		}
	}
	expected := map[string]bool{}
	for _, line := range want {
		expected[line] = true
	}
	if diff := cmp.Diff(expected, got); diff != "" {
		t.Error(diff)
	}
}

// TestChangedFieldsWithDots: the server writes a dot in the name of an updated field
// as it writes one between names.
func TestChangedFieldsWithDots(t *testing.T) {
	mapping := parse(t, `
version: 1
collections:
  users:
    - on: update
      when: [{changed: 'size\.cm'}]
      event: warehouse.resized
      data: {cm: {field: 'size\.cm'}}
`)
	key, err := bson.Marshal(doc("_id", 1))
	if err != nil {
		t.Fatal(err)
	}
	full, err := bson.Marshal(doc("_id", 1, "size.cm", 5))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		updated bson.D
		events  int
	}{
		{doc("size.cm", 5), 1},
		{doc("size.mm", 50), 0},
		{doc("size", 5), 1}, // it may be above: rather an event too many
	} {
		updated, err := bson.Marshal(tc.updated)
		if err != nil {
			t.Fatal(err)
		}
		made, err := mapping.Collections["users"](changestream.Change{Operation: "update", Collection: "users", Key: key, Full: full, Updated: updated})
		if err != nil || len(made) != tc.events {
			t.Errorf("%v: %v, %v", tc.updated, made, err)
		}
	}
}
