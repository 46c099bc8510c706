package expression

import (
	"slices"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"
)

// Projection is a parsed projection expression; immutable.
type Projection struct {
	paths []path
	names []string
}

// Selection is a projection bound to a request's names.
type Selection struct{ paths []path }

// ParseProjection parses a projection expression.
func ParseProjection(text string) (*Projection, error) {
	p, err := newParser(text)
	if err != nil {
		return nil, err
	}
	paths := p.paths()
	if err := p.finish(); err != nil {
		return nil, err
	}
	return &Projection{paths, p.names}, nil
}

func (p *parser) paths() []path {
	out := []path{p.path()}
	for p.err == nil && p.take(",") {
		out = append(out, p.path())
	}
	return out
}

// Bind resolves the placeholders and refuses paths that overlap.
func (pr *Projection) Bind(b *Binding) (*Selection, error) {
	if err := b.use(pr.names, nil); err != nil {
		return nil, err
	}
	paths := make([]path, len(pr.paths))
	for i, p := range pr.paths {
		paths[i] = p.resolved(b.Names)
	}
	if err := checkOverlap(paths); err != nil {
		return nil, err
	}
	return &Selection{paths}, nil
}

// Roots are the names of the top-level attributes that are selected from.
func (s *Selection) Roots() []string {
	out := make([]string, len(s.paths))
	for i, p := range s.paths {
		out[i] = p[0].name
	}
	return out
}

// Apply returns the selected parts of the item, nested as they were; list elements close ranks.
func (s *Selection) Apply(it attribute.Item) attribute.Item {
	if s == nil {
		return it
	}
	return pick(s.paths, it)
}

// pick keeps what the paths lead to.
func pick(paths []path, it attribute.Item) attribute.Item {
	out := make(attribute.Item, 0, len(paths))
	for i := range it {
		below := under(paths, func(s step) bool { return s.name == it[i].Name })
		if v, ok := pickValue(below, it[i].Value); ok {
			out = append(out, attribute.Field{Name: it[i].Name, Value: v})
		}
	}
	return out
}

// under returns the remainders of the paths whose first step is the wanted one.
func under(paths []path, wanted func(step) bool) []path {
	var out []path
	for _, p := range paths {
		if wanted(p[0]) {
			out = append(out, p[1:])
		}
	}
	return out
}

func pickValue(paths []path, v attribute.Value) (attribute.Value, bool) {
	if len(paths) == 0 {
		return v, false
	}
	if slices.ContainsFunc(paths, func(p path) bool { return len(p) == 0 }) {
		return v, true
	}
	switch v.Kind() {
	case attribute.M:
		fields := pick(paths, v.Map())
		return attribute.Map(fields), len(fields) > 0
	case attribute.L:
		list := pickList(paths, v.List())
		return attribute.List(list), len(list) > 0
	}
	return v, false
}

func pickList(paths []path, list []attribute.Value) []attribute.Value {
	var out []attribute.Value
	for i, e := range list {
		below := under(paths, func(s step) bool { return s.name == "" && s.index == i })
		if v, ok := pickValue(below, e); ok {
			out = append(out, v)
		}
	}
	return out
}
