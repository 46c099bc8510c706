package mapping

import (
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
)

// maxOutput bounds the bytes that a template makes. How many members and elements it looks
// at is bounded by the size of the bodies: minSteps, and stepsPerByte more.
const (
	maxOutput    = 8 << 20
	minSteps     = 1 << 20
	stepsPerByte = 16
)

// A Scope is what the references of a template stand for while one message is mapped.
type Scope struct {
	Body    Body        // $. and $text: the message that is mapped
	Request Body        // $request: the client's, in an answer too
	Subject string      // $subject; absent when ""
	Status  int         // $status: of the upstream's answer
	Method  string      // $method: of the client's request
	Params  Values      // $params: segments of the client's path, decoded
	Rest    string      // what {rest...} matched, escaped as it came
	Query   Values      // $query: the client's, in an answer too
	Header  http.Header // $header and $cookie: of the message that is mapped

	// A body that is not JSON is an error where one of its values is used, unless this
	// is set: then they are absent.
	AnyContent bool
}

// A Template makes a value. It is immutable and safe for concurrent use.
type Template struct {
	node maker
	uses uses
}

// uses says which bodies a template reads.
type uses uint8

const (
	usesBody uses = 1 << iota
	usesRequest
)

// AppendJSON appends the value; null if there is none. With an error dst is returned as it
// was.
func (t *Template) AppendJSON(dst []byte, s *Scope) ([]byte, error) {
	if r := s.Body.raw; cap(dst) == 0 {
		dst = make([]byte, 0, min(len(r), maxOutput)+128)
	}
	r := newRun(s, len(dst))
	out, present := t.node.make(dst, r)
	switch {
	case r.err != nil:
		return dst, r.err
	case !present:
		return append(dst, "null"...), nil
	}
	return out, nil
}

// Text is the value as text, for a header, a segment of a path, a status. A text is itself,
// numbers and booleans are as in JSON; nothing and null are none; a list or an object is an
// error.
func (t *Template) Text(s *Scope) (string, bool, error) {
	v, err := t.value(s)
	if err != nil || v.kind == absent || v.kind == null {
		return "", false, err
	}
	if v.kind == list || v.kind == object {
		return "", false, fmt.Errorf("%s cannot be one text", v.show())
	}
	return v.string(), true, nil
}

// Values is the value as texts, for a parameter that may come several times: the elements of
// a list, or the one Text. Elements that are null are left out.
func (t *Template) Values(s *Scope) ([]string, error) {
	v, err := t.value(s)
	if err != nil || v.kind == absent || v.kind == null {
		return nil, err
	}
	if v.kind == object {
		return nil, fmt.Errorf("%s cannot be one text", v.show())
	}
	var out []string
	for _, e := range v.elements() {
		switch e.kind {
		case null:
			continue
		case list, object:
			return nil, fmt.Errorf("%s cannot be one text", e.show())
		}
		out = append(out, e.string())
	}
	return out, nil
}

// value evaluates the template where it is an expression, and otherwise reads what it made.
func (t *Template) value(s *Scope) (value, error) {
	r := newRun(s, 0)
	if e, ok := t.node.(expression); ok {
		v := e.eval(r)
		return v, r.err
	}
	out, present := t.node.make(nil, r)
	if r.err != nil || !present {
		return value{}, r.err
	}
	d, err := parse(out, 1<<10)
	if err != nil {
		return value{}, err
	}
	return d.at(0), nil
}

// elements are the elements, or the members with their names; v itself if it can have neither.
func (v value) elements() iter.Seq2[string, value] {
	return func(yield func(string, value) bool) {
		if v.kind != list && v.kind != object {
			yield("", v)
			return
		}
		key := ""
		for i := int(v.node) + 1; i < int(v.doc.nodes[v.node].next); i = int(v.doc.nodes[i].next) {
			if v.kind == object {
				key = v.doc.textAt(i)
				i++
			}
			if !yield(key, v.doc.at(i)) {
				return
			}
		}
	}
}

// run is one evaluation of a template.
type run struct {
	scope *Scope
	frame *frame // the innermost each; nil: none
	start int    // of the output in dst
	steps int    // so far
	most  int    // steps
	err   error  // the first one; what is made after it does not count
	one   [1]value
}

// fail keeps the first error.
func (r *run) fail(format string, args ...any) value {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
	return value{}
}

// argument is a list of one argument, until the next one.
func (r *run) argument(v value) []value {
	r.one[0] = v
	return r.one[:]
}

func newRun(s *Scope, start int) *run {
	return &run{scope: s, start: start, most: minSteps + stepsPerByte*(len(s.Body.raw)+len(s.Request.raw))}
}

// frame is one element of an each.
type frame struct {
	value value
	index int
	key   string
	outer *frame
}

// visit counts an element, in which the output has got to a length. It reports whether to go on.
func (r *run) visit(output int) bool {
	if r.steps++; output-r.start > maxOutput {
		r.fail("%w: the template makes over %d bytes", ErrTooLarge, maxOutput)
	}
	r.spend(value{})
	return r.err == nil
}

// spend counts a step, and more for a long text, which will be copied.
func (r *run) spend(v value) value {
	if r.steps += 1 + v.size()/16; r.steps > r.most {
		return r.fail("%w: the template takes over %d steps", ErrTooLarge, r.most)
	}
	return v
}

// body is a body's value.
func (r *run) body(b Body) value {
	switch {
	case b.doc != nil:
		return b.doc.at(0)
	case b.err != nil && !r.scope.AnyContent:
		return r.fail("%w", b.err)
	}
	return value{}
}

// maker is a part of a template.
type maker interface {
	// make appends the value, or reports that there is none; dst then keeps its length.
	// Neither counts where run.err is set.
	make(dst []byte, r *run) (out []byte, present bool)
}

// expression is a part that can be evaluated without being written.
type expression interface {
	maker
	eval(r *run) value
}

// write makes a maker of what is evaluated.
func write(e expression, dst []byte, r *run) ([]byte, bool) {
	v := e.eval(r)
	if r.err != nil || v.kind == absent {
		return dst, false
	}
	return v.appendJSON(dst), true
}

// members is an object written out.
type members []memberOf

type memberOf struct {
	key   string // with its quotes and the colon
	value maker
}

func (m members) make(dst []byte, r *run) ([]byte, bool) {
	dst = append(dst, '{')
	return m.finish(dst, len(dst), r)
}

// finish writes the members of an object that begins at start, and its end.
func (m members) finish(dst []byte, start int, r *run) ([]byte, bool) {
	for _, member := range m {
		mark := len(dst)
		if mark > start {
			dst = append(dst, ',')
		}
		out, present := member.value.make(append(dst, member.key...), r)
		if r.err != nil {
			r.err = fmt.Errorf("%s %w", member.key, r.err)
			return dst, false
		}
		if dst = out; !present {
			dst = out[:mark]
		}
	}
	return append(dst, '}'), true
}

// elements is a list written out.
type elements []maker

func (l elements) make(dst []byte, r *run) ([]byte, bool) {
	dst = append(dst, '[')
	start := len(dst)
	for _, m := range l {
		mark := len(dst)
		if mark > start {
			dst = append(dst, ',')
		}
		out, present := m.make(dst, r)
		if r.err != nil {
			return dst, false
		}
		if dst = out; !present {
			dst = out[:mark]
		}
	}
	return append(dst, ']'), true
}

// each makes a list of a list, or with a key an object.
type each struct {
	of   expression
	key  expression // nil: a list
	as   maker
	rest otherwise
}

func (e *each) make(dst []byte, r *run) ([]byte, bool) {
	v := e.of.eval(r)
	if r.err != nil {
		return dst, false
	}
	if v.kind == absent || v.kind == null {
		return e.rest.make(dst, v, r)
	}
	if v.kind != list && v.kind != object {
		r.fail("each: %s is not a list", v.show())
		return dst, false
	}
	brackets := "[]"
	if e.key != nil {
		brackets = "{}"
	}
	dst = append(dst, brackets[0])
	start := len(dst)
	f := frame{outer: r.frame, index: -1}
	r.frame = &f
	defer func() { r.frame = f.outer }()
	for f.key, f.value = range v.elements() {
		if f.index++; !r.visit(len(dst)) {
			break
		}
		mark := len(dst)
		if mark > start {
			dst = append(dst, ',')
		}
		var present bool
		if dst, present = e.element(dst, r); !present {
			dst = dst[:mark]
		}
		if r.err != nil {
			r.err = fmt.Errorf("element %d: %w", f.index, r.err)
			break
		}
	}
	return append(dst, brackets[1]), true
}

func (e *each) element(dst []byte, r *run) ([]byte, bool) {
	if e.key != nil {
		v := e.key.eval(r)
		if r.err != nil || v.kind == absent {
			return dst, false
		}
		if v.kind != text && v.kind != number {
			r.fail("key: %s cannot be the name of a member", v.show())
		}
		dst = append(appendText(dst, v.string()), ':')
	}
	return e.as.make(dst, r)
}

// otherwise is what stands for nothing, and for null.
type otherwise struct {
	absent, null maker // nil: absent, null
}

func (o otherwise) make(dst []byte, v value, r *run) ([]byte, bool) {
	switch {
	case v.kind == absent && o.absent != nil:
		return o.absent.make(dst, r)
	case v.kind == null && o.null != nil:
		return o.null.make(dst, r)
	case v.kind == absent:
		return dst, false
	}
	return v.appendJSON(dst), true
}

// from is an expression with a conversion, a table of values, and what stands for nothing.
type from struct {
	of      expression
	convert *function
	table   map[string]maker
	rest    otherwise
	changes bool     // an object is copied without some members and with others
	without []string // of with, too
	with    members
}

func (f *from) make(dst []byte, r *run) ([]byte, bool) {
	v := f.of.eval(r)
	if f.changes && v.kind > null {
		return f.change(dst, v, r)
	}
	if f.convert != nil && v.kind > null {
		v = f.convert.call(r, r.argument(v))
	}
	if r.err != nil {
		return dst, false
	}
	if f.table != nil && v.kind != absent {
		if m := f.table[v.string()]; m != nil && v.kind != list && v.kind != object {
			return m.make(dst, r)
		}
		v = value{}
	}
	return f.rest.make(dst, v, r)
}

// change copies an object without some members, and sets others.
func (f *from) change(dst []byte, v value, r *run) ([]byte, bool) {
	if v.kind != object {
		r.fail("%s is not an object, whose members could change", v.show())
		return dst, false
	}
	dst = append(dst, '{')
	start, d := len(dst), v.doc
	members := d.count(int(v.node), &r.steps)
	r.steps += members * len(f.without)
	if r.spend(v); r.err != nil {
		return dst, false
	}
	for i := int(v.node) + 1; i < int(d.nodes[v.node].next); i = int(d.nodes[i+1].next) {
		if slices.ContainsFunc(f.without, func(name string) bool { return d.isNamed(i, name) }) {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(dst, d.raw[d.nodes[i].start:d.nodes[i+1].end]...)
	}
	return f.with.finish(dst, start, r)
}

// when makes one of two values.
type when struct {
	condition   expression
	then, other maker // other nil: nothing
}

func (w *when) make(dst []byte, r *run) ([]byte, bool) {
	v := w.condition.eval(r)
	yes := r.truth(v, "when: ")
	switch {
	case r.err != nil:
	case yes:
		return w.then.make(dst, r)
	case w.other != nil:
		return w.other.make(dst, r)
	}
	return dst, false
}

// constant is a value that is written in the file.
type constant struct{ value }

func (c constant) eval(*run) value                        { return c.value }
func (c constant) make(dst []byte, r *run) ([]byte, bool) { return write(c, dst, r) }

// cookie finds a cookie that came with a request, or that an answer sets.
func cookie(h http.Header, name string, answer bool) (string, bool) {
	header := "Cookie"
	if answer {
		header = "Set-Cookie"
	}
	for _, line := range h[header] {
		for part := range strings.SplitSeq(line, ";") {
			if n, v, _ := strings.Cut(strings.TrimSpace(part), "="); n == name {
				return v, true
			}
			if answer {
				break // attributes follow
			}
		}
	}
	return "", false
}
