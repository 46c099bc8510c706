package target_test

import (
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/side"
)

// TestExpiry: DynamoDB deletes nothing before EnableExpiry; what it deleted because its time
// was over is no mismatch, and anything else that is missing is one.
func TestExpiry(t *testing.T) {
	w := newWorld(t)
	ttl := func(attribute string) []string {
		return []string{"table: indexed", "table: expiring", "fields:", "ttl: {field: until, after: 1s, attribute: " + attribute + "}\nfields:"}
	}
	tables := w.indexed(ttl("gone")...)
	if _, err := tables.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	docs, ids := map[string]bson.Raw{}, []bson.RawValue{}
	for id, until := range map[string]time.Time{"over": time.Now().Add(-time.Minute), "ahead": time.Now().Add(time.Hour)} {
		doc, err := bson.Marshal(bson.D{{Key: "_id", Value: id}, {Key: "until", Value: until}})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, bson.Raw(doc).Lookup("_id"))
		docs[side.IDKey(ids[len(ids)-1])] = doc
		if id == "over" {
			if err := tables.Apply(t.Context(), side.Version{ID: ids[len(ids)-1], Doc: doc, At: 1}); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustMiss := func(want ...string) {
		t.Helper()
		found, err := tables.Compare(t.Context(), ids, docs)
		var got []string
		for _, m := range found {
			got = append(got, m.ID+" "+m.Kind)
		}
		if err != nil || strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("%q, want %q, %v", got, want, err)
		}
	}
	mustMiss(`"ahead" missing`)
	if n := len(w.scan("expiring")); n != 1 {
		t.Errorf("%d items before it is enabled", n)
	}
	for range 2 {
		if err := tables.EnableExpiry(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for n := len(w.scan("expiring")); n > 0; n = len(w.scan("expiring")) {
		w.ahead.Add(int64(time.Minute))
	}
	mustMiss(`"ahead" missing`)
	if err := w.indexed(ttl("other")...).EnableExpiry(t.Context()); err == nil || !strings.Contains(err.Error(), "expire by gone, the plan says other") {
		t.Error(err)
	}
}
