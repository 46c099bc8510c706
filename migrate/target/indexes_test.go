package target_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/side"
	"github.com/banyan-fig/banyan/migrate/target"
)

const indexedPlan = "entity: people\nsource: {collection: people}\ntarget:\n  table: indexed\n  key: {type: string}\n" +
	"indexes:\n  - {name: by-team, key: [team, age], project: [email]}\nfields: [{from: team, type: string}, {from: age, type: int32}]\n"

// indexed are the tables of indexedPlan.
func (w *world) indexed(change ...string) *target.Tables {
	w.Helper()
	p, err := plan.Parse("people.yaml", []byte(strings.NewReplacer(change...).Replace(indexedPlan)))
	if err != nil {
		w.Fatal(err)
	}
	return &target.Tables{Plan: p, Client: w.client}
}

// TestEnsureMakesIndexes: the table is made with the plan's indexes, which answer at once; one
// that exists without an index, or with another of its name, is refused.
func TestEnsureMakesIndexes(t *testing.T) {
	w := newWorld(t)
	tables := w.indexed()
	if _, err := tables.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := tables.Ensure(t.Context()); err != nil { // it has what it needs
		t.Fatal(err)
	}
	doc, err := bson.Marshal(bson.D{{Key: "_id", Value: "ann"}, {Key: "team", Value: "a"}, {Key: "age", Value: int32(7)}, {Key: "email", Value: "e"},
		{Key: "more", Value: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if err := tables.Apply(t.Context(), side.Version{ID: bson.Raw(doc).Lookup("_id"), Doc: doc, At: 1}); err != nil {
		t.Fatal(err)
	}
	name, index, where := "indexed", "by-team", "team = :t AND age > :a"
	out, err := w.client.Query(t.Context(), &dynamodb.QueryInput{TableName: &name, IndexName: &index, KeyConditionExpression: &where,
		ExpressionAttributeValues: map[string]types.AttributeValue{":t": &types.AttributeValueMemberS{Value: "a"}, ":a": &types.AttributeValueMemberN{Value: "6"}}})
	if err != nil || len(out.Items) != 1 || out.Items[0]["more"] != nil || out.Items[0]["email"] == nil {
		t.Errorf("%v, %v", out, err)
	}
	for change, want := range map[string]string{"by-team": "without the index by-other", "project: [email]": "it has team (S), age (N) with INCLUDE email",
		"[team, age]": "differs"} {
		other := map[string]string{"by-team": "by-other", "project: [email]": "project: []", "[team, age]": "[team]"}[change]
		_, err := w.indexed(change, other).Ensure(t.Context())
		if conflict, ok := errors.AsType[*target.IndexConflict](err); !ok || !strings.Contains(conflict.Error(), want) {
			t.Errorf("%s: %v", change, err)
		}
	}
}

// TestWhatAnIndexRefusesIsAMisfit: the table would refuse the item; the document is told.
func TestWhatAnIndexRefusesIsAMisfit(t *testing.T) {
	w := newWorld(t)
	tables := w.indexed()
	for name, c := range map[string]struct {
		doc  bson.D
		fits bool
	}{
		"absent":     {bson.D{}, true},
		"both":       {bson.D{{Key: "team", Value: "a"}, {Key: "age", Value: int64(1)}}, true},
		"null":       {bson.D{{Key: "team", Value: nil}}, false},
		"number":     {bson.D{{Key: "team", Value: 1}}, false},
		"empty":      {bson.D{{Key: "team", Value: ""}}, false},
		"long":       {bson.D{{Key: "team", Value: strings.Repeat("x", 2049)}}, false},
		"just fits":  {bson.D{{Key: "team", Value: strings.Repeat("x", 2048)}}, true},
		"odd number": {bson.D{{Key: "age", Value: "7"}}, false},
	} {
		doc, err := bson.Marshal(append(bson.D{{Key: "_id", Value: "x"}}, c.doc...))
		if err != nil {
			t.Fatal(err)
		}
		_, err = tables.Encode(doc, 1)
		if m, misfit := errors.AsType[*side.Misfit](err); misfit == c.fits || misfit && (m.Shown != `"x"` || m.WayOut == "") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
