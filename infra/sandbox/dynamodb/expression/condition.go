package expression

import (
	"slices"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"
)

// Condition is a parsed condition, filter or key condition expression; immutable. Bind gives it the
// placeholders of one request.
type Condition struct {
	root   node
	names  []string
	values []string
}

// Predicate is a condition bound to a request's placeholders.
type Predicate struct {
	root node
	bind *Binding
}

type operator string

const (
	opAnd operator = "AND"
	opOr  operator = "OR"
	opNot operator = "NOT"
)

// node is one operator or function with its operands, or (with an empty op) an operand: a path or
// a value placeholder.
type node struct {
	op       operator
	args     []node
	path     path
	value    string
	grouped  bool // stood in parentheses
	function bool
}

func (n *node) isPath() bool    { return n.op == "" && n.path != nil }
func (n *node) isValue() bool   { return n.op == "" && n.value != "" }
func (n *node) isOperand() bool { return n.op == "" }

// ParseCondition parses a condition, filter or key condition expression.
func ParseCondition(text string) (*Condition, error) {
	p, err := newParser(text)
	if err != nil {
		return nil, err
	}
	root := p.or()
	if p.err == nil && root.isOperand() {
		p.syntax()
	}
	if err := p.finish(); err != nil {
		return nil, err
	}
	return &Condition{root, p.names, p.values}, nil
}

func (p *parser) or() node {
	left := p.and()
	for p.err == nil && p.keyword("OR") {
		left = p.join(opOr, left, p.and)
	}
	return left
}

func (p *parser) and() node {
	left := p.not()
	for p.err == nil && p.keyword("AND") {
		left = p.join(opAnd, left, p.not)
	}
	return left
}

func (p *parser) join(op operator, left node, parse func() node) node {
	p.mustBeCondition(&left)
	p.next()
	p.operator()
	right := parse()
	p.mustBeCondition(&right)
	return node{op: op, args: []node{left, right}}
}

func (p *parser) not() node {
	if !p.keyword("NOT") {
		return p.comparison()
	}
	p.next()
	p.operator()
	if !p.enter() {
		return node{}
	}
	defer p.leave()
	inner := p.not()
	p.mustBeCondition(&inner)
	return node{op: opNot, args: []node{inner}}
}

// mustBeCondition refuses a bare operand where a condition is needed.
func (p *parser) mustBeCondition(n *node) {
	if p.err == nil && n.isOperand() {
		p.syntax()
	}
}

func (p *parser) comparison() node {
	left := p.operand()
	if p.err != nil {
		return left
	}
	if !left.isOperand() { // a condition by itself: a function, or one in parentheses
		return left
	}
	for _, word := range []string{"BETWEEN", "IN"} {
		if p.keyword(word) {
			p.fail(leftOut(word))
		}
	}
	for _, op := range []string{"=", "<>", "<", "<=", ">", ">="} {
		if p.take(op) {
			p.operator()
			right := p.operand()
			p.mustBeOperand(&right)
			return node{op: operator(op), args: []node{left, right}}
		}
	}
	return left
}

func (p *parser) mustBeOperand(n *node) {
	if p.err == nil && !n.isOperand() {
		p.fail(errorf("The function is not allowed to be used this way in an expression; function: %s", n.op))
	}
}

func (p *parser) operand() node {
	switch t := p.peek(); {
	case p.is("("):
		return p.group()
	case t.kind == valuePlace:
		return node{value: p.value()}
	case p.call():
		return p.function()
	case t.kind == word, t.kind == namePlace:
		return node{path: p.path()}
	}
	p.syntax()
	return node{}
}

func (p *parser) group() node {
	if !p.enter() {
		return node{}
	}
	defer p.leave()
	p.next()
	inner := p.or()
	p.want(")")
	if p.err == nil && inner.grouped {
		p.fail(Error("The expression has redundant parentheses;"))
	}
	inner.grouped = true
	return inner
}

// arity is the number of operands of each function of conditions.
var arity = map[string]int{"attribute_exists": 1, "attribute_not_exists": 1, "begins_with": 2}

// otherFunctions are those of the service that nothing here knows.
var otherFunctions = []string{"attribute_type", "contains", "size", "list_append"}

func leftOut(what string) error { return errorf("not implemented by the sandbox: %s", what) }

func (p *parser) function() node {
	name := p.peek().text
	want, known := arity[name]
	switch {
	case slices.Contains(otherFunctions, name):
		p.fail(leftOut(name))
	case name == "if_not_exists":
		p.fail(errorf("The function is not allowed in a condition expression; function: %s", name))
	case !known:
		p.fail(errorf("Invalid function name; function: %s", name))
	}
	if p.err != nil || !p.enter() {
		return node{}
	}
	defer p.leave()
	p.operator()
	args := p.arguments()
	if p.err == nil && len(args) != want {
		p.fail(errorf("Incorrect number of operands for operator or function; operator or function: %s, number of operands: %d", name, len(args)))
	}
	return node{op: operator(name), args: args, function: true}
}

func (p *parser) arguments() []node {
	p.next()
	p.want("(")
	var args []node
	for p.err == nil {
		a := p.operand()
		p.mustBeOperand(&a)
		args = append(args, a)
		if !p.take(",") {
			break
		}
	}
	p.want(")")
	return args
}

// Bind resolves the placeholders and checks what can be known without an item.
func (c *Condition) Bind(b *Binding) (*Predicate, error) {
	if err := b.use(c.names, c.values); err != nil {
		return nil, err
	}
	root := c.root.resolved(b.Names)
	if err := root.check(b); err != nil {
		return nil, err
	}
	return &Predicate{root, b}, nil
}

func (n node) resolved(names Names) node {
	if n.path != nil {
		n.path = n.path.resolved(names)
	}
	if len(n.args) > 0 && len(names) > 0 {
		args := make([]node, len(n.args))
		for i := range n.args {
			args[i] = n.args[i].resolved(names)
		}
		n.args = args
	}
	return n
}

// Roots are the names of the top-level attributes the condition looks at.
func (c *Predicate) Roots() []string { return c.root.roots(nil) }

func (n *node) roots(out []string) []string {
	if n.path != nil {
		return append(out, n.path[0])
	}
	for i := range n.args {
		out = n.args[i].roots(out)
	}
	return out
}

// check refuses operands of types that can never fit.
func (n *node) check(b *Binding) error {
	for i := range n.args {
		if err := n.args[i].check(b); err != nil {
			return err
		}
	}
	switch n.op {
	case "", opAnd, opOr, opNot:
		return nil
	case "attribute_exists", "attribute_not_exists":
		return n.checkAttribute()
	}
	if err := n.checkDistinct(); err != nil {
		return err
	}
	return n.checkOperands(b)
}

func (n *node) checkAttribute() error {
	if !n.args[0].isPath() {
		return errorf("Operator or function requires a document path; operator or function: %s", n.op)
	}
	return nil
}

func (n *node) checkDistinct() error {
	if len(n.args) < 2 || !n.args[0].isPath() {
		return nil
	}
	for _, other := range n.args[1:] {
		if other.isPath() && slices.Equal(other.path, n.args[0].path) {
			return errorf("The first operand must be distinct from the remaining operands for this operator or function; operator: %s, first operand: %s",
				n.op, n.args[0].path)
		}
	}
	return nil
}

func (n *node) checkOperands(b *Binding) error {
	for i := range n.args {
		kind := n.args[i].static(b)
		if kind != attribute.Invalid && !n.op.accepts(kind) {
			return n.wrongOperand(kind)
		}
	}
	return nil
}

func (n *node) wrongOperand(kind attribute.Kind) error {
	return errorf("Incorrect operand type for operator or function; operator or function: %s, operand type: %s", n.op, kind)
}

// accepts says whether the operator can take an operand of the type.
func (op operator) accepts(kind attribute.Kind) bool {
	switch op {
	case "<", "<=", ">", ">=":
		return kind.IsScalar()
	case "begins_with":
		return kind == attribute.S || kind == attribute.B
	}
	return true
}

// static is the type of an operand as far as it is known without an item.
func (n *node) static(b *Binding) attribute.Kind {
	if n.isValue() {
		return b.value(n.value).Kind()
	}
	return attribute.Invalid
}
