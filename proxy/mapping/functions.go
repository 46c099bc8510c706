package mapping

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// function is what an expression can call, and with one argument what convert can name.
type function struct {
	min, max int // arguments; max 0: any number
	call     func(r *run, args []value) value
	takesAny bool // called with arguments that are absent or null, too
}

// functions are described in language.md. What is not takesAny gives nothing for nothing,
// and null for null.
var functions = map[string]*function{
	"has":      {1, 1, func(_ *run, a []value) value { return booleanValue(a[0].kind != absent) }, true},
	"all":      {1, 1, all, false},
	"concat":   {1, 0, concat, true},
	"join":     {2, 2, join, false},
	"split":    {2, 2, split, false},
	"len":      {1, 1, length, false},
	"contains": {2, 2, contains, false},
	"lower":    {1, 1, ofText(strings.ToLower), false},
	"upper":    {1, 1, ofText(strings.ToUpper), false},
	"trim":     {1, 1, ofText(strings.TrimSpace), false},
	"replace":  {3, 3, replace, false},

	"floor": {1, 2, rounding("floor"), false},
	"ceil":  {1, 2, rounding("ceil"), false},
	"round": {1, 2, rounding("round"), false},
	"fixed": {2, 2, fixed, false},
	"min":   {2, 2, extreme(-1), false},
	"max":   {2, 2, extreme(1), false},

	"string":  {1, 1, ofText(func(s string) string { return s }), false},
	"number":  {1, 1, func(r *run, a []value) value { return numberValue(r.number(a[0])) }, false},
	"boolean": {1, 1, toBoolean, false},

	"unixSeconds":        {1, 1, unix(time.Time.Unix), false},
	"unixMillis":         {1, 1, unix(time.Time.UnixMilli), false},
	"rfc3339FromSeconds": {1, 1, fromUnix(func(n int64) time.Time { return time.Unix(n, 0) }), false},
	"rfc3339FromMillis":  {1, 1, fromUnix(time.UnixMilli), false},
	"formatTime":         {2, 3, formatTime(time.UTC), false},
	"parseTime":          {2, 3, parseTime(time.UTC), false},
}

func sortedNames[V any](m map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}

// call is a function with its arguments.
type call struct {
	name string
	*function
	args []expression
}

func (e *call) make(dst []byte, r *run) ([]byte, bool) { return write(e, dst, r) }

func (e *call) eval(r *run) value {
	var few [3]value
	args := few[:0]
	for _, a := range e.args {
		v := a.eval(r)
		if r.err != nil || v.kind <= null && !e.takesAny {
			return v
		}
		args = append(args, v)
	}
	v := e.call(r, args)
	if r.err != nil {
		r.err = fmt.Errorf("%s: %w", e.name, r.err)
	}
	return r.spend(v)
}

func (f *function) compile(name string, args []expression) (expression, error) {
	if len(args) < f.min || f.max > 0 && len(args) > f.max {
		return nil, fmt.Errorf("%s has %d arguments, not %d", name, f.min, len(args))
	}
	switch name {
	case "all":
		if ref, ok := args[0].(*reference); ok && (ref.root == rootQuery || ref.root == rootHeader) {
			ref.all = true
		}
	case "formatTime", "parseTime":
		if len(args) == 3 {
			var err error
			if f, err = inZone(name, args[2]); err != nil {
				return nil, err
			}
			args = args[:2]
		}
	}
	return &call{name, f, args}, nil
}

// text is a scalar as text. It fails for a list or an object.
func (r *run) text(v value) string {
	if v.kind >= list {
		r.fail("%s is not a text", v.show())
	}
	return v.string()
}

func ofText(f func(string) string) func(*run, []value) value {
	return func(r *run, a []value) value { return textValue(f(r.text(a[0]))) }
}

func all(r *run, a []value) value {
	switch a[0].kind {
	case list:
		return a[0]
	case object:
		return r.fail("an object cannot be one of several texts")
	}
	return textsValue([]string{a[0].string()})
}

func concat(r *run, a []value) value {
	var b strings.Builder
	for _, v := range a {
		if s := r.text(v); v.kind > null {
			b.WriteString(s)
		}
	}
	return textValue(b.String())
}

func join(r *run, a []value) value {
	if a[0].kind != list {
		return r.fail("%s is not a list", a[0].show())
	}
	var out []string
	size, separator := 0, a[1].string()
	for _, e := range a[0].elements() {
		if s := r.text(e); e.kind > null {
			out = append(out, s)
			size += len(s) + len(separator)
		}
		if !r.visit(r.start + size) {
			return value{}
		}
	}
	return textValue(strings.Join(out, separator))
}

func split(r *run, a []value) value {
	s, separator := r.text(a[0]), r.text(a[1])
	switch {
	case separator == "":
		return r.fail("the separator is empty")
	case s == "":
		return textsValue(nil)
	}
	return textsValue(strings.Split(s, separator))
}

func replace(r *run, a []value) value {
	s, from, to := r.text(a[0]), r.text(a[1]), r.text(a[2])
	switch {
	case from == "":
		return r.fail("the text to replace is empty")
	case len(s)/len(from)*len(to) > maxOutput:
		return r.fail("%w", ErrTooLarge)
	}
	return textValue(strings.ReplaceAll(s, from, to))
}

// length is the number of elements, members or characters.
func length(r *run, a []value) value {
	switch v := a[0]; v.kind {
	case text:
		return intValue(int64(utf8.RuneCountInString(v.string())))
	case list, object:
		return intValue(int64(v.doc.count(int(v.node), &r.steps)))
	default:
		return r.fail("%s has no length", v.show())
	}
}

// contains looks for a text in a text, or for a value in a list.
func contains(r *run, a []value) value {
	if a[0].kind != list {
		return booleanValue(strings.Contains(r.text(a[0]), r.text(a[1])))
	}
	found := false
	for _, e := range a[0].elements() {
		if e.kind < list {
			found = r.equal(e, a[1]) || found
		}
		if r.spend(e); r.err != nil {
			break
		}
	}
	return booleanValue(found)
}

// decimals reads how many decimals are asked for.
func (r *run) decimals(v value) int {
	n, err := strconv.Atoi(v.string())
	if err != nil || n < 0 || n > 30 {
		r.fail("%s is not a number of decimals, 0 to 30", v.show())
		return 0
	}
	return n
}

func fixed(r *run, a []value) value {
	digits := r.number(a[0])
	n := r.decimals(a[1])
	if r.err != nil {
		return value{}
	}
	return textValue(r.rat(digits).FloatString(n))
}

func rounding(how string) func(*run, []value) value {
	return func(r *run, a []value) value {
		digits, n := r.number(a[0]), 0
		if len(a) > 1 {
			n = r.decimals(a[1])
		}
		if r.err != nil {
			return value{}
		}
		return r.roundNumber(digits, how, n)
	}
}

// extreme is the smallest of two numbers (-1), or the largest (1).
func extreme(sign int) func(*run, []value) value {
	return func(r *run, a []value) value {
		x, y := r.number(a[0]), r.number(a[1])
		if r.err == nil && r.compareNumbers(x, y) == sign {
			return numberValue(x)
		}
		return numberValue(y)
	}
}

func toBoolean(r *run, a []value) value {
	if a[0].kind < list {
		switch a[0].string() {
		case "true", "1":
			return booleanValue(true)
		case "false", "0":
			return booleanValue(false)
		}
	}
	return r.fail("%s is not one of true, false, 1, 0", a[0].show())
}

// time reads an RFC 3339 time.
func (r *run) time(v value) time.Time {
	t, err := time.Parse(time.RFC3339Nano, v.string())
	if v.kind != text || err != nil {
		r.fail("%s is not an RFC 3339 time", v.show())
	}
	return t
}

func unix(number func(time.Time) int64) func(*run, []value) value {
	return func(r *run, a []value) value { return intValue(number(r.time(a[0]))) }
}

func fromUnix(at func(int64) time.Time) func(*run, []value) value {
	return func(r *run, a []value) value {
		n, whole := toInt(r.number(a[0]))
		if !whole {
			return r.fail("%s is not a whole number", a[0].show())
		}
		return r.rfc3339(at(n))
	}
}

func (r *run) rfc3339(t time.Time) value {
	if y := t.UTC().Year(); y < 0 || y > 9999 {
		return r.fail("the year %d has no RFC 3339 time", y)
	}
	return textValue(t.UTC().Format(time.RFC3339Nano))
}

func formatTime(zone *time.Location) func(*run, []value) value {
	return func(r *run, a []value) value { return textValue(r.time(a[0]).In(zone).Format(a[1].string())) }
}

func parseTime(zone *time.Location) func(*run, []value) value {
	return func(r *run, a []value) value {
		t, err := time.ParseInLocation(a[1].string(), a[0].string(), zone)
		if err != nil {
			return r.fail("%s is not a time such as %s", a[0].show(), a[1].show())
		}
		return r.rfc3339(t)
	}
}

// inZone is formatTime or parseTime in the zone of its third argument.
func inZone(name string, zone expression) (*function, error) {
	c, ok := zone.(constant)
	if !ok {
		return nil, errors.New("a time zone must be a text such as 'Europe/Berlin'")
	}
	location, err := time.LoadLocation(c.string())
	if err != nil {
		return nil, err
	}
	f := *functions[name]
	if f.call = formatTime(location); name == "parseTime" {
		f.call = parseTime(location)
	}
	return &f, nil
}
