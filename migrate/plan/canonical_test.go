package plan_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/services/social/plans"
)

const short = "entity: users\nsource: {collection: users}\ntarget: {table: users}\nunique:\n- {field: email, table: users-email}\n" +
	"- {field: phone, table: users-phone}\nfields:\n- {from: name}\n- {from: at, type: date}\n- {from: big, compressed: true}\n"

func parse(t testing.TB, text string) *plan.Plan {
	t.Helper()
	p, err := plan.Parse("p.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestDigest: it is about where data goes and how it is encoded, not about how that is
// written, nor about what else a plan says.
func TestDigest(t *testing.T) {
	p := parse(t, short)
	const want = "entity: users\nsource.collection: users\ntarget.table: users\nunique.email.table: users-email\nunique.phone.table: users-phone\n" +
		"fields.1: name\nfields.2: at\nfields.3: big\nfields.at.type: date\nfields.big.compressed: true\n"
	if got := p.Canonical(); got != want {
		t.Errorf("canonical:\n%s", got)
	}
	for name, text := range map[string]string{
		"written otherwise": "# users\n" + `{"target": {table: 'users', key: {attribute: id, from: _id, type: objectId}}, entity: "users", fields: [` +
			`{from: name, to: name}, {type: date, from: at, compressed: false}, {from: big, to: big, compressed: true}], ` +
			`unique: [{table: users-phone, field: phone}, {field: email, table: users-email}], source: {collection: users, database: ""}}`,
		"what else it says": short + "versionField: version\nbudgets: {hold: 5s, tail: 3, writeRate: 1, pricePerMillionWrites: 2}\nacknowledge: [collation]\n",
	} {
		if other := parse(t, text); other.Digest() != p.Digest() || len(plan.Differences(p.Canonical(), other.Canonical())) > 0 {
			t.Errorf("%s:\n%s", name, other.Canonical())
		}
	}
}

func TestDifferencesAreNamed(t *testing.T) {
	for text, want := range map[string][]string{
		strings.Replace(short, "table: users}", "table: users2}", 1):           {"target.table: users -> users2"},
		strings.Replace(short, "entity: users", "entity: people", 1):           {"entity: users -> people"},
		strings.Replace(short, "{collection", "{database: old, collection", 1): {"source.database: (not set) -> old"},
		strings.Replace(short, "collection: users", "collection: 'a: b'", 1):   {`source.collection: users -> "a\x3a b"`},
		strings.Replace(short, "{table: users}", "{table: users, key: {type: string, attribute: pk}}", 1): {
			"target.key.attribute: (not set) -> pk", "target.key.type: (not set) -> string"},
		strings.Replace(short, "- {field: phone, table: users-phone}\n", "", 1): {"unique.phone.table: users-phone -> (not set)"},
		strings.Replace(short, "from: at, type: date", "from: at, to: on", 1):   {"fields.at.type: date -> (not set)", "fields.at.to: (not set) -> on"},
		strings.Replace(short, "- {from: name}\n- {from: at, type: date}\n", "- {from: at, type: date}\n- {from: name}\n", 1): {
			"fields.1: name -> at", "fields.2: at -> name"},
		short + "deepNesting: binary\n": {"deepNesting: (not set) -> binary"},
	} {
		p, other := parse(t, short), parse(t, text)
		if got := plan.Differences(p.Canonical(), other.Canonical()); !reflect.DeepEqual(got, want) || p.Digest() == other.Digest() {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// FuzzCanonical: names of any characters make no two plans the same.
func FuzzCanonical(f *testing.F) {
	f.Add("a", "b: c")
	f.Add("a\nfields.1: b", "1")
	f.Add(`"`, `\x3a`)
	f.Fuzz(func(t *testing.T, one, other string) {
		a, b := parse(t, string(plans.Users)), parse(t, string(plans.Users))
		a.Fields[0].From, b.Fields[0].From = one, other
		a.Source.Collection, b.Source.Collection = other, one
		differ := plan.Differences(a.Canonical(), b.Canonical())
		if same := one == other; same != (a.Digest() == b.Digest()) || same != (len(differ) == 0) {
			t.Errorf("%q and %q: %q", one, other, differ)
		}
	})
}
