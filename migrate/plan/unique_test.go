package plan_test

import (
	"errors"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
)

const uniquePlan = "entity: users\nsource: {collection: users}\ntarget: {table: users}\nunique:\n" +
	"- {field: email, table: users-email}\n" +
	"- {fields: [tenant, number], table: users-number}\n" +
	"- {field: nick, table: users-nick, collation: lower, where: [{field: status, equals: active}, {field: level, equals: 1}, {field: seen}]}\n"

// TestUniqueValues: the key of a document's entry. The type is part of the value, the
// fields are kept apart, and only documents that meet all conditions have one.
func TestUniqueValues(t *testing.T) {
	p := parse(t, uniquePlan)
	active := func(more ...bson.E) bson.D {
		return append(more, bson.E{Key: "status", Value: "active"}, bson.E{Key: "level", Value: 1.0}, bson.E{Key: "seen", Value: nil})
	}
	for _, c := range []struct {
		constraint int
		doc        bson.D
		want       string // "!" for a misfit
	}{
		{0, bson.D{{Key: "email", Value: "Ann@x"}}, "email#Ann@x"}, {0, bson.D{{Key: "email", Value: "1"}}, "email#1"},
		{0, bson.D{{Key: "email", Value: int32(1)}}, "email#number:1"}, {0, bson.D{{Key: "email", Value: 1.0}}, "email#number:1"},
		{0, bson.D{{Key: "email", Value: "number:1"}}, "email#string:number:1"}, {0, bson.D{{Key: "email", Value: "a#b%"}}, "email#a#b%"},
		{0, bson.D{{Key: "email", Value: ""}}, "email#"}, {0, bson.D{{Key: "email", Value: nil}}, ""}, {0, bson.D{}, ""},
		{0, bson.D{{Key: "email", Value: bson.NilObjectID}}, "email#objectId:000000000000000000000000"},
		{0, bson.D{{Key: "email", Value: "000000000000000000000000"}}, "email#000000000000000000000000"},
		{0, bson.D{{Key: "email", Value: bson.A{"a"}}}, "!"}, {0, bson.D{{Key: "email", Value: strings.Repeat("x", 2048)}}, "!"},
		{1, bson.D{{Key: "tenant", Value: "a#b"}, {Key: "number", Value: int64(7)}}, "tenant+number#a%23b#number:7"},
		{1, bson.D{{Key: "number", Value: "b#c"}, {Key: "tenant", Value: "a%23"}}, "tenant+number#a%2523#b%23c"},
		{1, bson.D{{Key: "tenant", Value: "a"}}, ""}, {1, bson.D{{Key: "tenant", Value: "a"}, {Key: "number", Value: nil}}, ""},
		{2, active(bson.E{Key: "nick", Value: "ÄNN"}), "nick#änn"}, {2, active(bson.E{Key: "nick", Value: 7}), "nick#number:7"},
		{2, bson.D{{Key: "nick", Value: "a"}, {Key: "status", Value: "gone"}, {Key: "level", Value: 1}, {Key: "seen", Value: 1}}, ""},
		{2, bson.D{{Key: "nick", Value: "a"}, {Key: "status", Value: "active"}, {Key: "level", Value: "1"}, {Key: "seen", Value: 1}}, ""},
		{2, bson.D{{Key: "nick", Value: "a"}, {Key: "status", Value: "active"}, {Key: "level", Value: 1}}, ""},
	} {
		raw, err := bson.Marshal(c.doc)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Unique[c.constraint].Value(func(name string) (bson.RawValue, error) { return bson.Raw(raw).Lookup(name), nil })
		if _, misfit := errors.AsType[*codec.FitError](err); misfit != (c.want == "!") || !misfit && got != c.want {
			t.Errorf("%v: %q, %v", c.doc, got, err)
		}
	}
}

// TestUniqueInTheDigest: a constraint's fields, conditions and collation decide where data
// goes, in whatever order they are written.
func TestUniqueInTheDigest(t *testing.T) {
	text := parse(t, uniquePlan).Canonical()
	for _, want := range []string{"unique.email.table: users-email\n", `unique."tenant+number".table: users-number` + "\n", "unique.nick.collation: lower\n",
		"unique.nick.where.status: \"equals active\"\n", `unique.nick.where.level: "equals number\x3a1"` + "\n", "unique.nick.where.seen: exists\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

// TestWhichDocumentDoesNotFit: whatever is wrong with it, its _id is told.
func TestWhichDocumentDoesNotFit(t *testing.T) {
	p := parse(t, "entity: e\nsource: {collection: c}\ntarget: {table: things, key: {type: string}}\n"+
		"unique: [{field: email, table: things-email}]\nfields: [{from: rank, type: int32}]\nindexes: [{name: by-rank, key: [rank]}]\n")
	for _, wrong := range []bson.E{{Key: "rank", Value: "x"}, {Key: "email", Value: bson.A{1}}, {Key: "big", Value: strings.Repeat("x", 500<<10)}} {
		doc, err := bson.Marshal(bson.D{{Key: "_id", Value: "seven"}, wrong})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err = p.Fit(doc); err == nil || !strings.Contains(err.Error(), `document "seven"`) {
			t.Errorf("%s: %v", wrong.Key, err)
		}
	}
}
