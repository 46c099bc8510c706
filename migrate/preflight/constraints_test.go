package preflight_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/preflight"
)

const indexedPlan = usersPlan + `
indexes: [{name: by-team, key: [team, age]}, {name: by-nick, key: [nick]}]
fields: [{from: team, type: string}, {from: age, type: int32}, {from: nick, type: string}]
`

// TestWhatTheTableAnswers: of each index of the source, with how often it was used, and of
// each kind of query that the profiler has.
func TestWhatTheTableAnswers(t *testing.T) {
	w := newWorld(t)
	w.setPlan(indexedPlan)
	w.insert(user(1))
	up := func(fields ...string) (key bson.D) {
		for _, f := range fields {
			key = append(key, bson.E{Key: f, Value: -1})
		}
		return key
	}
	w.createIndex("team_age", up("team", "age"))
	w.createIndex("team_age_name", up("team", "age", "name"))
	w.createIndex("team_name", up("team", "name"))
	w.createIndex("age_team", up("age", "team"))
	w.createIndex("nick", up("nick"))
	w.createIndex("team_age_id", up("team", "age", "_id"))
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	use := func(name string, ops int64) bson.D {
		return bson.D{{Key: "name", Value: name}, {Key: "accesses", Value: bson.D{{Key: "ops", Value: ops}, {Key: "since", Value: since}}}}
	}
	w.answers["aggregate users"] = func(command bson.Raw) bson.D {
		if command.Lookup("pipeline", "0", "$indexStats").IsZero() {
			return nil
		}
		return cursorOf(use("team_name", 12), use("age_team", 0))(command)
	}
	profiled := func(key string, filter bson.D, more ...bson.E) bson.D {
		return bson.D{{Key: "ns", Value: "legacy.users"}, {Key: "command", Value: append(bson.D{{Key: key, Value: filter}}, more...)}}
	}
	older := bson.D{{Key: "$gt", Value: 3}, {Key: "$lte", Value: 9}}
	w.answers["find system.profile"] = cursorOf(
		profiled("filter", bson.D{{Key: "_id", Value: 1}}), profiled("q", bson.D{{Key: "_id", Value: 2}}),
		profiled("filter", bson.D{{Key: "age", Value: older}, {Key: "team", Value: "a"}}),
		profiled("filter", bson.D{{Key: "team", Value: bson.D{{Key: "$in", Value: bson.A{"a"}}}}}, bson.E{Key: "sort", Value: up("age")}),
		profiled("query", bson.D{{Key: "nick", Value: "n"}, {Key: "name", Value: bson.Regex{Pattern: "^a"}}}),
		profiled("filter", bson.D{{Key: "name", Value: "x"}, {Key: "$or", Value: bson.A{}}}),
		bson.D{{Key: "ns", Value: "legacy.users"}, {Key: "command", Value: bson.D{{Key: "pipeline", Value: bson.A{bson.D{{Key: "$match",
			Value: bson.D{{Key: "age", Value: older}}}}}}}}})

	got := w.look()
	got.want("index:team_age", preflight.Told, "is answered by the index by-team")
	got.want("index:team_age", preflight.Told, "for one value of team at a time")
	got.want("index:team_age_name", preflight.Acknowledge, "answered in part by the index by-team for one value of team at a time: "+
		"ranges over it, and sorting by it, are not; name can only filter")
	got.want("index:team_name", preflight.Acknowledge, "12 operations have used it on the primary since 2026-01-02T03:04:05Z")
	got.want("index:age_team", preflight.Acknowledge, "0 operations have used it")
	got.want("index:nick", preflight.Told, "is answered by the index by-nick")
	got.want("index:team_age_id", preflight.Told, "have the same team and age come in an order of the table's own")
	got.want("query:{_id}", preflight.Told, "2 in the profiler's window, are answered by the table's key")
	got.want("query:{team} range of {age}", preflight.Told, "are answered by the index by-team")
	got.want("query:{team} sorted by {age}", preflight.Told, "are answered by the index by-team")
	got.want("query:{nick} other tests of {name}", preflight.Told, "are answered by the index by-nick name can only filter")
	got.want("query:{name} other tests of {$or}", preflight.Told, "are not answered")
	got.want("query:{} range of {age}", preflight.Told, "would scan the table")

	// A server that tells neither is no failure.
	w.answers["aggregate users"], w.answers["find system.profile"] = refusal(13, "not authorized"), refusal(13, "not authorized")
	got = w.look()
	got.want("index:team_name", preflight.Acknowledge, "in part")
	got.wantNone("query:")
}

// TestConstraintsOfThePlan: whether a unique index says what the plan's constraint says: the
// fields, the documents, and how texts are compared; and duplicates where no index excludes
// them.
func TestConstraintsOfThePlan(t *testing.T) {
	w := newWorld(t)
	w.insert(user(1))
	collation := func(strength int) bson.D {
		return bson.D{{Key: "locale", Value: "en"}, {Key: "strength", Value: strength}}
	}
	index := func(key bson.D, more ...bson.E) {
		w.answers["listIndexes"] = cursorOf(append(bson.D{{Key: "name", Value: "it"}, {Key: "key", Value: key}, {Key: "unique", Value: true}}, more...))
	}
	partial := func(filter bson.D) bson.E { return bson.E{Key: "partialFilterExpression", Value: filter} }
	email, both := bson.D{{Key: "email", Value: 1}}, bson.D{{Key: "number", Value: 1}, {Key: "tenant", Value: -1}}
	active := bson.D{{Key: "status", Value: "active"}, {Key: "email", Value: bson.D{{Key: "$exists", Value: true}}}}
	for _, c := range []struct {
		constraint string
		key        bson.D
		more       []bson.E
		severity   preflight.Severity
		says       string
		covered    bool
	}{
		{"field: email", email, nil, preflight.Told, "is kept by the-table", true},
		{"fields: [tenant, number]", both, nil, preflight.Told, "is kept by the-table", true},
		{"fields: [tenant, number]", both[:1], nil, preflight.Acknowledge, "is lost", false},
		{"field: email", email, []bson.E{{Key: "collation", Value: collation(2)}}, preflight.Acknowledge, "byte for byte only", true},
		{"field: email, collation: lower", email, []bson.E{{Key: "collation", Value: collation(2)}}, preflight.Told, "without regard to case", true},
		{"field: email, collation: lower", email, []bson.E{{Key: "collation", Value: collation(1)}}, preflight.Acknowledge, "accents", true},
		{"field: email, collation: lower", email, []bson.E{{Key: "collation", Value: collation(3)}}, preflight.Acknowledge, "byte for byte only", false},
		{"field: email, collation: lower", email, nil, preflight.Told, "the index does not", false},
		{"field: email", email, []bson.E{partial(active)}, preflight.Told, "holds for all documents", false},
		{"field: email", email, []bson.E{partial(active[1:])}, preflight.Told, "is kept by the-table", true},
		{"field: email, where: [{field: status, equals: active}]", email, []bson.E{partial(active)}, preflight.Told, "is kept by the-table", true},
		{"field: email, where: [{field: status, equals: active}]", email, []bson.E{partial(bson.D{{Key: "status", Value: bson.D{{Key: "$eq", Value: "active"}}}})},
			preflight.Told, "is kept by the-table", true},
		{"field: email, where: [{field: status, equals: other}]", email, []bson.E{partial(active)}, preflight.Acknowledge, "other documents", false},
		{"field: email, where: [{field: status, equals: active}]", email, nil, preflight.Acknowledge, "other documents", true},
	} {
		w.setPlan("entity: users\nsource: {database: legacy, collection: users}\ntarget: {table: users}\nunique: [{" + c.constraint + ", table: the-table}]\n")
		index(c.key, c.more...)
		got := w.look()
		got.want("index:it", c.severity, c.says)
		if name := "unique:" + w.plan.Unique[0].Name(); (got.find(name) == nil) != c.covered {
			t.Errorf("%s: %v", c.constraint, got.find(name))
		}
	}
}

// TestDuplicatesOfConstraints: those that share the value, and no others.
func TestDuplicatesOfConstraints(t *testing.T) {
	w := newWorld(t)
	w.setPlan("entity: users\nsource: {database: legacy, collection: users}\ntarget: {table: users, key: {type: number}}\nunique:\n" +
		"- {fields: [tenant, number], table: by-number}\n- {field: nick, table: by-nick, collation: lower, where: [{field: on, equals: true}]}\n")
	add := func(id int, tenant, number, nick any, on bool) bson.D {
		return bson.D{{Key: "_id", Value: id}, {Key: "tenant", Value: tenant}, {Key: "number", Value: number}, {Key: "nick", Value: nick}, {Key: "on", Value: on}}
	}
	w.insert(add(1, "a", 1, "Ann", true), add(2, "a", "1", "ANN", false), add(3, "b", 1.0, "Bob", true), add(4, "b", int64(1), "cy", true),
		add(5, "c", nil, "ann", true), add(6, "c", nil, "bob", false), add(7, "d", 1, "aNN", true))
	var got []string
	_, err := preflight.Run(t.Context(), w.config(), func(m preflight.Misfit) { got = append(got, m.ID+" "+m.Field+" "+m.Why) })
	want := []string{
		`{"$numberInt":"4"} tenant+number document {"$numberInt":"3"} has the same value "b", {"$numberLong":"1"}`,
		`{"$numberInt":"5"} nick document {"$numberInt":"1"} has the same value "ann"`,
		`{"$numberInt":"7"} nick document {"$numberInt":"1"} has the same value "aNN"`}
	if !errors.Is(err, preflight.ErrStops) || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
}

// TestKeysByTemplate: documents of which no key can be made are found, each with the field;
// none of two have one key; and the index on _id is kept by the table of the entries.
func TestKeysByTemplate(t *testing.T) {
	w := newWorld(t)
	w.setPlan("entity: users\nsource: {database: legacy, collection: users}\ntarget: {table: users, key: {type: string, template: '{tenant}#{_id}'}}\n" +
		"unique: [{field: _id, table: users-ids}]\n")
	add := func(id string, more ...bson.E) { w.insert(append(bson.D{{Key: "_id", Value: id}}, more...)) }
	tenant := func(v any) bson.E { return bson.E{Key: "tenant", Value: v} }
	add("c", tenant("a#b"))
	add("b#c", tenant("a"))
	add("none")
	add("null", tenant(nil))
	add("list", tenant(bson.A{"a"}))
	add("a document", tenant(bson.D{}))
	add("number", tenant(7))
	add("long", tenant(strings.Repeat("x", 2050)))
	var got []string
	r, err := preflight.Run(t.Context(), w.config(), func(m preflight.Misfit) { got = append(got, m.ID+" "+m.Field+" "+m.Why) })
	why := " tenant a field of the key has no value that can be part of a key: it is "
	want := []string{`"a document"` + why + "document", `"list"` + why + "array",
		`"long" tenant key of a size that DynamoDB does not accept: the attribute "id" would have 2055 bytes, allowed are 1 to 2048`,
		`"none"` + why + "absent", `"null"` + why + "null"}
	slices.Sort(got)
	if !errors.Is(err, preflight.ErrStops) || r.Documents != 8 || r.Misfits != 5 || !slices.Equal(got, want) {
		t.Errorf("%+v %v\n%s", r, err, strings.Join(got, "\n"))
	}
	findings{t, r.Findings}.want("index:_id_", preflight.Told, "is kept by users-ids")
	if f := (findings{t, r.Findings}).find("unique:_id"); f != nil {
		t.Errorf("%+v", f)
	}
}

// TestTTLOfThePlan: a TTL index is kept by the plan's ttl if that says the same.
func TestTTLOfThePlan(t *testing.T) {
	w := newWorld(t)
	w.insert(user(1))
	w.createIndex("seen_1", bson.D{{Key: "seen", Value: 1}}, bson.E{Key: "expireAfterSeconds", Value: 3600})
	ttl := func(after string) {
		w.setPlan(usersPlan + "ttl: {field: seen, after: " + after + ", attribute: gone}\n")
	}
	ttl("1h")
	got := w.look()
	got.wantNone("drop:")
	got.want("index:seen_1", preflight.Told, "is kept by the attribute gone")
	got.want("ttl-unique", preflight.Acknowledge, "stay claimed")
	ttl("2h")
	w.setPlan(usersPlan + "fields: [{from: cache, drop: true}]\n")
	w.look().want("drop:cache", preflight.Told, "on the way back")
	ttl("2h")
	w.look().want("index:seen_1", preflight.Acknowledge, "expires documents after 1h0m0s, the plan's ttl after 2h0m0s")
	w.createTable(w.plan.TableInputs()[0])
	if _, err := w.ddb.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{TableName: aws.String("users"),
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("other"), Enabled: aws.Bool(true)}}); err != nil {
		t.Fatal(err)
	}
	w.look().want("table-ttl:users", preflight.Stops, "by their attribute other, the plan says gone")
}

// TestIndexesOfTheTable: a table that exists must have the plan's.
func TestIndexesOfTheTable(t *testing.T) {
	w := newWorld(t)
	w.insert(user(1))
	w.createTable(w.plan.TableInputs()[0])
	w.setPlan(indexedPlan)
	w.look().want("table-index:users/by-team", preflight.Stops, "without the index by-team of the plan (team (S), age (N) with ALL)")
}
