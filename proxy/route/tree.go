package route

import (
	"net/url"
	"slices"
	"strings"
)

// pattern is a path such as /api/v1/users/{id} or /static/{rest...}.
type pattern []segment

type segment struct {
	literal string
	param   string
	rest    bool // the last one only
}

// Param is a part of the path that a pattern names.
type Param struct {
	Name  string
	Value string // decoded
	Raw   string // as it came: what a new path is made of
}

// tree finds the routes whose patterns match a path. Its cost depends on the number of
// segments, not of routes: a branch is not entered when no route in it stands above the best
// one found so far.
type tree struct {
	first    int // the lowest index below
	literals map[string]*tree
	param    *tree
	rest     []*Route // {name...} from here on, in the file's order
	here     []*Route // that end here, in the file's order
}

const none = int(^uint(0) >> 1)

func newTree() *tree { return &tree{first: none} }

// add must be called in the file's order.
func (t *tree) add(r *Route) {
	for _, s := range r.pattern {
		t.first = min(t.first, r.index)
		switch {
		case s.rest:
			t.rest = append(t.rest, r)
			return
		case s.param != "":
			if t.param == nil {
				t.param = newTree()
			}
			t = t.param
		default:
			if t.literals == nil {
				t.literals = map[string]*tree{}
			}
			next := t.literals[s.literal]
			if next == nil {
				next = newTree()
				t.literals[s.literal] = next
			}
			t = next
		}
	}
	t.first = min(t.first, r.index)
	t.here = append(t.here, r)
}

// find returns the first route in the file's order that matches the segments and that admits
// admits, or best where none stands above it.
func (t *tree) find(path []string, best *Route, admits func(*Route) bool) *Route {
	if best != nil && t.first > best.index {
		return best
	}
	best = firstOf(t.rest, best, admits)
	if len(path) == 0 {
		return firstOf(t.here, best, admits)
	}
	if next := t.literals[path[0]]; next != nil {
		best = next.find(path[1:], best, admits)
	}
	if t.param != nil {
		best = t.param.find(path[1:], best, admits)
	}
	return best
}

func firstOf(routes []*Route, best *Route, admits func(*Route) bool) *Route {
	for _, r := range routes {
		if best != nil && r.index > best.index {
			break
		}
		if admits(r) {
			return r
		}
	}
	return best
}

// hides returns a route above r that takes every request that r would, p being what of r's
// pattern is below t.
func (t *tree) hides(p pattern, r *Route) *Route {
	takesAll := func(o *Route) bool { return o.takesAllOf(r) }
	if i := slices.IndexFunc(t.rest, takesAll); i >= 0 {
		return t.rest[i]
	}
	if len(p) == 0 {
		if i := slices.IndexFunc(t.here, takesAll); i >= 0 {
			return t.here[i]
		}
		return nil
	}
	if p[0].rest {
		return nil
	}
	if p[0].param == "" {
		if next := t.literals[p[0].literal]; next != nil {
			if o := next.hides(p[1:], r); o != nil {
				return o
			}
		}
	}
	if t.param != nil {
		return t.param.hides(p[1:], r)
	}
	return nil
}

// maxSegments bounds what of a path is looked at. A longer one matches no route.
const maxSegments = 64

// split splits a path as it came into decoded segments; ok is false for one that no route may
// match: with a dot or an empty segment, or an invalid escape. So an encoded slash never
// makes two segments of one.
func split(path string, into []string) (out []string, ok bool) {
	if !strings.HasPrefix(path, "/") {
		return nil, false
	}
	if path == "/" {
		return into, true
	}
	for s := range strings.SplitSeq(path[1:], "/") {
		if len(into) == maxSegments {
			return nil, false
		}
		if strings.IndexByte(s, '%') >= 0 {
			decoded, err := url.PathUnescape(s)
			if err != nil {
				return nil, false
			}
			s = decoded
		}
		if s == "" || s == "." || s == ".." {
			return nil, false
		}
		into = append(into, s)
	}
	return into, true
}

// params are what the pattern names of a path that it matches.
func (p pattern) params(path string, decoded []string) []Param {
	n := 0
	for _, s := range p {
		if s.param != "" {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	out := make([]Param, 0, n)
	raw := strings.TrimPrefix(path, "/")
	for i, s := range p {
		if s.rest {
			return append(out, Param{s.param, strings.Join(decoded[min(i, len(decoded)):], "/"), raw})
		}
		var one string
		one, raw, _ = strings.Cut(raw, "/")
		if s.param != "" {
			out = append(out, Param{s.param, decoded[i], one})
		}
	}
	return out
}
