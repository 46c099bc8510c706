package plan_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/migrate/plan"
	usersplan "github.com/banyan-fig/banyan/services/social/users/plan"
)

func TestAPlanErrorHasPositionAndRemedy(t *testing.T) {
	const good = "entity: users\nsource: {collection: users}\ntarget:\n  table: users\n"
	for name, tc := range map[string]struct{ text, at, says string }{
		"unknown key":     {good + "sauce: 1\n", "p.yaml:5:1", "spelling"},
		"unknown inside":  {"entity: users\nsource: {collectoin: users}\ntarget: {table: users}\n", "p.yaml:2:10", `"collectoin"`},
		"key twice":       {good + "entity: x\n", "p.yaml:5:1", "already defined"},
		"wrong type":      {good + "unique: yes\n", "p.yaml:5:", "must be a list"},
		"map for list":    {good + "unique: {field: a}\n", "p.yaml:5:9", "must be a list"},
		"list":            {"- users\n", "p.yaml:1:1", "must be a map"},
		"broken":          {"entity: [users\n", "p.yaml:1:", "correct the YAML"},
		"tab":             {"entity: users\nsource:\n\tcollection: users\n", "p.yaml:3:1", "indent with spaces"},
		"two documents":   {good + "---\n" + good, "p.yaml:6:1", "one document"},
		"not text":        {"\x00\x01\xff", "p.yaml:1:1", "must be a map"},
		"empty":           {"", "p.yaml:1:1", "entity is missing"},
		"comment alone":   {"# nothing\n", "p.yaml:1:1", "entity is missing"},
		"no collection":   {"entity: users\nsource: {}\ntarget: {table: users}\n", "p.yaml:2:9", "source.collection is missing"},
		"no target":       {"entity: users\nsource: {collection: users}\ntarget:\n", "p.yaml:3:9", "target.table is missing"},
		"bad table":       {"entity: users\nsource: {collection: users}\ntarget:\n  table: a b\n", "p.yaml:4:10", "letters"},
		"key of a field":  {good + "  key: {attribute: id, from: email}\n", "p.yaml:5:30", "_id"},
		"key type":        {good + "  key: {type: double}\n", "p.yaml:5:9", "use one of int32"},
		"document as key": {good + "  key: {type: document}\n", "p.yaml:5:9", "use one of int32"},
		"field type":      {good + "fields:\n  - {from: a}\n  - {from: b, type: text}\n", "p.yaml:7:", "text"},
		"field twice":     {good + "fields:\n  - {from: a}\n  - {from: a}\n", "p.yaml:7:", "twice"},
		"unique table":    {good + "unique:\n  - field: email\n    table: users\n", "p.yaml:7:12", "twice"},
		"unique nested":   {good + "unique:\n  - field: a.b\n    table: users-unique\n", "p.yaml:6:12", "top-level"},
		"budget":          {good + "budgets:\n  hold: 1h\n", "p.yaml:6:9", "hold"},
		"budget unit":     {good + "budgets:\n  hold: soon\n", "p.yaml:6:9", "900ms"},
		"budget number":   {good + "budgets:\n  hold: 5\n", "p.yaml:6:9", "900ms"},
		"tail":            {good + "budgets:\n  tail: many\n", "p.yaml:6:9", "whole number"},
		"nesting":         {good + "deepNesting: drop\n", "p.yaml:5:14", "binary"},
	} {
		_, err := plan.Parse("p.yaml", []byte(tc.text))
		if !errors.Is(err, plan.ErrInvalid) || !strings.Contains(err.Error(), tc.at) || !strings.Contains(err.Error(), tc.says) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s ... %s", name, err, tc.at, tc.says)
		}
	}
	for name, text := range map[string]string{
		"users": string(usersplan.Users), "CRLF": strings.ReplaceAll(good, "\n", "\r\n"), "BOM": "\ufeff" + good, "markers": "---\n" + good + "...\n",
	} {
		if _, err := plan.Parse(name, []byte(text)); err != nil {
			t.Error(err)
		}
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
