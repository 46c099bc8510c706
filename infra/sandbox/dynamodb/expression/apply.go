package expression

import "github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"

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
	for i := range c.actions { // in any order, since no two paths overlap
		fields, err := write(after, c.actions[i].path, values[i])
		if err != nil {
			return nil, err
		}
		after = fields
	}
	return after, nil
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
	return added(current, ok, operand)
}

func added(current attribute.Value, exists bool, operand attribute.Value) (attribute.Value, error) {
	switch {
	case !exists:
		return operand, nil
	case current.Kind() != operand.Kind():
		return attribute.Value{}, ErrOperand
	}
	return attribute.Add(current, operand)
}

func (t *term) eval(b *Binding, it attribute.Item) (attribute.Value, error) {
	switch {
	case t.op == "if_not_exists":
		if v, ok := t.args[0].path.lookup(it); ok {
			return v, nil
		}
		return t.args[1].eval(b, it)
	case t.value != "":
		return b.value(t.value), nil
	}
	v, ok := t.path.lookup(it)
	if !ok {
		return v, ErrMissing
	}
	return v, nil
}

// write returns the item with the value at the path; a value of kind Invalid removes.
func write(it attribute.Item, p path, v attribute.Value) (attribute.Item, error) {
	name := p[0]
	current, ok := it.Get(name)
	if len(p) == 1 {
		if v.Kind() == attribute.Invalid {
			return it.Without(name), nil
		}
		return it.With(name, v), nil
	}
	if !ok || current.Kind() != attribute.M {
		return nil, ErrPath
	}
	inner, err := write(current.Map(), p[1:], v)
	if err != nil {
		return nil, err
	}
	return it.With(name, attribute.Map(inner)), nil
}
