package expression

import (
	"strconv"
	"strings"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"
)

// step is one step of a document path: a member (name, or #name before binding) or, with an empty
// name, a list index.
type step struct {
	name  string
	index int
}

// path is a document path as written; its first step is always a member.
type path []step

// String is the path as the service shows it in messages, such as "[a, [0], b]".
func (p path) String() string {
	parts := make([]string, len(p))
	for i, s := range p {
		if parts[i] = s.name; s.name == "" {
			parts[i] = "[" + strconv.Itoa(s.index) + "]"
		}
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func (p path) resolved(names Names) path {
	clear := true
	for _, s := range p {
		if strings.HasPrefix(s.name, "#") {
			clear = false
			break
		}
	}
	if clear {
		return p
	}
	out := make(path, len(p))
	for i, s := range p {
		out[i] = s
		if strings.HasPrefix(s.name, "#") {
			out[i].name, _ = names.get(s.name)
		}
	}
	return out
}

func (p path) equal(q path) bool {
	if len(p) != len(q) {
		return false
	}
	for i := range p {
		if p[i] != q[i] {
			return false
		}
	}
	return true
}

// lookup finds what the path leads to.
func (p path) lookup(it attribute.Item) (attribute.Value, bool) {
	v, ok := it.Get(p[0].name)
	for _, s := range p[1:] {
		if !ok {
			break
		}
		v, ok = s.into(v)
	}
	return v, ok
}

func (s step) into(v attribute.Value) (attribute.Value, bool) {
	if s.name != "" {
		return v.Map().Get(s.name)
	}
	if s.index >= len(v.List()) {
		return attribute.Value{}, false
	}
	return v.List()[s.index], true
}

// checkOverlap refuses two paths of which one contains the other, or which use the same place
// once as a map and once as a list.
func checkOverlap(paths []path) error {
	for i, p := range paths {
		for _, q := range paths[:i] {
			if word := clash(q, p); word != "" {
				return errorf("Two document paths %s with each other; must remove or rewrite one of these paths; path one: %s, path two: %s", word, q, p)
			}
		}
	}
	return nil
}

func clash(p, q path) string {
	for i := range min(len(p), len(q)) {
		if p[i] == q[i] {
			continue
		}
		if (p[i].name == "") != (q[i].name == "") {
			return "conflict"
		}
		return ""
	}
	return "overlap"
}
