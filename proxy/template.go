package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// A template makes JSON of one shape from JSON of another. It is written
// in the route file as the wanted result:
//
//	status: ok                          a literal
//	id: $.user.id                       a value of the source body
//	who: $subject                       also $status, $params.x, $query.x
//	joined: {from: $.at, convert: unixSeconds}
//	code: {from: $status, map: {404: not_found}, default: error}
//	posts: {each: $.items, as: {post_id: $.postId}}
//
// Keys keep the file's order. A reference to something absent leaves its key
// out, unless it has a default. "$$" begins a literal dollar.
type template interface {
	// append writes the value, or reports that there is none.
	append(dst []byte, s *scope) (out []byte, present bool, err error)
}

// scope is what references are resolved against.
type scope struct {
	body    any // decoded with json.Number
	subject string
	status  int
	params  map[string]string
	query   map[string][]string
}

var errNotJSON = errors.New("the body is not JSON")

// decodeBody reads JSON for a scope. Trailing bytes are refused.
func decodeBody(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("%w: %v", errNotJSON, err)
	}
	if d.More() {
		return nil, fmt.Errorf("%w: more than one value", errNotJSON)
	}
	return v, nil
}

// render evaluates a template for a whole body.
func render(t template, s *scope) ([]byte, error) {
	out, present, err := t.append(nil, s)
	if err != nil {
		return nil, err
	}
	if !present {
		return []byte("null"), nil
	}
	return out, nil
}

// text evaluates a template for a query parameter.
func text(t template, s *scope) (string, bool, error) {
	out, present, err := t.append(nil, s)
	if err != nil || !present {
		return "", false, err
	}
	var str string
	if json.Unmarshal(out, &str) == nil {
		return str, true, nil
	}
	return string(out), true, nil
}

type literal []byte

func (l literal) append(dst []byte, _ *scope) ([]byte, bool, error) {
	return append(dst, l...), true, nil
}

type reference struct {
	root string   // "body", "subject", "status", "params", "query"
	path []string // below the root
}

func (r reference) append(dst []byte, s *scope) ([]byte, bool, error) {
	v, ok := r.resolve(s)
	if !ok {
		return dst, false, nil
	}
	out, err := appendJSON(dst, v)
	return out, err == nil, err
}

func (r reference) resolve(s *scope) (any, bool) {
	switch r.root {
	case "subject":
		return s.subject, s.subject != ""
	case "status":
		return json.Number(strconv.Itoa(s.status)), s.status != 0
	case "params":
		v, ok := s.params[r.path[0]]
		return v, ok
	case "query":
		if v := s.query[r.path[0]]; len(v) > 0 {
			return v[0], true
		}
		return nil, false
	}
	v := s.body
	for _, key := range r.path {
		switch node := v.(type) {
		case map[string]any:
			next, ok := node[key]
			if !ok {
				return nil, false
			}
			v = next
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(node) {
				return nil, false
			}
			v = node[i]
		default:
			return nil, false
		}
	}
	return v, v != nil || len(r.path) > 0
}

func appendJSON(dst []byte, v any) ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return dst, err
	}
	return append(dst, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...), nil
}

type object []member

type member struct {
	key   []byte // encoded
	value template
}

func (o object) append(dst []byte, s *scope) ([]byte, bool, error) {
	dst = append(dst, '{')
	first := true
	for _, m := range o {
		mark := len(dst)
		if !first {
			dst = append(dst, ',')
		}
		dst = append(append(dst, m.key...), ':')
		out, present, err := m.value.append(dst, s)
		if err != nil {
			return dst, false, fmt.Errorf("%s: %w", m.key, err)
		}
		if !present {
			dst = dst[:mark]
			continue
		}
		dst, first = out, false
	}
	return append(dst, '}'), true, nil
}

type list []template

func (l list) append(dst []byte, s *scope) ([]byte, bool, error) {
	dst = append(dst, '[')
	first := true
	for _, t := range l {
		mark := len(dst)
		if !first {
			dst = append(dst, ',')
		}
		out, present, err := t.append(dst, s)
		if err != nil {
			return dst, false, err
		}
		if !present {
			dst = dst[:mark]
			continue
		}
		dst, first = out, false
	}
	return append(dst, ']'), true, nil
}

// each makes a list from a list of the source. Inside, $. is the element.
type each struct {
	of reference
	as template
}

func (e each) append(dst []byte, s *scope) ([]byte, bool, error) {
	v, ok := e.of.resolve(s)
	if !ok {
		return dst, false, nil
	}
	items, ok := v.([]any)
	if !ok {
		return dst, false, fmt.Errorf("%s is not a list", e.of)
	}
	dst = append(dst, '[')
	inner := *s
	for i, item := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		inner.body = item
		out, present, err := e.as.append(dst, &inner)
		if err != nil {
			return dst, false, fmt.Errorf("element %d: %w", i, err)
		}
		if !present {
			out = append(dst, "null"...)
		}
		dst = out
	}
	return append(dst, ']'), true, nil
}

func (r reference) String() string {
	if r.root == "body" {
		return "$." + strings.Join(r.path, ".")
	}
	return "$" + strings.Join(append([]string{r.root}, r.path...), ".")
}

// from is a reference with a conversion, a table of values and a default.
type from struct {
	ref      reference
	convert  converter
	table    map[string][]byte
	fallback []byte // encoded; nil: none
}

func (f from) append(dst []byte, s *scope) ([]byte, bool, error) {
	v, ok := f.ref.resolve(s)
	if ok && f.table != nil {
		if out, known := f.table[fmt.Sprint(v)]; known {
			return append(dst, out...), true, nil
		}
		ok = false
	}
	if !ok {
		return append(dst, f.fallback...), f.fallback != nil, nil
	}
	if f.convert != nil {
		var err error
		if v, err = f.convert(v); err != nil {
			return dst, false, fmt.Errorf("%s: %w", f.ref, err)
		}
	}
	out, err := appendJSON(dst, v)
	return out, err == nil, err
}

type converter func(any) (any, error)

// converters are the conversions that a template can name.
var converters = map[string]converter{
	"unixSeconds":        func(v any) (any, error) { t, err := parseTime(v); return t.Unix(), err },
	"unixMillis":         func(v any) (any, error) { t, err := parseTime(v); return t.UnixMilli(), err },
	"rfc3339FromSeconds": func(v any) (any, error) { return fromUnix(v, time.Second) },
	"rfc3339FromMillis":  func(v any) (any, error) { return fromUnix(v, time.Millisecond) },
	"string":             func(v any) (any, error) { return fmt.Sprint(v), nil },
	"number":             toNumber,
}

func parseTime(v any) (time.Time, error) {
	s, ok := v.(string)
	if !ok {
		return time.Time{}, fmt.Errorf("%v is not an RFC 3339 time", v)
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not an RFC 3339 time", s)
	}
	return t, nil
}

func fromUnix(v any, unit time.Duration) (any, error) {
	n, err := strconv.ParseInt(fmt.Sprint(v), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%v is not a whole number", v)
	}
	if unit == time.Second {
		return time.Unix(n, 0).UTC().Format(time.RFC3339Nano), nil
	}
	return time.UnixMilli(n).UTC().Format(time.RFC3339Nano), nil
}

func toNumber(v any) (any, error) {
	n := json.Number(fmt.Sprint(v))
	if _, err := n.Float64(); err != nil {
		return nil, fmt.Errorf("%v is not a number", v)
	}
	return n, nil
}

// compileTemplate compiles a template node of the route file.
func compileTemplate(n ast.Node) (template, error) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return compileObject(m, m.Values)
	case *ast.MappingValueNode:
		return compileObject(m, []*ast.MappingValueNode{m})
	case *ast.SequenceNode:
		out := make(list, 0, len(m.Values))
		for _, v := range m.Values {
			t, err := compileTemplate(v)
			if err != nil {
				return nil, err
			}
			out = append(out, t)
		}
		return out, nil
	}
	var v any
	if err := yaml.NodeToValue(n, &v); err != nil {
		return nil, err
	}
	if s, ok := v.(string); ok && strings.HasPrefix(s, "$") && !strings.HasPrefix(s, "$$") {
		return parseReference(n, s)
	}
	return encodeLiteral(n, v)
}

func encodeLiteral(n ast.Node, v any) (literal, error) {
	if s, ok := v.(string); ok {
		v = strings.Replace(s, "$$", "$", 1)
	}
	out, err := appendJSON(nil, v)
	if err != nil {
		return nil, wrongAt(n, "the value cannot be written as JSON: %v", err)
	}
	return out, nil
}

func compileObject(n ast.Node, values []*ast.MappingValueNode) (template, error) {
	keys := map[string]ast.Node{}
	out := make(object, 0, len(values))
	for _, v := range values {
		var key string
		if err := yaml.NodeToValue(v.Key, &key); err != nil {
			return nil, err
		}
		keys[key] = v.Value
		encoded, _ := json.Marshal(key)
		out = append(out, member{key: encoded})
	}
	if keys["each"] != nil && keys["as"] != nil && len(keys) == 2 {
		return compileEach(keys)
	}
	if keys["from"] != nil {
		return compileFrom(n, keys)
	}
	for i, v := range values {
		t, err := compileTemplate(v.Value)
		if err != nil {
			return nil, err
		}
		out[i].value = t
	}
	return out, nil
}

func compileEach(keys map[string]ast.Node) (template, error) {
	ref, err := compileTemplate(keys["each"])
	if err != nil {
		return nil, err
	}
	of, ok := ref.(reference)
	if !ok {
		return nil, wrongAt(keys["each"], "each must be a reference such as $.items")
	}
	as, err := compileTemplate(keys["as"])
	if err != nil {
		return nil, err
	}
	return each{of: of, as: as}, nil
}

func compileFrom(n ast.Node, keys map[string]ast.Node) (template, error) {
	for key, v := range keys {
		switch key {
		case "from", "convert", "map", "default":
		default:
			return nil, wrongAt(v, "unknown key %q beside from: use convert, map or default", key)
		}
	}
	ref, err := compileTemplate(keys["from"])
	if err != nil {
		return nil, err
	}
	r, ok := ref.(reference)
	if !ok {
		return nil, wrongAt(keys["from"], "from must be a reference such as $.id")
	}
	f := from{ref: r}
	if c := keys["convert"]; c != nil {
		var name string
		if err := yaml.NodeToValue(c, &name); err != nil {
			return nil, err
		}
		if f.convert = converters[name]; f.convert == nil {
			return nil, wrongAt(c, "unknown conversion %q: use one of %s", name, names(converters))
		}
	}
	if m := keys["map"]; m != nil {
		if f.convert != nil {
			return nil, wrongAt(m, "convert and map cannot be combined")
		}
		if f.table, err = compileTable(m); err != nil {
			return nil, err
		}
	}
	if d := keys["default"]; d != nil {
		var v any
		if err := yaml.NodeToValue(d, &v); err != nil {
			return nil, err
		}
		if f.fallback, err = encodeLiteral(d, v); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func compileTable(n ast.Node) (map[string][]byte, error) {
	var m map[string]any
	if err := yaml.NodeToValue(n, &m); err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for k, v := range m {
		encoded, err := encodeLiteral(n, v)
		if err != nil {
			return nil, err
		}
		out[k] = encoded
	}
	return out, nil
}

func parseReference(n ast.Node, s string) (template, error) {
	parts := strings.Split(s[1:], ".")
	switch root := parts[0]; {
	case root == "" && len(parts) > 1: // $.a.b, or $. for the whole body
		path := parts[1:]
		if len(path) == 1 && path[0] == "" {
			path = nil
		}
		for _, p := range path {
			if p == "" {
				return nil, wrongAt(n, "invalid reference %q: it has an empty step", s)
			}
		}
		return reference{root: "body", path: path}, nil
	case (root == "subject" || root == "status") && len(parts) == 1:
		return reference{root: root}, nil
	case (root == "params" || root == "query") && len(parts) == 2 && parts[1] != "":
		return reference{root: root, path: parts[1:]}, nil
	}
	return nil, wrongAt(n, "invalid reference %q: use $.field, $subject, $status, $params.name or $query.name (or $$ for a dollar sign)", s)
}

func wrongAt(n ast.Node, format string, args ...any) error {
	return &yaml.SyntaxError{Message: fmt.Sprintf(format, args...), Token: n.GetToken()}
}
