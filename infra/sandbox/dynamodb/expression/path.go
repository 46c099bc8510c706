package expression

import (
	"slices"
	"strings"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"
)

// path is a document path as written: names of attributes and of members of maps, each a #name
// before binding where it was written so. There are no list indexes.
type path []string

// String is the path as the service shows it in messages, such as "[a, b]".
func (p path) String() string { return "[" + strings.Join(p, ", ") + "]" }

func (p path) resolved(names Names) path {
	isPlaceholder := func(name string) bool { return strings.HasPrefix(name, "#") }
	if !slices.ContainsFunc(p, isPlaceholder) {
		return p
	}
	out := slices.Clone(p)
	for i, name := range out {
		if isPlaceholder(name) {
			out[i], _ = names.get(name)
		}
	}
	return out
}

// lookup finds what the path leads to.
func (p path) lookup(it attribute.Item) (attribute.Value, bool) {
	v, ok := it.Get(p[0])
	for _, name := range p[1:] {
		if !ok {
			break
		}
		v, ok = v.Map().Get(name)
	}
	return v, ok
}

// checkOverlap refuses two paths of which one contains the other.
func checkOverlap(paths []path) error {
	for i, p := range paths {
		for _, q := range paths[:i] {
			if n := min(len(p), len(q)); slices.Equal(p[:n], q[:n]) {
				return errorf("Two document paths overlap with each other; must remove or rewrite one of these paths; path one: %s, path two: %s", q, p)
			}
		}
	}
	return nil
}
