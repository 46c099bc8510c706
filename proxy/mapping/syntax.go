package mapping

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

// exprParser reads one expression. Mistakes are panics that Context.compile ends.
type exprParser struct {
	c    *compiler
	node ast.Node
	src  string
	rest string
	deep int
}

// operators by how tightly they bind. ?? is not mixed with others without parentheses.
var operators = [][]string{{"||"}, {"&&"}, {"==", "!=", "<=", ">=", "<", ">"}, {"+", "-"}, {"*", "/", "%"}}

func (c *compiler) expression(n ast.Node, src string) expression {
	p := &exprParser{c: c, node: n, src: src, rest: src}
	e := p.coalesce()
	if p.rest != "" {
		panic(p.wrong("unexpected %q", head(p.rest)))
	}
	return e
}

func (p *exprParser) wrong(format string, args ...any) error {
	return wrongAt(p.node, "invalid expression %q: %s", p.src, fmt.Sprintf(format, args...))
}

func head(s string) string {
	if len(s) > 20 {
		return strings.ToValidUTF8(s[:20], "") + "..."
	}
	return s
}

func (p *exprParser) space() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

// is consumes s, if it is next.
func (p *exprParser) is(s string) bool {
	p.space()
	rest, ok := strings.CutPrefix(p.rest, s)
	if ok {
		p.rest = rest
	}
	return ok
}

// nest bounds the depth. The function that it returns leaves the level.
func (p *exprParser) nest() (leave func()) {
	if p.deep++; p.deep > maxDepth {
		panic(p.wrong("it is nested too deeply"))
	}
	return func() { p.deep-- }
}

func (p *exprParser) coalesce() expression {
	defer p.nest()()
	e, mixed := p.binary(0)
	for p.is("??") {
		b, mixedToo := p.binary(0)
		if mixed || mixedToo {
			panic(p.wrong("?? beside another operator needs parentheses"))
		}
		e = &binary{"??", e, b}
	}
	return e
}

// binary reads operators that bind at least as tightly as a level; mixed says that it met one.
func (p *exprParser) binary(level int) (e expression, mixed bool) {
	if level == len(operators) {
		return p.unary(), false
	}
	e, mixed = p.binary(level + 1)
	for {
		i := slices.IndexFunc(operators[level], p.is)
		if i < 0 {
			return e, mixed
		}
		if b, ok := e.(*binary); ok && level == 2 && mixed && slices.Contains(operators[2], b.op) {
			panic(p.wrong("a comparison of a comparison needs parentheses"))
		}
		b, _ := p.binary(level + 1)
		e, mixed = &binary{operators[level][i], e, b}, true
	}
}

func (p *exprParser) unary() expression {
	p.space()
	switch {
	case p.rest == "":
		panic(p.wrong("it ends where a value is expected"))
	case p.is("!"):
		defer p.nest()()
		return &not{p.unary()}
	case p.is("("):
		e := p.coalesce()
		if !p.is(")") {
			panic(p.wrong("a parenthesis is not closed before %q", head(p.rest)))
		}
		return e
	case p.rest[0] == '$':
		return p.reference()
	case p.rest[0] == '"' || p.rest[0] == '\'':
		return constant{textValue(p.quoted())}
	}
	if n := numberLength(p.rest); n > 0 {
		digits := p.rest[:n]
		p.rest = p.rest[n:]
		return constant{numberValue(digits)}
	}
	return p.word()
}

// quoted reads 'text' or "text", in which \ stands before a quote or itself.
func (p *exprParser) quoted() string {
	quote := p.rest[0]
	var out []byte
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == quote:
			p.rest = p.rest[i+1:]
			return string(out)
		case c == '\\':
			if i++; i >= len(p.rest) || p.rest[i] != '\\' && p.rest[i] != '\'' && p.rest[i] != '"' {
				panic(p.wrong(`in a text \ can only stand before a quote or another \`))
			}
			out = append(out, p.rest[i])
		default:
			out = append(out, c)
		}
	}
	panic(p.wrong("a text is not closed"))
}

// name reads letters, digits, underscores and dashes.
func (p *exprParser) name() string {
	n := strings.IndexFunc(p.rest, func(c rune) bool {
		return c != '_' && c != '-' && c != utf8.RuneError && !unicode.IsLetter(c) && !unicode.IsDigit(c)
	})
	if n < 0 {
		n = len(p.rest)
	}
	name := p.rest[:n]
	p.rest = p.rest[n:]
	return name
}

func (p *exprParser) word() expression {
	name := p.name()
	switch name {
	case "":
		panic(p.wrong("unexpected %q where a value is expected", head(p.rest)))
	case "true", "false":
		return constant{booleanValue(name == "true")}
	case "null":
		return constant{value{kind: null}}
	}
	f := functions[name]
	if f == nil || !p.is("(") {
		panic(p.wrong("unknown word %q: a text needs quotes, a reference begins with $, functions are %s", name, sortedNames(functions)))
	}
	var args []expression
	for !p.is(")") {
		if len(args) > 0 && !p.is(",") {
			panic(p.wrong("expected a comma or a parenthesis before %q in %s(...)", head(p.rest), name))
		}
		args = append(args, p.coalesce())
	}
	e, err := f.compile(name, args)
	if err != nil {
		panic(p.wrong("%v", err))
	}
	return e
}

// steps reads .name, .0 and ["any name"].
func (p *exprParser) steps() (out []step) {
	for {
		switch {
		case strings.HasPrefix(p.rest, "["):
			p.rest = p.rest[1:]
			if p.rest == "" || p.rest[0] != '"' && p.rest[0] != '\'' {
				panic(p.wrong(`a step in brackets must be quoted, such as ["first name"]`))
			}
			out = append(out, step{name: p.quoted()})
			if !strings.HasPrefix(p.rest, "]") {
				panic(p.wrong("a bracket is not closed"))
			}
			p.rest = p.rest[1:]
		case strings.HasPrefix(p.rest, "."):
			p.rest = p.rest[1:]
			name := p.name()
			if name == "" {
				panic(p.wrong("a reference has an empty step"))
			}
			index, err := strconv.Atoi(name)
			out = append(out, step{name, index, err == nil})
		default:
			return out
		}
	}
}

func (p *exprParser) reference() expression {
	p.rest = p.rest[1:]
	name := p.name()
	var steps []step
	if whole := strings.TrimPrefix(p.rest, "."); name == "" && len(whole) < len(p.rest) && !beginsName(whole) {
		p.rest = whole // $. is the whole body
		if strings.HasPrefix(whole, ".") {
			panic(p.wrong("a reference has an empty step"))
		}
	} else if steps = p.steps(); name == "" && len(steps) == 0 {
		panic(p.wrong("$ alone is nothing: $. is the whole body, and $$ begins a text with a dollar sign"))
	}
	e, err := p.c.reference(name, steps)
	if err != nil {
		panic(p.wrong("%v", err))
	}
	return e
}

func beginsName(s string) bool {
	p := exprParser{rest: s}
	return p.name() != ""
}
