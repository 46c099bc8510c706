package plan_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/migrate/plan"
)

const ordersPlan = `entity: orders
source: {database: shop, collection: orders}
target: {table: orders, key: {type: document}}
unique: [{field: number, table: orders-number}]
indexes:
  - {name: by-tenant, key: [tenant, placed]}
  - {name: by-status, key: [status], project: [total, "odd${x}\"name"]}
  - {name: by-seq, key: [seq, _id], project: []}
  - {name: by-both, key: [tenantStatus, placed]}
computed: [{attribute: tenantStatus, template: "{tenant}#{status}"}]
ttl: {field: placed, after: 720h, attribute: expires}
fields:
  - {from: tenant, type: string}
  - {from: placed, to: placedAt, type: date}
  - {from: status, type: string}
  - {from: seq, type: int64}
budgets: {writeRate: 20000}
`

// TestDefinitions: what a plan says of its tables.
func TestDefinitions(t *testing.T) {
	var got []string
	for _, d := range parse(t, ordersPlan).Definitions() {
		got = append(got, d.String())
	}
	want := []string{"orders: key id (S), stream NEW_AND_OLD_IMAGES, items expire by expires from complete on, " +
		"index by-tenant of tenant (S), placedAt (S) with ALL, " +
		"index by-status of status (S) with INCLUDE total odd${x}\"name, " +
		"index by-seq of seq (N), id (S) with KEYS_ONLY, index by-both of tenantStatus (S), placedAt (S) with ALL",
		"orders-number: key value (S)"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestTerraform: the file is what the modules' own tests validate.
func TestTerraform(t *testing.T) {
	mustEqualFile(t, "testdata/orders.tf", []byte(parse(t, ordersPlan).Terraform()))
}

// TestAnswers: which key or index answers an access, and what of it is left to a filter.
func TestAnswers(t *testing.T) {
	p := parse(t, ordersPlan)
	for _, c := range []struct {
		equal, sorted []string
		by            string
		rest          []string
	}{
		{[]string{"_id"}, nil, "the table's key", nil},
		{[]string{"_id", "status"}, nil, "the table's key", []string{"status"}},
		{[]string{"tenant"}, []string{"placed"}, "the index by-tenant", nil},
		{[]string{"tenant", "placed"}, nil, "the index by-tenant", nil},
		{[]string{"tenant"}, []string{"total"}, "the index by-tenant", []string{"total"}},
		{[]string{"status", "tenant"}, []string{"placed"}, "the index by-tenant", []string{"status"}},
		{[]string{"seq", "_id"}, nil, "the index by-seq", nil},
		{nil, []string{"tenant"}, "", nil}, {[]string{"total"}, nil, "", nil}, {nil, nil, "", nil},
	} {
		by, rest := p.Answers(plan.Access{Equal: c.equal, Sorted: c.sorted})
		if by != c.by || !slices.Equal(rest, c.rest) {
			t.Errorf("%v sorted by %v: %q, %v", c.equal, c.sorted, by, rest)
		}
	}
}

// TestKeyParts: the table has a sort key, which answers as an index does, and the parts are
// in the digest.
func TestKeyParts(t *testing.T) {
	p := parse(t, "entity: orders\nsource: {collection: orders}\ntarget: {table: orders, key: {type: document, parts: "+
		"[{field: tenant, type: string}, {field: no, type: number, attribute: number}]}}\n")
	if got := p.Definitions()[0].String(); got != "orders: key pk (S), number (N), stream NEW_AND_OLD_IMAGES" {
		t.Error(got)
	}
	if text := p.Terraform(); !strings.Contains(text, `range_key        = { name = "number", type = "N" }`) {
		t.Error(text)
	}
	for _, want := range []string{"target.key.parts.1.attribute: pk\n", "target.key.parts.2.field: no\n", "target.key.parts.2.type: number\n"} {
		if !strings.Contains(p.Canonical(), want) {
			t.Errorf("%q is missing in %s", want, p.Canonical())
		}
	}
	if by, rest := p.Answers(plan.Access{Equal: []string{"_id.tenant"}, Sorted: []string{"_id.no"}}); by != "the table's key" || len(rest) > 0 {
		t.Error(by, rest)
	}
	if by, _ := p.Answers(plan.Access{Equal: []string{"_id.no"}}); by != "" {
		t.Error(by)
	}
}

// TestIndexesAreNotInTheDigest: an index may be added while a migration runs.
func TestIndexesAreNotInTheDigest(t *testing.T) {
	p := parse(t, ordersPlan)
	before := p.Digest()
	if p.Indexes = nil; p.Digest() != before {
		t.Error(p.Canonical())
	}
}

const templatePlan = "entity: orders\nsource: {collection: orders}\ntarget: {table: orders, key: {type: number, parts: " +
	"[{template: 'T#{tenant}'}, {template: '{_id}', attribute: no}]}}\nunique: [{field: _id, table: orders-ids}]\n"

// TestKeyTemplates: the table has the attributes that they make, beside one that leads from
// an _id to them, also in Terraform; they answer by their fields, and are in the digest.
func TestKeyTemplates(t *testing.T) {
	p := parse(t, templatePlan)
	for i, want := range []string{"orders: key pk (S), no (N), stream NEW_AND_OLD_IMAGES", "orders-ids: key value (S)"} {
		if got := p.Definitions()[i].String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, want := range []string{`{ name = "no", type = "N" }`, `"orders-ids"`} {
		if text := p.Terraform(); !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	for _, want := range []string{`target.key.parts.1.template: "T#{tenant}"`, `target.key.parts.2.template: "{_id}"`, "unique._id.table: orders-ids"} {
		if text := p.Canonical(); !strings.Contains(text, want+"\n") {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	for _, c := range []struct {
		equal, sorted []string
		by            string
		rest          []string
	}{
		{[]string{"_id"}, nil, "the entry of the _id and the table's key", nil}, {[]string{"tenant"}, nil, "the table's key", nil},
		{[]string{"_id", "tenant"}, nil, "the table's key", nil}, {[]string{"tenant"}, []string{"_id"}, "the table's key", nil},
		{[]string{"tenant", "total"}, []string{"at"}, "the table's key", []string{"total", "at"}}, {[]string{"total"}, nil, "", nil},
	} {
		by, rest := p.Answers(plan.Access{Equal: c.equal, Sorted: c.sorted})
		if by != c.by || !slices.Equal(rest, c.rest) {
			t.Errorf("%v sorted by %v: %q, %v", c.equal, c.sorted, by, rest)
		}
	}
	prefixed := parse(t, "entity: orders\nsource: {collection: orders}\ntarget: {table: orders, key: {template: 'ORDER#{_id}'}}\n")
	if by, _ := prefixed.Answers(plan.Access{Equal: []string{"_id"}}); by != "the table's key" || len(prefixed.Definitions()) != 1 {
		t.Error(by, prefixed.Definitions())
	}
}
