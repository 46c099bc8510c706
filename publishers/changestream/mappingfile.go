package changestream

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/banyan-fig/banyan/publishers/internal/bsonjson"
)

// maxMappingFile bounds a mapping file; the largest sensible one is far smaller.
const maxMappingFile = 1 << 20

// A FileError is one mistake in a mapping file, with its line and
// column.
type FileError struct {
	File      string
	Line, Col int
	Message   string
}

// Error returns "file:line:col: message", which editors can jump to.
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

// file parses a mapping file and collects its mistakes.
type file struct {
	name string
	errs []error
}

// maxErrors is how many mistakes are reported at once.
const maxErrors = 20

func (f *file) fail(n ast.Node, format string, args ...any) {
	line, col := lineAndColumn(n)
	if len(f.errs) < maxErrors {
		f.errs = append(f.errs, &FileError{f.name, line, col, fmt.Sprintf(format, args...)})
	}
}

// lineAndColumn returns where a node begins: a mapping's own token is the colon behind its
// first key.
func lineAndColumn(n ast.Node) (line, col int) {
	switch m := n.(type) {
	case nil:
		return 1, 1
	case *ast.MappingNode:
		if len(m.Values) > 0 {
			return lineAndColumn(m.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return lineAndColumn(m.Key)
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

// text reads a text; numbers and booleans count as the text they are written as.
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

// oneOf reads one of the allowed words.
func (f *file) oneOf(n ast.Node, what string, words ...string) string {
	if _, empty := n.(*ast.NullNode); empty && slices.Contains(words, string(null)) {
		return string(null)
	}
	s := f.text(n, what)
	if s != "" && !slices.Contains(words, s) {
		f.fail(n, "%s cannot be %q; it is one of %s", what, bsonjson.Brief(s), strings.Join(words, ", "))
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
	f.fail(n, "%s must be a plain value; anchors, aliases and tags are not supported", what)
	return nil, false
}
