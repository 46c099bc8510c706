package expression

import (
	"cmp"
	"slices"
	"strings"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"
)

// Apply returns the item as it is after the change. Every operand is taken from the item as it was
// before. Errors are attribute.ValidationErrors.
func (c *Change) Apply(before attribute.Item) (attribute.Item, error) {
	values := make([]attribute.Value, len(c.actions))
	for i := range c.actions {
		v, err := c.actions[i].result(c.bind, before)
		if err != nil {
			return nil, err
		}
		values[i] = v
	}
	after := before
	for _, i := range c.order() {
		fields, err := write(after, c.actions[i].path, values[i])
		if err != nil {
			return nil, err
		}
		after = fields
	}
	return after, nil
}

// order is that in which actions are carried out: first what sets, with list elements in the order
// of their index, then what removes, with list elements from the last, so that every index means
// the element it meant in the item as it was.
func (c *Change) order() []int {
	out := make([]int, len(c.actions))
	for i := range out {
		out[i] = i
	}
	if len(out) < 2 {
		return out
	}
	slices.SortStableFunc(out, func(i, j int) int {
		a, b := &c.actions[i], &c.actions[j]
		removeA, removeB := a.section == remove, b.section == remove
		switch {
		case removeA != removeB && removeA:
			return 1
		case removeA != removeB:
			return -1
		case removeA:
			return comparePaths(b.path, a.path)
		}
		return comparePaths(a.path, b.path)
	})
	return out
}

func comparePaths(a, b path) int {
	return slices.CompareFunc(a, b, func(x, y step) int {
		return cmp.Or(strings.Compare(x.name, y.name), cmp.Compare(x.index, y.index))
	})
}

// result is the value the action's path shall have; of kind Invalid if it shall have none.
func (a *action) result(b *Binding, it attribute.Item) (attribute.Value, error) {
	switch a.section {
	case remove:
		return attribute.Value{}, nil
	case set:
		return a.operand.eval(b, it)
	}
	operand := b.value(a.operand.value)
	current, ok := a.path.lookup(it)
	if a.section == discard {
		return discarded(current, ok, operand)
	}
	return added(current, ok, operand)
}

func added(current attribute.Value, exists bool, operand attribute.Value) (attribute.Value, error) {
	switch {
	case !exists:
		return operand, nil
	case current.Kind() != operand.Kind():
		return attribute.Value{}, ErrOperand
	case operand.Kind() == attribute.N:
		return attribute.Add(current, operand)
	}
	return current.Union(operand), nil
}

func discarded(current attribute.Value, exists bool, operand attribute.Value) (attribute.Value, error) {
	if !exists {
		return attribute.Value{}, nil
	}
	if current.Kind() != operand.Kind() {
		return attribute.Value{}, ErrOperand
	}
	left := current.Without(operand)
	if len(left.Set()) == 0 {
		return attribute.Value{}, nil
	}
	return left, nil
}

func (t *term) eval(b *Binding, it attribute.Item) (attribute.Value, error) {
	switch {
	case t.op == "if_not_exists":
		if v, ok := t.args[0].path.lookup(it); ok {
			return v, nil
		}
		return t.args[1].eval(b, it)
	case t.op != "":
		return t.combine(b, it)
	case t.value != "":
		return b.value(t.value), nil
	}
	v, ok := t.path.lookup(it)
	if !ok {
		return v, ErrMissing
	}
	return v, nil
}

func (t *term) combine(b *Binding, it attribute.Item) (attribute.Value, error) {
	x, err := t.args[0].eval(b, it)
	if err != nil {
		return x, err
	}
	y, err := t.args[1].eval(b, it)
	if err != nil {
		return y, err
	}
	want := attribute.N
	if t.op == "list_append" {
		want = attribute.L
	}
	switch {
	case x.Kind() != want || y.Kind() != want:
		return x, ErrOperand
	case t.op == "+":
		return attribute.Add(x, y)
	case t.op == "-":
		return attribute.Subtract(x, y)
	}
	return attribute.List(slices.Concat(x.List(), y.List())), nil
}

// write returns the item with the value at the path; a value of kind Invalid removes.
func write(it attribute.Item, p path, v attribute.Value) (attribute.Item, error) {
	name := p[0].name
	current, ok := it.Get(name)
	if len(p) == 1 {
		if v.Kind() == attribute.Invalid {
			return it.Without(name), nil
		}
		return it.With(name, v), nil
	}
	if !ok {
		return nil, ErrPath
	}
	inner, err := writeInto(current, p[1:], v)
	if err != nil {
		return nil, err
	}
	return it.With(name, inner), nil
}

func writeInto(current attribute.Value, p path, v attribute.Value) (attribute.Value, error) {
	if p[0].name != "" {
		if current.Kind() != attribute.M {
			return current, ErrPath
		}
		fields, err := write(current.Map(), p, v)
		return attribute.Map(fields), err
	}
	if current.Kind() != attribute.L {
		return current, ErrPath
	}
	list, err := writeElement(slices.Clone(current.List()), p, v)
	return attribute.List(list), err
}

// writeElement changes the list it is given; an index past the end appends.
func writeElement(list []attribute.Value, p path, v attribute.Value) ([]attribute.Value, error) {
	i := p[0].index
	exists := i < len(list)
	switch {
	case len(p) > 1 && !exists:
		return nil, ErrPath
	case len(p) > 1:
		inner, err := writeInto(list[i], p[1:], v)
		list[i] = inner
		return list, err
	case v.Kind() == attribute.Invalid && exists:
		return slices.Delete(list, i, i+1), nil
	case v.Kind() == attribute.Invalid:
		return list, nil
	case exists:
		list[i] = v
		return list, nil
	}
	return append(list, v), nil
}
