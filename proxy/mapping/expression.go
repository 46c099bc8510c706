package mapping

import "strings"

// root is where a reference begins.
type root uint8

const (
	rootBody    root = iota // $.: the element inside each, else the body
	rootWhole               // $root: the body, also inside each
	rootRequest             // $request
	rootNamed               // $NAME: the element of an outer each
	rootIndex
	rootKey
	rootText
	rootSubject
	rootStatus
	rootMethod
	rootParams
	rootQuery
	rootHeader
	rootCookie
)

var roots = map[string]root{
	"": rootBody, "root": rootWhole, "request": rootRequest, "index": rootIndex, "key": rootKey, "text": rootText,
	"subject": rootSubject, "status": rootStatus, "method": rootMethod, "params": rootParams, "query": rootQuery,
	"header": rootHeader, "cookie": rootCookie,
}

// reference is a value of the scope.
type reference struct {
	root  root
	up    int // rootNamed: how many frames out
	steps []step
	name  string // of rootParams to rootCookie
	all   bool   // all values of the name, as a list

	answer bool // it is an answer that is mapped
}

func (e *reference) make(dst []byte, r *run) ([]byte, bool) { return write(e, dst, r) }

func (e *reference) eval(r *run) value {
	v := e.begin(r)
	for _, s := range e.steps {
		v = v.at(s, &r.steps)
	}
	return r.spend(v)
}

func (e *reference) begin(r *run) value {
	switch e.root {
	case rootBody:
		if r.frame != nil {
			return r.frame.value
		}
		return r.body(r.scope.Body)
	case rootWhole:
		return r.body(r.scope.Body)
	case rootRequest:
		return r.body(r.scope.Request)
	case rootNamed:
		f := r.frame
		for range e.up {
			f = f.outer
		}
		return f.value
	case rootIndex:
		return intValue(int64(r.frame.index))
	case rootKey:
		return textValue(r.frame.key)
	case rootText:
		return r.scope.Body.text()
	case rootSubject:
		return textOrAbsent(r.scope.Subject, r.scope.Subject != "")
	case rootStatus:
		return intValue(int64(r.scope.Status))
	case rootMethod:
		return textOrAbsent(r.scope.Method, r.scope.Method != "")
	}
	return e.named(r.scope)
}

// named is the first value of a name, or all.
func (e *reference) named(s *Scope) value {
	values := s.Query
	switch e.root {
	case rootCookie:
		return textOrAbsent(cookie(s.Header, e.name, e.answer))
	case rootHeader:
		lines := s.Header[e.name]
		if e.all || len(lines) == 0 {
			return textsOrAbsent(lines)
		}
		return textValue(lines[0])
	case rootParams:
		values = s.Params
	}
	if e.all {
		return textsOrAbsent(values.all(e.name))
	}
	return textOrAbsent(values.Get(e.name))
}

func textOrAbsent(s string, present bool) value {
	if !present {
		return value{}
	}
	return textValue(s)
}

func textsOrAbsent(s []string) value {
	if len(s) == 0 {
		return value{}
	}
	return textsValue(s)
}

// binary is an operator between two expressions.
type binary struct {
	op   string
	a, b expression
}

func (e *binary) make(dst []byte, r *run) ([]byte, bool) { return write(e, dst, r) }

func (e *binary) eval(r *run) value {
	a := e.a.eval(r)
	switch {
	case r.err != nil, e.op == "??" && a.kind > null:
		return a
	case e.op == "??":
		return e.b.eval(r)
	case e.op == "&&" || e.op == "||":
		if yes := r.truth(a, ""); yes == (e.op == "||") {
			return booleanValue(yes)
		}
		return booleanValue(r.truth(e.b.eval(r), ""))
	}
	b := e.b.eval(r)
	switch e.op {
	case "==", "!=":
		return booleanValue(r.equal(a, b) == (e.op == "=="))
	case "<", "<=", ">", ">=":
		return booleanValue(e.order(r, a, b))
	}
	switch {
	case r.err != nil, a.kind == absent, b.kind == absent:
		return value{}
	case a.kind == null || b.kind == null:
		return value{kind: null}
	}
	return r.calculate(e.op, r.number(a), r.number(b))
}

func (e *binary) order(r *run, a, b value) bool {
	if a.kind <= null || b.kind <= null {
		return false
	}
	order := 0
	x, isX := a.number()
	y, isY := b.number()
	switch {
	case isX && isY:
		order = r.compareNumbers(x, y)
	case a.kind == text && b.kind == text:
		order = strings.Compare(a.string(), b.string())
	default:
		r.fail("%s cannot be compared with %s", a.show(), b.show())
	}
	return order < 0 && e.op[0] == '<' || order > 0 && e.op[0] == '>' || order == 0 && len(e.op) == 2
}

// equal compares scalars: a text that is a number equals that number, and what is absent
// equals null.
func (r *run) equal(a, b value) bool {
	switch {
	case a.kind <= null || b.kind <= null:
		return a.kind <= null && b.kind <= null
	case a.kind >= list || b.kind >= list:
		r.fail("lists and objects cannot be compared")
		return false
	case a.kind != b.kind && (a.kind == boolean || b.kind == boolean):
		return false
	case a.kind == number || b.kind == number:
		x, isX := a.number()
		y, isY := b.number()
		return isX && isY && r.compareNumbers(x, y) == 0
	}
	return a.string() == b.string()
}

// not is the opposite of a condition.
type not struct{ of expression }

func (e *not) make(dst []byte, r *run) ([]byte, bool) { return write(e, dst, r) }

func (e *not) eval(r *run) value { return booleanValue(!r.truth(e.of.eval(r), "")) }
