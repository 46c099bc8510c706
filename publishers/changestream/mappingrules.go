package changestream

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/banyan-fig/banyan/publishers/internal/bsonjson"
)

// mapping reads the whole file.
func (f *file) mapping(root ast.Node) *Mapping {
	m := &Mapping{Collections: map[string]Func{}}
	source, version := "", false
	for _, e := range f.entries(root, "the file", "version", "source", "collections") {
		switch e.name {
		case "version":
			version = true
			if f.text(e.value, "version") != "1" {
				f.fail(e.value, "version must be 1, the version of this format")
			}
		case "source":
			source = f.source(e.value)
		}
	}
	for _, e := range f.entries(root, "the file") {
		if e.name == "collections" {
			for _, c := range f.entries(e.value, "collections") {
				f.collection(m, c, source)
			}
		}
	}
	switch {
	case len(f.errs) > 0:
	case !version:
		f.fail(root, "version is missing: write version: 1")
	case len(m.Collections) == 0:
		f.fail(root, "collections is missing: name the collections whose changes become events")
	}
	return m
}

func (f *file) source(n ast.Node) string {
	s := f.text(n, "source")
	if _, err := url.Parse(s); err != nil || s == "" {
		f.fail(n, "source %q is not a URI-reference, such as /legacy/users", bsonjson.Brief(s))
	}
	return s
}

func (f *file) collection(m *Mapping, c entry, source string) {
	if c.name == "" || strings.HasPrefix(c.name, "system.") {
		f.fail(c.key, "%q is not a name of a collection whose changes can be followed", c.name)
	}
	var all rules
	for _, n := range f.items(c.value) {
		all = append(all, f.rule(n, c.name, source))
	}
	if len(all) == 0 {
		f.fail(c.key, "collection %s has no rules", c.name)
	}
	m.Collections[c.name] = all.apply
	if slices.ContainsFunc(all, func(r rule) bool { return slices.Contains(r.on, "snapshot") }) {
		m.Snapshots = append(m.Snapshots, c.name)
	}
}

func (f *file) rule(n ast.Node, collection, source string) rule {
	r := rule{version: 1, source: source, missing: refuse, gone: skip}
	r.subject, r.key = template{{text: collection + "/"}, {path: path{"_id"}}}, template{{path: path{"_id"}}}
	var data ast.Node
	for _, e := range f.entries(n, "a rule", "on", "when", "event", "version", "source", "subject", "key", "correlation", "missing", "gone", "data") {
		switch e.name {
		case "on":
			r.on = f.operations(e.value)
		case "when":
			r.when = f.conditions(e.value)
		case "event":
			r.event = f.text(e.value, "event")
		case "version":
			r.version = f.version(e.value)
		case "source":
			r.source = f.source(e.value)
		case "subject":
			r.subject = f.template(e.value, "subject")
		case "key":
			r.key = f.template(e.value, "key")
		case "correlation":
			r.correlation = f.correlation(e.value)
		case "missing":
			r.missing = onMissing(f.oneOf(e.value, "missing", string(refuse), string(skip)))
		case "gone":
			r.gone = onMissing(f.oneOf(e.value, "gone", string(refuse), string(skip)))
		case "data":
			data = e.value
		}
	}
	r.data = f.data(data, r.missing)
	switch {
	case len(f.errs) > 0:
	case len(r.on) == 0:
		f.fail(n, "the rule lacks on: list the operations that it matches")
	case r.event == "":
		f.fail(n, "the rule lacks event: name the type of the event, such as user.joined")
	case len(r.key) == 1 && r.key[0].path == nil:
		f.fail(n, "key has no field in it, so that all events would go to one shard; write a field in braces, such as {_id}")
	}
	return r
}

var operations = []string{"insert", "update", "replace", "delete", "snapshot"}

func (f *file) operations(n ast.Node) []string {
	var all []string
	for _, item := range f.items(n) {
		all = append(all, f.oneOf(item, "on", operations...))
	}
	return all
}

func (f *file) version(n ast.Node) int {
	var v int
	if err := json.Unmarshal([]byte(f.text(n, "version")), &v); err != nil || v < 1 || v > 1<<31-1 {
		f.fail(n, "version must be a whole number from 1")
	}
	return v
}

func (f *file) correlation(n ast.Node) (ids [3]path) {
	if _, plain := n.(*ast.StringNode); plain {
		ids[0] = f.path(n, "correlation")
		return ids
	}
	names := []string{"correlationId", "causationId", "traceParent"}
	for _, e := range f.entries(n, "correlation", names...) {
		ids[slices.Index(names, e.name)] = f.path(e.value, e.name)
	}
	return ids
}

func (f *file) conditions(n ast.Node) []condition {
	var all []condition
	for _, item := range f.items(n) {
		var w condition
		for _, e := range f.entries(item, "a condition", "changed", "exists", "missing", "equals", "was") {
			switch e.name {
			case "changed":
				w.changed = f.paths(e)
			case "exists":
				w.exists = f.paths(e)
			case "missing":
				w.missing = f.paths(e)
			case "equals":
				w.equals = f.comparisons(e)
			case "was":
				w.was = f.comparisons(e)
			}
		}
		all = append(all, w)
	}
	return all
}

func (f *file) paths(e entry) []path {
	var all []path
	for _, n := range f.items(e.value) {
		all = append(all, f.path(n, e.name))
	}
	return all
}

func (f *file) comparisons(e entry) []comparison {
	var all []comparison
	for _, one := range f.entries(e.value, e.name) {
		p, err := checkPath(one.name)
		if err != nil {
			f.fail(one.key, "%s: %v", e.name, err)
		}
		all = append(all, comparison{p, f.constant(one.value, e.name)})
	}
	return all
}

func (f *file) data(n ast.Node, missing onMissing) []member {
	if n == nil {
		return nil
	}
	var all []member
	for _, e := range f.entries(n, "data") {
		m := member{missing: missing}
		name, err := asJSON(e.name)
		if err != nil {
			f.fail(e.key, "%v", err)
		}
		m.name = name
		f.member(&m, e)
		all = append(all, m)
	}
	return all
}

func (f *file) member(m *member, e entry) {
	switch e.value.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
	default:
		m.path = f.path(e.value, "the field of "+e.name)
		return
	}
	has := map[string]bool{}
	for _, part := range f.entries(e.value, "a member of data", "field", "as", "of", "missing", "default", "value") {
		has[part.name] = true
		switch part.name {
		case "field":
			m.path = f.path(part.value, "field")
		case "as":
			m.as = f.form(part.value)
		case "of":
			m.before = f.oneOf(part.value, "of", "before", "after") == "before"
		case "missing":
			m.missing = onMissing(f.oneOf(part.value, "missing", string(refuse), string(skip), string(omit), string(null)))
		case "default":
			m.missing, m.value = constant, f.constant(part.value, "default")
		case "value":
			m.value = f.constant(part.value, "value")
		}
	}
	switch {
	case has["field"] == has["value"]:
		f.fail(e.key, "%s needs either a field or a value", e.name)
	case has["value"] && len(has) > 1:
		f.fail(e.key, "%s has a value, which is always the same; nothing else can be said of it", e.name)
	case has["default"] && has["missing"]:
		f.fail(e.key, "%s has a default, so it cannot be missing; leave one out", e.name)
	}
}

func (f *file) form(n ast.Node) form {
	var words []string
	for _, one := range forms {
		words = append(words, string(one))
	}
	return form(f.oneOf(n, "as", words...))
}
