package expression

import (
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
	y, ok := n.args[1].eval(b, it)
	if !ok {
		return false
	}
	if n.op == "begins_with" {
		return x.Kind() == y.Kind() && (x.Kind() == attribute.S || x.Kind() == attribute.B) && strings.HasPrefix(x.Text(), y.Text())
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

// eval finds the value of an operand.
func (n *node) eval(b *Binding, it attribute.Item) (attribute.Value, bool) {
	if n.value != "" {
		return b.value(n.value), true
	}
	return n.path.lookup(it)
}
