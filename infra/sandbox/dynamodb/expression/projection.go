package expression

import "github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"

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
		out[i] = p[0]
	}
	return out
}

// Apply returns the selected parts of the item, nested as they were.
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
		below := under(paths, it[i].Name)
		if v, ok := pickValue(below, it[i].Value); ok {
			out = append(out, attribute.Field{Name: it[i].Name, Value: v})
		}
	}
	return out
}

// under returns the remainders of the paths that begin with the name.
func under(paths []path, name string) []path {
	var out []path
	for _, p := range paths {
		if p[0] == name {
			out = append(out, p[1:])
		}
	}
	return out
}

func pickValue(paths []path, v attribute.Value) (attribute.Value, bool) {
	switch {
	case len(paths) == 0:
		return v, false
	case len(paths[0]) == 0: // then it is the only one, since no two overlap
		return v, true
	case v.Kind() == attribute.M:
		fields := pick(paths, v.Map())
		return attribute.Map(fields), len(fields) > 0
	}
	return v, false
}
