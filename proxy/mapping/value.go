package mapping

import "strconv"

// value is what an expression gives. The zero value is absent.
type value struct {
	kind kind
	yes  bool      // of a boolean
	node int32     // where it is in doc
	doc  *document // nil: it is no value of a document
	text string    // then a text, or the digits of a number
}

func textValue(s string) value { return value{kind: text, text: s} }

// textsValue is a list of texts.
func textsValue(texts []string) value {
	raw := []byte{'['}
	for i, s := range texts {
		if i > 0 {
			raw = append(raw, ',')
		}
		raw = appendText(raw, s)
	}
	d, err := parse(append(raw, ']'), 1)
	if err != nil {
		panic(err) // appendText writes JSON
	}
	return d.at(0)
}

func booleanValue(yes bool) value { return value{kind: boolean, yes: yes} }

func numberValue(digits string) value { return value{kind: number, text: digits} }

func intValue(n int64) value { return numberValue(strconv.FormatInt(n, 10)) }

// string is the text of a text, number, boolean or null.
func (v value) string() string {
	switch v.kind {
	case text, number:
		if v.doc != nil {
			return v.doc.textAt(int(v.node))
		}
		return v.text
	case boolean:
		return strconv.FormatBool(v.yes)
	case null:
		return "null"
	}
	return ""
}

// size is how many bytes a text has, at least.
func (v value) size() int {
	if v.kind != text || v.doc == nil {
		return len(v.text)
	}
	n := v.doc.nodes[v.node]
	return int(n.end - n.start)
}

// show is a value in an error message.
func (v value) show() string {
	switch v.kind {
	case text:
		s := v.string()
		if len(s) > 40 {
			return strconv.Quote(s[:40]) + "..."
		}
		return strconv.Quote(s)
	case number, boolean:
		return v.string()
	}
	return v.kind.String()
}

// appendJSON writes a value that is not absent.
func (v value) appendJSON(dst []byte) []byte {
	switch {
	case v.doc != nil:
		n := v.doc.nodes[v.node]
		return append(dst, v.doc.raw[n.start:n.end]...)
	case v.kind == number, v.kind == boolean, v.kind == null:
		return append(dst, v.string()...)
	}
	return appendText(dst, v.text)
}

// step is one step of a reference.
type step struct {
	name    string
	index   int
	isIndex bool
}

// at is the value one step inside.
func (v value) at(s step, steps *int) value {
	switch {
	case v.kind == object:
		return v.doc.member(int(v.node), s.name, steps)
	case v.kind == list && s.isIndex:
		return v.doc.element(int(v.node), s.index, steps)
	}
	return value{}
}

// number is the digits of a number, or of a text that is one.
func (v value) number() (digits string, ok bool) {
	s := v.string()
	return s, v.kind == number || v.kind == text && s != "" && numberLength(s) == len(s)
}

// number fails for what is none.
func (r *run) number(v value) string {
	digits, ok := v.number()
	if !ok {
		r.fail("%s is not a number", v.show())
	}
	return digits
}

// truth is what a condition decides by: nothing and null are false. where begins the error.
func (r *run) truth(v value, where string) bool {
	if v.kind > boolean {
		r.fail("%s%s is neither true nor false: compare it with something", where, v.show())
	}
	return v.yes
}
