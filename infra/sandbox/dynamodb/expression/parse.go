package expression

import (
	"fmt"
	"strings"
)

// Error is an expression that the service refuses; its text is the service's message without the
// words "Invalid ...Expression: " before it.
type Error string

func (e Error) Error() string { return string(e) }

func errorf(format string, args ...any) error { return Error(fmt.Sprintf(format, args...)) }

// The service's limits of an expression, by the developer guide.
const (
	maxLength    = 4096
	maxOperators = 300
	maxGroups    = 64 // nested parentheses; the service's own bound is its stack
)

// parser is a recursive descent over the tokens. The first error is kept and ends everything.
type parser struct {
	text      string
	tokens    []token
	pos       int
	err       error
	reserved  error // the first reserved word; syntax errors come before it, wherever they are
	operators int
	groups    int
	names     []string // placeholders in the order of their use
	values    []string
}

func newParser(text string) (*parser, error) {
	if strings.TrimSpace(text) == "" {
		return nil, Error("The expression can not be empty;")
	}
	if len(text) > maxLength {
		return nil, errorf("Expression size has exceeded the maximum allowed size; expression size: %d", len(text))
	}
	return &parser{text: text, tokens: lex(text)}, nil
}

func (p *parser) peek() token { return p.tokens[p.pos] }

func (p *parser) next() token {
	t := p.tokens[p.pos]
	if t.kind != end {
		p.pos++
	}
	return t
}

// is reports whether the next token is this punctuation.
func (p *parser) is(text string) bool {
	t := p.peek()
	return t.kind == punctuation && t.text == text
}

// keyword reports whether the next token is this keyword, in any case.
func (p *parser) keyword(text string) bool {
	t := p.peek()
	return t.kind == word && len(t.text) == len(text) && strings.EqualFold(t.text, text)
}

func (p *parser) take(text string) bool {
	if !p.is(text) {
		return false
	}
	p.pos++
	return true
}

func (p *parser) takeKeyword(text string) bool {
	if !p.keyword(text) {
		return false
	}
	p.pos++
	return true
}

func (p *parser) want(text string) {
	if !p.take(text) {
		p.syntax()
	}
}

// fail keeps the first error and moves to the end, so that every loop stops.
func (p *parser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
	p.pos = len(p.tokens) - 1
}

// syntax complains about the next token as the service does: with the token before and after it.
func (p *parser) syntax() {
	if p.err != nil {
		return
	}
	from, to := p.tokens[max(p.pos-1, 0)], p.tokens[min(p.pos+1, len(p.tokens)-1)]
	near := p.text[from.start:to.stop]
	p.fail(errorf("Syntax error; token: \"%s\", near: \"%s\"", p.peek().text, near))
}

// finish checks that nothing is left.
func (p *parser) finish() error {
	if p.err == nil && p.peek().kind != end {
		p.syntax()
	}
	if p.err == nil {
		p.err = p.reserved
	}
	return p.err
}

func (p *parser) operator() {
	if p.operators++; p.operators > maxOperators {
		p.fail(errorf("The expression contains too many operators; operator count: %d", p.operators))
	}
}

// enter counts a nested parenthesis and reports whether it is one too many.
func (p *parser) enter() bool {
	if p.groups++; p.groups > maxGroups {
		p.fail(Error("The expression is nested too deeply"))
		return false
	}
	return true
}

func (p *parser) leave() { p.groups-- }

// path parses a document path.
func (p *parser) path() path {
	out := path{p.member()}
	for p.err == nil {
		switch {
		case p.take("."):
			out = append(out, p.member())
		case p.take("["):
			p.fail(leftOut("a list index in a document path"))
		default:
			return out
		}
	}
	return out
}

func (p *parser) member() string {
	t := p.peek()
	switch t.kind {
	case word:
		if p.reserved == nil && isReserved(t.text) {
			p.reserved = errorf("Attribute name is a reserved keyword; reserved keyword: %s", t.text)
		}
	case namePlace:
		p.names = append(p.names, t.text)
	default:
		p.syntax()
	}
	p.next()
	return t.text
}

// value takes a :value placeholder.
func (p *parser) value() string {
	t := p.peek()
	if t.kind != valuePlace {
		p.syntax()
		return ""
	}
	p.next()
	p.values = append(p.values, t.text)
	return t.text
}

// call reports whether a function call is next.
func (p *parser) call() bool {
	return p.peek().kind == word && p.pos+1 < len(p.tokens) && p.tokens[p.pos+1].text == "("
}
