package changestream

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxMappingFile bounds a mapping file; the largest sensible one is far smaller.
const maxMappingFile = 1 << 20

// A FileError is one thing wrong with a mapping file, at the place where a
// person has to look.
type FileError struct {
	File      string
	Line, Col int
	Message   string
}

// Error gives "file:line:col: message", which editors can jump to.
func (e *FileError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Message)
}

// ParseMapping reads a mapping file; the package comment describes the format.
// name is for messages. Errors are *[FileError], one for each mistake, joined.
func ParseMapping(name string, src []byte) (*Mapping, error) {
	f := &file{name: name}
	root := f.parse(src)
	if root == nil {
		return nil, errors.Join(f.errs...)
	}
	m := f.mapping(root)
	if len(f.errs) > 0 {
		return nil, errors.Join(f.errs...)
	}
	return m, nil
}

// file collects what is wrong with one.
type file struct {
	name string
	errs []error
}

// maxErrors is how many mistakes are told at once.
const maxErrors = 20

func (f *file) fail(n ast.Node, format string, args ...any) {
	line, col := placeOf(n)
	if len(f.errs) < maxErrors {
		f.errs = append(f.errs, &FileError{f.name, line, col, fmt.Sprintf(format, args...)})
	}
}

// placeOf is where a node begins: a mapping's own token is the colon behind its
// first key.
func placeOf(n ast.Node) (line, col int) {
	switch m := n.(type) {
	case nil:
		return 1, 1
	case *ast.MappingNode:
		if len(m.Values) > 0 {
			return placeOf(m.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return placeOf(m.Key)
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line, t.Position.Column
	}
	return 1, 1
}

func (f *file) parse(src []byte) ast.Node {
	if len(src) > maxMappingFile {
		f.fail(nil, "the file has %d bytes, more than the %d allowed", len(src), maxMappingFile)
		return nil
	}
	doc, err := parser.ParseBytes(src, 0)
	var y yaml.Error
	switch {
	case errors.As(err, &y) && y.GetToken() != nil && y.GetToken().Position != nil:
		at := y.GetToken().Position
		f.errs = append(f.errs, &FileError{f.name, at.Line, at.Column, y.GetMessage()})
		return nil
	case err != nil:
		f.fail(nil, "%v", err)
		return nil
	case len(doc.Docs) != 1 || doc.Docs[0].Body == nil:
		f.fail(nil, "expected one YAML document with the keys version and collections")
		return nil
	}
	return doc.Docs[0].Body
}

// entry is a key with its value.
type entry struct {
	name  string
	key   ast.Node
	value ast.Node
}

// entries reads a mapping in its order; keys it may have are all, where none
// are named.
func (f *file) entries(n ast.Node, what string, allowed ...string) []entry {
	var pairs []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		pairs = m.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{m}
	default:
		f.fail(n, "%s must be a mapping of keys to values", what)
		return nil
	}
	var all []entry
	for _, pair := range pairs {
		name, ok := f.keyName(pair.Key)
		switch {
		case !ok:
		case slices.ContainsFunc(all, func(e entry) bool { return e.name == name }):
			f.fail(pair.Key, "%q is given twice", name)
		case len(allowed) > 0 && !slices.Contains(allowed, name):
			f.fail(pair.Key, "%s has no %q; it has %s", what, name, strings.Join(allowed, ", "))
		default:
			all = append(all, entry{name, pair.Key, pair.Value})
		}
	}
	return all
}

func (f *file) keyName(n ast.Node) (string, bool) {
	switch k := n.(type) {
	case *ast.StringNode:
		return k.Value, true
	case *ast.IntegerNode, *ast.BoolNode:
		return k.GetToken().Value, true
	}
	f.fail(n, "a key must be plain text")
	return "", false
}

// items reads a list, or one value as a list of one.
func (f *file) items(n ast.Node) []ast.Node {
	if list, ok := n.(*ast.SequenceNode); ok {
		return list.Values
	}
	return []ast.Node{n}
}

// text reads a text; a number or a truth value is one as it is written.
func (f *file) text(n ast.Node, what string) string {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value
	case *ast.LiteralNode:
		return v.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return v.GetToken().Value
	}
	f.fail(n, "%s must be a text", what)
	return ""
}

// word reads one of some words.
func (f *file) word(n ast.Node, what string, words ...string) string {
	if _, empty := n.(*ast.NullNode); empty && slices.Contains(words, string(null)) {
		return string(null)
	}
	s := f.text(n, what)
	if s != "" && !slices.Contains(words, s) {
		f.fail(n, "%s cannot be %q; it is one of %s", what, brief(s), strings.Join(words, ", "))
	}
	return s
}

func (f *file) path(n ast.Node, what string) path {
	s := f.text(n, what)
	if s == "" {
		return nil
	}
	p, err := checkPath(s)
	if err != nil {
		f.fail(n, "%s: %v", what, err)
	}
	return p
}

func (f *file) template(n ast.Node, what string) template {
	t, err := parseTemplate(f.text(n, what))
	if err != nil {
		f.fail(n, "%s: %v", what, err)
	}
	return t
}

// maxConstantDepth bounds the nesting of constants.
const maxConstantDepth = 20

// constant reads any value as JSON.
func (f *file) constant(n ast.Node, what string) []byte {
	v, ok := f.plain(n, what, 0)
	if !ok {
		return nil
	}
	b, err := asJSON(v)
	if err != nil {
		f.fail(n, "%s: %v", what, err)
	}
	return b
}

func (f *file) plain(n ast.Node, what string, depth int) (any, bool) {
	if depth > maxConstantDepth {
		f.fail(n, "%s is nested deeper than %d", what, maxConstantDepth)
		return nil, false
	}
	switch v := n.(type) {
	case nil, *ast.NullNode:
		return nil, true
	case *ast.BoolNode:
		return v.Value, true
	case *ast.IntegerNode:
		return v.Value, true
	case *ast.FloatNode:
		return v.Value, true
	case *ast.StringNode, *ast.LiteralNode:
		return f.text(n, what), true
	case *ast.SequenceNode:
		list := make([]any, len(v.Values))
		for i, item := range v.Values {
			list[i], _ = f.plain(item, what, depth+1)
		}
		return list, true
	case *ast.MappingNode, *ast.MappingValueNode:
		members := map[string]any{}
		for _, e := range f.entries(n, what) {
			members[e.name], _ = f.plain(e.value, what, depth+1)
		}
		return members, true
	}
	f.fail(n, "%s must be a plain value; anchors, aliases and tags are not taken", what)
	return nil, false
}

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
		f.fail(n, "source %q is no URI-reference, such as /legacy/users", brief(s))
	}
	return s
}

func (f *file) collection(m *Mapping, c entry, source string) {
	if c.name == "" || strings.HasPrefix(c.name, "system.") {
		f.fail(c.key, "%q is no name of a collection whose changes can be followed", c.name)
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
			r.missing = onMissing(f.word(e.value, "missing", string(refuse), string(skip)))
		case "gone":
			r.gone = onMissing(f.word(e.value, "gone", string(refuse), string(skip)))
		case "data":
			data = e.value
		}
	}
	r.data = f.data(data, r.missing)
	switch {
	case len(f.errs) > 0:
	case len(r.on) == 0:
		f.fail(n, "the rule lacks on: name the operations it is about")
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
		all = append(all, f.word(item, "on", operations...))
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
			m.before = f.word(part.value, "of", "before", "after") == "before"
		case "missing":
			m.missing = onMissing(f.word(part.value, "missing", string(refuse), string(skip), string(omit), string(null)))
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
	return form(f.word(n, "as", words...))
}
