package plan_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/services/social/plans"
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
		"key type":        {good + "  key: {type: double}\n", "p.yaml:5:9", "use one of date"},
		"field type":      {good + "fields:\n  - {from: a}\n  - {from: b, type: text}\n", "p.yaml:7:", "text"},
		"field twice":     {good + "fields:\n  - {from: a}\n  - {from: a}\n", "p.yaml:7:", "twice"},
		"unique table":    {good + "unique:\n  - field: email\n    table: users\n", "p.yaml:7:12", "twice"},
		"unique nested":   {good + "unique:\n  - field: a.b\n    table: users-unique\n", "p.yaml:6:12", "top-level"},
		"same unique":     {good + "unique:\n- {field: a, table: one}\n- {field: a, table: two}\n", "p.yaml:7:11", "twice"},
		"many unique":     {good + "unique:\n" + many(50), "p.yaml:6:", "allowed are 49"},
		"no lookup":       {good + "  key: {template: '{a}#{_id}'}\n", "p.yaml:5:", "add {field: _id, table: users-ids} under unique"},
		"lookup of _id":   {good + "unique: [{field: _id, table: abc}]\n", "p.yaml:4:", "remove the constraint"},
		"lookup of USER#": {good + "  key: {template: 'USER#{_id}'}\nunique: [{field: _id, table: abc}]\n", "p.yaml:5:", "remove the constraint"},
		"partial lookup":  {good + "  key: {template: '{a}#{_id}'}\nunique: [{field: _id, table: abc, where: [{field: a}]}]\n", "p.yaml:5:", "neither where"},
		"_id with others": {good + "  key: {template: '{a}#{_id}'}\nunique: [{fields: [_id, a], table: abc}]\n", "p.yaml:6:", "_id only by itself"},
		"key of a part":   {good + "  key: {template: '{a}'}\n", "p.yaml:5:", "must name {_id} once"},
		"key of dropped":  {good + "  key: {template: '{a.b}#{_id}'}\nfields: [{from: a, compressed: true}]\n", "p.yaml:5:", "cannot be compressed"},
		"two templates":   {good + "  key: {template: '{_id}', parts: [{template: '{a}'}]}\n", "p.yaml:5:", "one template, or two parts"},
		"no name":         {good + "acknowledge: [collation, '']\n", "p.yaml:5:26", "must be a name"},
		"after itself":    {good + "switchAfter: [users]\n", "p.yaml:5:15", "another entity"},
		"after twice":     {good + "switchAfter: [a, a]\n", "p.yaml:5:18", "once"},
		"same name":       {good + "acknowledge:\n- name_1\n- name_1\n", "p.yaml:7:3", "once"},
		"index type":      {good + "indexes:\n- {name: by-a, key: [a]}\n", "p.yaml:6:", "needs the type of \"a\""},
		"index name":      {good + "indexes:\n- {name: a, key: [_id]}\n", "p.yaml:6:", "3 to 255"},
		"index key":       {good + "indexes:\n- {name: by-a, key: [_id, _id]}\n", "p.yaml:6:", "different fields"},
		"same index":      {good + "indexes:\n- {name: by-a, key: [_id]}\n- {name: by-a, key: [_id]}\n", "p.yaml:7:", "twice"},
		"drop and type":   {good + "fields:\n- {from: a, drop: true, type: string}\n", "p.yaml:6:", "dropped"},
		"drop twice":      {good + "fields:\n- {from: a, drop: true}\n- {from: a}\n", "p.yaml:7:", "twice"},
		"drop unique":     {good + "fields:\n- {from: a, drop: true}\nunique: [{field: a, table: abc}]\n", "p.yaml:7:", "dropped"},
		"template":        {good + "computed:\n- {attribute: a, template: 'x{y'}\n", "p.yaml:6:", "in braces"},
		"no field":        {good + "computed:\n- {attribute: a, template: x}\n", "p.yaml:6:", "names no field"},
		"brace":           {good + "computed:\n- {attribute: a, template: 'x}{y}'}\n", "p.yaml:6:", "} without {"},
		"computed taken":  {good + "computed:\n- {attribute: id, template: '{y}'}\n", "p.yaml:6:", "taken"},
		"ttl field":       {good + "ttl: {attribute: a}\n", "p.yaml:5:", "ttl.field is missing"},
		"ttl after":       {good + "ttl: {attribute: a, field: b, after: 1500ms}\n", "p.yaml:5:", "whole seconds"},
		"ttl taken":       {good + "ttl: {attribute: id, field: b}\n", "p.yaml:5:", "taken"},
		"ttl dropped":     {good + "ttl: {attribute: a, field: b}\nfields: [{from: b, drop: true}]\n", "p.yaml:5:", "dropped"},
		"two kinds":       {good + "unique: [{field: a, fields: [b, c], table: abc}]\n", "p.yaml:5:", "remove one"},
		"one of several":  {good + "unique: [{fields: [b], table: abc}]\n", "p.yaml:5:", "two or more"},
		"fields twice":    {good + "unique: [{fields: [b, b], table: abc}]\n", "p.yaml:5:", "once"},
		"collation":       {good + "unique: [{field: a, table: abc, collation: en}]\n", "p.yaml:5:", "use lower"},
		"where of a list": {good + "unique: [{field: a, table: abc, where: [{field: b, equals: [1]}]}]\n", "p.yaml:5:", "a number"},
		"where nested":    {good + "unique: [{field: a, table: abc, where: [{field: b.c}]}]\n", "p.yaml:5:", "top-level"},
		"where dropped":   {good + "unique: [{field: a, table: abc, where: [{field: b}]}]\nfields: [{from: b, drop: true}]\n", "p.yaml:5:", "dropped"},
		"one part":        {good + "  key: {type: document, parts: [{field: a, type: string}]}\n", "p.yaml:5:", "two different fields"},
		"parts of text":   {good + "  key: {type: string, parts: [{field: a, type: string}, {field: b, type: string}]}\n", "p.yaml:5:", "document"},
		"parts and name":  {good + "  key: {type: document, attribute: x, parts: [{field: a, type: string}, {field: b, type: string}]}\n", "p.yaml:5:", "parts"},
		"index of parts": {good + "  key: {type: document, parts: [{field: a, type: string}, {field: b, type: string}]}\nindexes: [{name: abc, key: [_id]}]\n",
			"p.yaml:6:", "needs the type"},
		"budget":        {good + "budgets:\n  hold: 1h\n", "p.yaml:6:9", "hold"},
		"budget unit":   {good + "budgets:\n  hold: soon\n", "p.yaml:6:9", "900ms"},
		"budget number": {good + "budgets:\n  hold: 5\n", "p.yaml:6:9", "900ms"},
		"tail":          {good + "budgets:\n  tail: many\n", "p.yaml:6:9", "whole number"},
		"nesting":       {good + "deepNesting: drop\n", "p.yaml:5:14", "binary"},
		"physical name": {"entity: users\nsource: {collection: users__banyan_g1}\ntarget: {table: users}\n", "p.yaml:2:22", "rename the collection first"},
	} {
		_, err := plan.Parse("p.yaml", []byte(tc.text))
		if !errors.Is(err, plan.ErrInvalid) || !strings.Contains(err.Error(), tc.at) || !strings.Contains(err.Error(), tc.says) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s ... %s", name, err, tc.at, tc.says)
		}
	}
	for name, text := range map[string]string{
		"users": string(plans.Users), "relationships": string(plans.Relationships), "posts": string(plans.Posts),
		"CRLF": strings.ReplaceAll(good, "\n", "\r\n"), "BOM": "\ufeff" + good, "markers": "---\n" + good + "...\n",
	} {
		if _, err := plan.Parse(name, []byte(text)); err != nil {
			t.Error(err)
		}
	}
}

// many lists n unique constraints.
func many(n int) (text string) {
	for i := range n {
		text += fmt.Sprintf("- {field: f%d, table: table-%d}\n", i, i)
	}
	return text
}

func FuzzParse(f *testing.F) {
	f.Add(plans.Users)
	f.Add([]byte("entity: x\nfields: [{from: a, type: date}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := plan.Parse("p", text)
		if (p == nil) == (err == nil) || err != nil && !errors.Is(err, plan.ErrInvalid) {
			t.Fatal(p, err)
		}
	})
}
