package expression

import (
	"slices"
	"strings"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"
)

// Match evaluates the condition on an item; nil stands for no item.
func (c *Predicate) Match(it attribute.Item) bool {
	if c == nil {
		return true
	}
	return c.root.match(c.bind, it)
}

func (n *node) match(b *Binding, it attribute.Item) bool {
	switch n.op {
	case opAnd:
		return n.args[0].match(b, it) && n.args[1].match(b, it)
	case opOr:
		return n.args[0].match(b, it) || n.args[1].match(b, it)
	case opNot:
		return !n.args[0].match(b, it)
	case "attribute_exists":
		_, ok := n.args[0].path.lookup(it)
		return ok
	case "attribute_not_exists":
		_, ok := n.args[0].path.lookup(it)
		return !ok
	case "<>":
		return !n.equalTo(b, it)
	case "=":
		return n.equalTo(b, it)
	}
	return n.compare(b, it)
}

// equalTo is "="; two missing attributes are not equal.
func (n *node) equalTo(b *Binding, it attribute.Item) bool {
	x, okX := n.args[0].eval(b, it)
	y, okY := n.args[1].eval(b, it)
	return okX && okY && attribute.Equal(x, y)
}

func (n *node) compare(b *Binding, it attribute.Item) bool {
	x, ok := n.args[0].eval(b, it)
	if !ok {
		return false
	}
	if n.op == opIn {
		return slices.ContainsFunc(n.args[1:], func(a node) bool {
			y, ok := a.eval(b, it)
			return ok && attribute.Equal(x, y)
		})
	}
	y, ok := n.args[1].eval(b, it)
	if !ok {
		return false
	}
	switch n.op {
	case "begins_with":
		return x.Kind() == y.Kind() && (x.Kind() == attribute.S || x.Kind() == attribute.B) && strings.HasPrefix(x.Text(), y.Text())
	case "contains":
		return contains(x, y)
	case "attribute_type":
		return x.Kind().String() == y.Text()
	case opBetween:
		z, ok := n.args[2].eval(b, it)
		return ok && ordered(">=", x, y) && ordered("<=", x, z)
	}
	return ordered(n.op, x, y)
}

func ordered(op operator, x, y attribute.Value) bool {
	c, ok := attribute.Compare(x, y)
	if !ok {
		return false
	}
	switch op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

func contains(x, y attribute.Value) bool {
	switch x.Kind() {
	case attribute.S, attribute.B:
		return x.Kind() == y.Kind() && strings.Contains(x.Text(), y.Text())
	case attribute.L:
		return slices.ContainsFunc(x.List(), func(e attribute.Value) bool { return attribute.Equal(e, y) })
	case attribute.SS:
		return y.Kind() == attribute.S && slices.Contains(x.Set(), y.Text())
	case attribute.NS:
		return y.Kind() == attribute.N && slices.Contains(x.Set(), y.Text())
	case attribute.BS:
		return y.Kind() == attribute.B && slices.Contains(x.Set(), y.Text())
	}
	return false
}

// eval finds the value of an operand.
func (n *node) eval(b *Binding, it attribute.Item) (attribute.Value, bool) {
	switch {
	case n.op == opSize:
		v, ok := n.args[0].eval(b, it)
		if !ok {
			return v, false
		}
		return length(v)
	case n.value != "":
		return b.value(n.value), true
	}
	return n.path.lookup(it)
}

// length is size(): characters of a string, bytes of a binary, elements of the rest.
func length(v attribute.Value) (attribute.Value, bool) {
	switch v.Kind() {
	case attribute.S, attribute.B:
		return attribute.Int(len(v.Text())), true
	case attribute.M:
		return attribute.Int(len(v.Map())), true
	case attribute.L:
		return attribute.Int(len(v.List())), true
	case attribute.SS, attribute.NS, attribute.BS:
		return attribute.Int(len(v.Set())), true
	}
	return attribute.Value{}, false
}
