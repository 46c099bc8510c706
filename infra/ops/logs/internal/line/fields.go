package line

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of what is kept of a structured line as fields. The line itself is kept
// whole whatever they are.
type Limits struct {
	Fields int // leaves; 0 means 64
	Depth  int // objects in one another, the line's own included; 0 means 4
	Value  int // bytes of a value; 0 means 4096
}

const (
	defaultFields = 64
	defaultDepth  = 4
	defaultValue  = 4096
	maxKey        = 128     // bytes
	maxList       = 32      // elements
	maxLine       = 1 << 18 // bytes of a line that is parsed
)

// WithDefaults fills in what is zero.
func (l Limits) WithDefaults() Limits {
	for _, f := range []struct {
		field *int
		value int
	}{{&l.Fields, defaultFields}, {&l.Depth, defaultDepth}, {&l.Value, defaultValue}} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	return l
}

// Parse reads a line that is a JSON object. truncated says that not all of it is
// in the fields; ok is false for any other line.
func Parse(message string, l Limits) (fields map[string]any, truncated, ok bool) {
	text := strings.TrimSpace(message)
	if !strings.HasPrefix(text, "{") || !strings.HasSuffix(text, "}") {
		return nil, false, false
	}
	if len(text) > maxLine {
		return nil, true, false
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var object map[string]any
	if d.Decode(&object) != nil || d.InputOffset() != int64(len(text)) {
		return nil, false, false
	}
	p := pruning{limits: l.WithDefaults()}
	return p.object(object, 1), p.truncated, true
}

// pruning counts what was kept so far.
type pruning struct {
	limits    Limits
	kept      int
	truncated bool
}

func (p *pruning) object(in map[string]any, depth int) map[string]any {
	out := map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(in)) {
		name := fieldName(key)
		if _, taken := out[name]; taken || len(name) > maxKey || p.kept >= p.limits.Fields {
			p.truncated = true
			continue
		}
		if value := p.value(in[key], depth); value != nil {
			out[name] = value
		}
	}
	return out
}

// fieldName is a name that an index takes. Dots would make objects of it, which
// can clash with other fields.
func fieldName(key string) string {
	name := strings.ReplaceAll(strings.TrimSpace(strings.ToValidUTF8(key, "\ufffd")), ".", "_")
	if name == "" {
		return "_"
	}
	return name
}

// value is nil for what is left out.
func (p *pruning) value(v any, depth int) any {
	object, nested := v.(map[string]any)
	if nested && depth < p.limits.Depth {
		if inner := p.object(object, depth+1); len(inner) > 0 {
			return inner
		}
		return nil
	}
	if v == nil {
		return nil
	}
	p.kept++
	list, many := v.([]any)
	switch {
	case nested:
		p.truncated = true
		return p.text(v)
	case many && scalars(list):
		return p.list(list)
	case many:
		return p.text(v)
	}
	return p.scalar(v)
}

func scalars(list []any) bool {
	for _, v := range list {
		switch v.(type) {
		case map[string]any, []any:
			return false
		}
	}
	return true
}

func (p *pruning) list(list []any) []any {
	if len(list) > maxList {
		list = list[:maxList]
		p.truncated = true
	}
	out := make([]any, 0, len(list))
	for _, v := range list {
		if v != nil {
			out = append(out, p.scalar(v))
		}
	}
	return out
}

func (p *pruning) scalar(v any) any {
	switch v := v.(type) {
	case string:
		return p.cut(v)
	case json.Number:
		f, err := v.Float64()
		if err != nil || math.IsInf(f, 0) || len(v) > 40 {
			return p.cut(v.String()) // no index has a number for it
		}
	}
	return v
}

// text is JSON in a string, for what is too deep to be fields.
func (p *pruning) text(v any) any {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return nil // cannot be: it was read as JSON
	}
	return p.cut(strings.TrimSuffix(b.String(), "\n"))
}

func (p *pruning) cut(s string) string {
	if len(s) <= p.limits.Value {
		return s
	}
	p.truncated = true
	return Cut(s, p.limits.Value)
}

// Cut shortens a text to at most n bytes, between two characters.
func Cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
