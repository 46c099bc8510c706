package target_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/side"
)

// TestConstraintsFollowTheirDocuments: an entry stands as long as a document has the value,
// of that type, in all of its fields, and meets the conditions.
func TestConstraintsFollowTheirDocuments(t *testing.T) {
	w := newWorld(t)
	tables := w.indexed("table: indexed", "table: constrained", "indexes:\n  - {name: by-team, key: [team, age], project: [email]}\n",
		"unique:\n- {fields: [team, number], table: by-number, where: [{field: on, equals: true}]}\n", "fields:", "fields: [{from: on, to: enabled}]\n#")
	if _, err := tables.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	at := stamp.ClusterTime(0)
	put := func(id string, doc bson.D) {
		t.Helper()
		raw, err := bson.Marshal(append(bson.D{{Key: "_id", Value: id}}, doc...))
		if err != nil {
			t.Fatal(err)
		}
		at++
		v := side.Version{ID: bson.Raw(raw).Lookup("_id"), Doc: raw, At: at}
		if doc == nil {
			v.Doc = nil
		}
		if err := tables.Apply(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	mustHave := func(want ...string) {
		t.Helper()
		var got []string
		for _, e := range w.scan("by-number") {
			got = append(got, e["value"].(*types.AttributeValueMemberS).Value+" "+e["owner"].(*types.AttributeValueMemberS).Value)
		}
		if strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("%q, want %q", got, want)
		}
	}
	of := func(team, number any, on bool) bson.D {
		return bson.D{{Key: "team", Value: team}, {Key: "number", Value: number}, {Key: "on", Value: on}}
	}
	put("ann", of("a", "1", true))
	mustHave("team+number#a#1 ann")
	put("ann", of("a", 1, true)) // another type is another value
	mustHave("team+number#a#number:1 ann")
	put("bob", of("a", int64(2), false)) // is not meant
	mustHave("team+number#a#number:1 ann")
	put("ann", of("a", 1.0, false)) // nor is this any more
	mustHave()
	put("bob", of("a", 1, true))
	mustHave("team+number#a#number:1 bob")
	put("bob", of("a", nil, true))
	mustHave()
	put("bob", of("a", bson.NilObjectID, true))
	mustHave("team+number#a#objectId:000000000000000000000000 bob")
	put("bob", nil)
	mustHave()
}
