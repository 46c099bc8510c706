package expression

import (
	"slices"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"
)

// Update is a parsed update expression; immutable.
type Update struct {
	actions []action
	names   []string
	values  []string
}

// Change is an update expression bound to a request's placeholders.
type Change struct {
	actions []action
	bind    *Binding
}

type section string

const (
	set    section = "SET"
	remove section = "REMOVE"
	add    section = "ADD"
)

type action struct {
	section section
	path    path
	operand term
}

// term is the right side of an action: a path, a value or a function.
type term struct {
	op    string // "" or "if_not_exists"
	args  []term
	path  path
	value string
}

// The service's messages about updates that do not fit the item they meet.
const (
	ErrPath    = attribute.ValidationError("The document path provided in the update expression is invalid for update")
	ErrMissing = attribute.ValidationError("The provided expression refers to an attribute that does not exist in the item")
	ErrOperand = attribute.ValidationError("An operand in the update expression has an incorrect data type")
)

// ParseUpdate parses an update expression.
func ParseUpdate(text string) (*Update, error) {
	p, err := newParser(text)
	if err != nil {
		return nil, err
	}
	u := &Update{}
	seen := map[section]bool{}
	for p.err == nil && (len(seen) == 0 || p.peek().kind != end) {
		s := p.section()
		if p.err == nil && seen[s] {
			p.fail(errorf("The \"%s\" section can only be used once in an update expression;", s))
		}
		seen[s] = true
		u.actions = p.actions(s, u.actions)
	}
	if err := p.finish(); err != nil {
		return nil, err
	}
	u.names, u.values = p.names, p.values
	return u, nil
}

func (p *parser) section() section {
	for _, s := range []section{set, remove, add} {
		if p.takeKeyword(string(s)) {
			return s
		}
	}
	if p.keyword("DELETE") {
		p.fail(leftOut("DELETE"))
	}
	p.syntax()
	return ""
}

func (p *parser) actions(s section, out []action) []action {
	for p.err == nil {
		a := action{section: s, path: p.path()}
		switch s {
		case set:
			p.want("=")
			p.operator()
			a.operand = p.term()
			if p.is("+") || p.is("-") {
				p.fail(leftOut("arithmetic in SET"))
			}
		case add:
			a.operand = term{value: p.value()}
		}
		out = append(out, a)
		if !p.take(",") {
			break
		}
	}
	return out
}

func (p *parser) term() term {
	switch t := p.peek(); {
	case p.is("("):
		p.fail(leftOut("parentheses in an update"))
	case t.kind == valuePlace:
		return term{value: p.value()}
	case p.call():
		return p.termFunction()
	case t.kind == word, t.kind == namePlace:
		return term{path: p.path()}
	}
	p.syntax()
	return term{}
}

func (p *parser) termFunction() term {
	name := p.peek().text
	if slices.Contains(otherFunctions, name) {
		p.fail(leftOut(name))
	}
	if name != "if_not_exists" {
		if _, known := arity[name]; known {
			p.fail(errorf("The function is not allowed in an update expression; function: %s", name))
		}
		p.fail(errorf("Invalid function name; function: %s", name))
	}
	if p.err != nil || !p.enter() {
		return term{}
	}
	defer p.leave()
	p.operator()
	p.next()
	p.want("(")
	t := term{op: name}
	for p.err == nil {
		t.args = append(t.args, p.term())
		if !p.take(",") {
			break
		}
	}
	p.want(")")
	p.checkTermFunction(t)
	return t
}

func (p *parser) checkTermFunction(t term) {
	if p.err != nil {
		return
	}
	if len(t.args) != 2 {
		p.fail(errorf("Incorrect number of operands for operator or function; operator or function: %s, number of operands: %d", t.op, len(t.args)))
	} else if t.op == "if_not_exists" && t.args[0].path == nil {
		p.fail(errorf("Operator or function requires a document path; operator or function: %s", t.op))
	}
}

// Bind resolves the placeholders and checks what can be known without an item.
func (u *Update) Bind(b *Binding) (*Change, error) {
	if err := b.use(u.names, u.values); err != nil {
		return nil, err
	}
	c := &Change{actions: make([]action, len(u.actions)), bind: b}
	paths := make([]path, len(u.actions))
	for i, a := range u.actions {
		a.path = a.path.resolved(b.Names)
		a.operand = a.operand.resolved(b.Names)
		if err := a.check(b); err != nil {
			return nil, err
		}
		c.actions[i], paths[i] = a, a.path
	}
	return c, checkOverlap(paths)
}

func (t term) resolved(names Names) term {
	if t.path != nil {
		t.path = t.path.resolved(names)
	}
	if len(t.args) > 0 && len(names) > 0 {
		args := make([]term, len(t.args))
		for i := range t.args {
			args[i] = t.args[i].resolved(names)
		}
		t.args = args
	}
	return t
}

func (a *action) check(b *Binding) error {
	if kind := b.value(a.operand.value).Kind(); a.section == add && kind != attribute.N {
		return wrongOperand(a.section, kind)
	}
	return nil
}

func wrongOperand(s section, kind attribute.Kind) error {
	return errorf("Incorrect operand type for operator or function; operator: %s, operand type: %s, typeSet: ALLOWED_FOR_%s_OPERAND", s, kind.LongName(), s)
}

// Touches returns the first of the names that the change writes to, or "".
func (c *Change) Touches(names []string) string {
	for i := range c.actions {
		if slices.Contains(names, c.actions[i].path[0]) {
			return c.actions[i].path[0]
		}
	}
	return ""
}
