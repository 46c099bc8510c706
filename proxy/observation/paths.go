package observation

import (
	"iter"
	"maps"
	"slices"
	"strings"
)

// paths are a tree of methods and the segments of paths, in which what looks like an id is
// one node: /users/17/posts and /users/18/posts are the same endpoint. Its size is bounded.
type paths struct {
	root  node
	nodes int
}

type node struct {
	children map[string]*node
	any      *node // the segments that are ids, or too many to be told apart
	traffic  traffic
}

// The bounds.
const (
	maxNodes    = 10_000
	maxChildren = 50 // more are ids that do not look like any, such as the names of users
	maxDepth    = 12 // deeper segments are not told apart
)

// full reports whether nothing may be added; the last path may exceed the bound by its depth.
func (p *paths) full() bool { return p.nodes >= maxNodes }

// find walks to the node of a path, and adds it, if it may, where there is none.
func (p *paths) find(method, path string, add bool) *node {
	n := p.step(&p.root, method, false, add)
	depth := 0
	for segment := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if n == nil || depth == maxDepth {
			break
		}
		n = p.step(n, segment, isID(segment), add)
		depth++
	}
	return n
}

func (p *paths) step(n *node, segment string, id, add bool) *node {
	if next := n.children[segment]; next != nil && !id {
		return next
	}
	id = id || len(n.children) >= maxChildren
	if id && n.any != nil {
		return n.any
	}
	if !add {
		return nil
	}
	p.nodes++
	next := &node{}
	switch {
	case id:
		n.any = next
	case n.children == nil:
		n.children = map[string]*node{}
		fallthrough
	default:
		n.children[strings.Clone(segment)] = next // not the whole request's head with it
	}
	return next
}

// isID reports whether a segment stands for one of many things of a kind. Versions and words
// with a digit or two do not.
func isID(segment string) bool {
	digits := 0
	for _, c := range []byte(segment) {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-', c == '_', c == '.', c == '~':
		default:
			return true
		}
	}
	return digits > 2 || len(segment) > 32 || digits > 0 && digits == len(segment)
}

// all yields the nodes that were asked for, with method and path.
func (n *node) all() iter.Seq2[[2]string, *node] {
	return func(yield func([2]string, *node) bool) {
		for method, m := range n.named() {
			if !m.walk(method, "", yield) {
				return
			}
		}
	}
}

func (n *node) walk(method, path string, yield func([2]string, *node) bool) bool {
	if n.traffic.count.Load() > 0 && !yield([2]string{method, path}, n) {
		return false
	}
	for segment, next := range n.named() {
		if !next.walk(method, path+"/"+segment, yield) {
			return false
		}
	}
	return true
}

// named yields the children, in order.
func (n *node) named() iter.Seq2[string, *node] {
	return func(yield func(string, *node) bool) {
		for _, segment := range slices.Sorted(maps.Keys(n.children)) {
			if !yield(segment, n.children[segment]) {
				return
			}
		}
		if n.any != nil {
			yield("{id}", n.any)
		}
	}
}
