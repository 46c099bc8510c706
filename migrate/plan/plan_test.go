package plan_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/migrate/plan"
	usersplan "github.com/banyan-fig/banyan/services/social/users/plan"
)

func TestAPlanErrorSaysWhereAndWhat(t *testing.T) {
	const good = "entity: users\nsource: {collection: users}\ntarget:\n  table: users\n"
	for name, tc := range map[string]struct{ text, at, says string }{
		"unknown field":  {good + "sauce: 1\n", "p.yaml:5:1", "spelling"},
		"wrong type":     {good + "unique: yes\n", "p.yaml:5:", ""},
		"broken":         {"entity: [users\n", "p.yaml:1:", ""},
		"empty":          {"", "p.yaml:1:1", "entity"},
		"no collection":  {"entity: users\nsource: {}\ntarget: {table: users}\n", "p.yaml:2:9", "collection"},
		"bad table":      {"entity: users\nsource: {collection: users}\ntarget:\n  table: a b\n", "p.yaml:4:10", "letters"},
		"key of a field": {good + "  key: {attribute: id, from: email}\n", "p.yaml:5:30", "_id"},
		"key type":       {good + "  key: {type: double}\n", "p.yaml:", "double"},
		"field type":     {good + "fields:\n  - {from: a}\n  - {from: b, type: text}\n", "p.yaml:7:", "text"},
		"field twice":    {good + "fields:\n  - {from: a}\n  - {from: a}\n", "p.yaml:7:", "twice"},
		"unique table":   {good + "unique:\n  - field: email\n    table: users\n", "p.yaml:7:12", "twice"},
		"unique nested":  {good + "unique:\n  - field: a.b\n    table: users-unique\n", "p.yaml:6:12", "top-level"},
		"budget":         {good + "budgets:\n  hold: 1h\n", "p.yaml:6:9", "hold"},
		"budget unit":    {good + "budgets:\n  hold: soon\n", "p.yaml:6:9", ""},
		"nesting":        {good + "deepNesting: drop\n", "p.yaml:5:14", "binary"},
	} {
		_, err := plan.Parse("p.yaml", []byte(tc.text))
		if !errors.Is(err, plan.ErrInvalid) || !strings.Contains(err.Error(), tc.at) || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s ... %s", name, err, tc.at, tc.says)
		}
	}
	if _, err := plan.Parse("users.yaml", usersplan.Users); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(usersplan.Users)
	f.Add([]byte("entity: x\nfields: [{from: a, type: date}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := plan.Parse("p", text)
		if (p == nil) == (err == nil) || err != nil && !errors.Is(err, plan.ErrInvalid) {
			t.Fatal(p, err)
		}
	})
}
