package diff

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The limits of a comparison, which hold whatever the two sides send.
const (
	// MaxBody is how many bytes of a body are compared, unpacked. A longer one counts
	// as capped.
	MaxBody = 1 << 20
	// MaxDifferences is how many differences one comparison reports; one of Kind More
	// stands for the rest.
	MaxDifferences = 64

	maxDepth = 64       // of JSON; what is deeper is compared as a whole, without rules
	maxShown = 160      // bytes of a value in a Difference
	maxWork  = 16 << 20 // bytes written to sort items and to find them again
)

// An Answer is what a side answered, in the shape that the client sees.
type Answer struct {
	Status int
	Header http.Header
	// Body is the body as sent; one with Content-Encoding gzip is unpacked to be
	// compared.
	Body []byte
	// Capped says that Body is only the beginning.
	Capped bool
}

// Kind says how two sides differ.
type Kind string

// The kinds of differences, as seen from the primary.
const (
	Missing Kind = "missing" // the primary has it, the shadow does not
	Extra   Kind = "extra"   // the shadow has it, the primary does not
	Type    Kind = "type"    // both have it, as different types
	Value   Kind = "value"   // both have it, with different values
	More    Kind = "more"    // there may be more differences, but a limit was reached
)

// A Difference is one place where two answers differ.
type Difference struct {
	// Path is $.items[].name in the body as JSON, body for one that is not JSON,
	// status, or header:Name. Items of an array share one path, and so do members
	// whose names are ids (numbers, UUIDs, e-mail addresses): they show as *.
	Path string `json:"path"`
	Kind Kind   `json:"kind"`
	// A and B are the primary's and the shadow's value: JSON or text, cut, without
	// secrets. Empty where the side has none.
	A string `json:"a,omitempty"`
	B string `json:"b,omitempty"`
}

// Compare returns where the shadow's answer differs from the primary's. A nil r stands
// for the rules of the empty Spec. Answers that are equal byte for byte have no
// differences, and the two can change places: only Missing and Extra, A and B change
// with them. JSON is compared by value: the order of members does not count, nor how a
// number or a text is written. Bodies of which one is capped are compared as far as
// that can be true: JSON not at all, others up to the cap. The caller counts such
// comparisons as partial.
func Compare(primary, shadow Answer, r *Rules) []Difference {
	r = r.orDefault()
	w := &walk{rules: r}
	if primary.Status != shadow.Status && !r.ignored["status"] {
		w.add("status", Value, strconv.Itoa(primary.Status), strconv.Itoa(shadow.Status))
	}
	for _, name := range r.headers {
		a, b := headerText(primary.Header, name), headerText(shadow.Header, name)
		if a == b || r.ignored["header:"+name] {
			continue
		}
		w.add("header:"+name, presence(a != "", b != ""), r.secrets.header(name, a), r.secrets.header(name, b))
	}
	if !r.ignored["body"] {
		w.bodies(primary, shadow)
	}
	return w.out
}

func presence(a, b bool) Kind {
	switch {
	case !b:
		return Missing
	case !a:
		return Extra
	}
	return Value
}

// headerText is a header's value in a form in which what means the same is the same.
func headerText(h http.Header, name string) string {
	values := h.Values(name)
	switch name {
	case "Content-Type":
		if t, params, err := mime.ParseMediaType(h.Get(name)); err == nil {
			if c, ok := params["charset"]; ok {
				params["charset"] = strings.ToLower(c)
			}
			if params["charset"] == "utf-8" && (t == "application/json" || strings.HasSuffix(t, "+json")) {
				delete(params, "charset") // JSON has no other (RFC 8259, 8.1)
			}
			return mime.FormatMediaType(t, params)
		}
	case "Set-Cookie":
		var names []string
		for _, c := range (&http.Response{Header: h}).Cookies() {
			names = append(names, c.Name)
		}
		slices.Sort(names)
		values = names
	}
	return strings.Join(values, ", ")
}

// walk goes through two answers side by side.
type walk struct {
	rules   *Rules
	out     []Difference
	work    int
	stopped bool
}

func (w *walk) add(path string, k Kind, a, b string) {
	switch {
	case w.stopped:
	case len(w.out) == MaxDifferences:
		w.stop()
	default:
		w.out = append(w.out, Difference{path, k, a, b})
	}
}

// stop ends a comparison at a limit.
func (w *walk) stop() {
	if !w.stopped {
		w.stopped = true
		w.out = append(w.out, Difference{Path: "$", Kind: More})
	}
}

// canonical is a value as bytes that are equal for equal values.
func (w *walk) canonical(v any, active []cursor, depth int) []byte {
	if w.stopped {
		return nil
	}
	out := appendCanonical(nil, v, active, depth)
	if w.work += len(out); w.work > maxWork {
		w.stop()
	}
	return out
}

// unpack undoes gzip. What cannot be undone stays as it is.
func (a Answer) unpack() Answer {
	if strings.EqualFold(a.Header.Get("Content-Encoding"), "gzip") {
		if z, err := gzip.NewReader(bytes.NewReader(a.Body)); err == nil {
			plain, err := io.ReadAll(io.LimitReader(z, MaxBody+1))
			if err == nil || a.Capped {
				a.Body = plain
			}
		}
	}
	if len(a.Body) > MaxBody {
		a.Body, a.Capped = a.Body[:MaxBody], true
	}
	return a
}

// Partial reports that the bodies of a and b cannot be compared whole, because one is
// capped.
func Partial(a, b Answer) bool { return a.unpack().Capped || b.unpack().Capped }

func (w *walk) bodies(a, b Answer) {
	a, b = a.unpack(), b.unpack()
	if bytes.Equal(a.Body, b.Body) {
		return
	}
	jsonA, jsonB := a.looksLikeJSON(), b.looksLikeJSON()
	if a.Capped || b.Capped {
		w.beginnings(a, b, jsonA, jsonB)
		return
	}
	valueA, okA := decode(a.Body, jsonA)
	valueB, okB := decode(b.Body, jsonB)
	switch {
	case okA && okB:
		w.values(nil, valueA, valueB, w.rules.begin(), 0)
	case okA != okB && len(a.Body) > 0 && len(b.Body) > 0:
		w.add("body", Type, w.either(a.Body, valueA, okA), w.either(b.Body, valueB, okB))
	default:
		w.bytes(a, b)
	}
}

// beginnings compares bodies of which one is not whole at least.
func (w *walk) beginnings(a, b Answer, jsonA, jsonB bool) {
	n := min(len(a.Body), len(b.Body))
	switch {
	case jsonA && jsonB:
	case jsonA != jsonB && n > 0:
		w.add("body", Type, w.begins(a), w.begins(b))
	case !a.Capped && len(a.Body) < len(b.Body), !b.Capped && len(b.Body) < len(a.Body): // the whole one is shorter
		w.bytes(a, b)
	case !bytes.Equal(a.Body[:n], b.Body[:n]):
		a.Body, b.Body = a.Body[:n], b.Body[:n]
		w.bytes(a, b)
	}
}

func (w *walk) begins(a Answer) string {
	return cleanCut(string(a.Body), !a.Capped, maxShown, w.rules.secrets.Text)
}

func (a Answer) looksLikeJSON() bool {
	trimmed := bytes.TrimLeft(a.Body, " \t\r\n")
	return len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[' || strings.Contains(a.Header.Get("Content-Type"), "json"))
}

// decode reads JSON. Text that is not UTF-8 is none: decoding would replace bytes, and
// different texts could come out equal.
func decode(body []byte, isJSON bool) (v any, ok bool) {
	if !isJSON || !utf8.Valid(body) {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return nil, false
	}
	_, err := d.Token()
	return v, err == io.EOF
}

// bytes shows where two bodies part: with what stands before, so that a name beside a
// secret is in sight when it is removed.
func (w *walk) bytes(a, b Answer) {
	const before = 4 * edge
	n := max(0, common(a.Body, b.Body)-before)
	x := cleanCut(string(a.Body[n:]), !a.Capped, 2*before, w.rules.secrets.Text)
	y := cleanCut(string(b.Body[n:]), !b.Capped, 2*before, w.rules.secrets.Text)
	if n > 0 {
		x, y = x[min(len(x), edge):], y[min(len(y), edge):] // there, a secret can begin in the middle
	}
	n = max(0, common(x, y)-maxShown/4)
	x, y = strings.ToValidUTF8(x[n:], ""), strings.ToValidUTF8(y[n:], "")
	w.add("body", presence(len(a.Body) > 0, len(b.Body) > 0), cut(x, maxShown), cut(y, maxShown))
}

// common is how many bytes a and b begin with in common.
func common[T []byte | string](a, b T) (n int) {
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// either shows a body that is JSON or not.
func (w *walk) either(body []byte, v any, isJSON bool) string {
	if isJSON {
		return w.show("", v)
	}
	return w.begins(Answer{Body: body})
}

// differ reports two values at a place.
func (w *walk) differ(at *place, k Kind, a, b any) {
	if w.stopped {
		return
	}
	name := ""
	for p := at; p != nil && name == ""; p = p.up { // an item has the name of its array
		name = p.name
	}
	var shownA, shownB string
	if k != Extra {
		shownA = w.show(name, a)
	}
	if k != Missing {
		shownB = w.show(name, b)
	}
	w.add(string(at.appendPath(nil)), k, shownA, shownB)
}

func (w *walk) show(name string, v any) string {
	return cut(string(w.rules.secrets.appendJSON(nil, name, v, maxShown)), maxShown)
}

// values compares what stands at a place.
func (w *walk) values(at *place, a, b any, active []cursor, depth int) {
	e := here(active)
	if e.ignore || w.stopped {
		return
	}
	kind := Value
	switch a := a.(type) {
	case map[string]any:
		if b, ok := b.(map[string]any); ok && depth < maxDepth {
			w.objects(at, a, b, active, depth)
			return
		}
	case []any:
		if b, ok := b.([]any); ok && depth < maxDepth {
			w.arrays(at, a, b, active, e, depth)
			return
		}
	case json.Number:
		if b, ok := b.(json.Number); ok && sameNumber(string(a), string(b), e) {
			return
		}
	}
	if typeOf(a) != typeOf(b) {
		kind = Type
	} else if depth >= maxDepth {
		if bytes.Equal(w.canonical(a, nil, depth), w.canonical(b, nil, depth)) {
			return
		}
	} else if _, isNumber := a.(json.Number); !isNumber && a == b {
		return
	}
	w.differ(at, kind, a, b)
}

func sameNumber(a, b string, e effect) bool {
	return a == b || !e.asWritten && (normalNumber(a) == normalNumber(b) || e.tolerance > 0 && near(a, b, e.tolerance))
}

func typeOf(v any) string {
	switch v.(type) {
	case map[string]any:
		return "object"
	case []any:
		return "array"
	case json.Number:
		return "number"
	case string:
		return "string"
	case bool:
		return "boolean"
	}
	return "null"
}

func (w *walk) objects(at *place, a, b map[string]any, active []cursor, depth int) {
	names := slices.Collect(maps.Keys(a))
	for name := range b {
		if _, both := a[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if w.stopped {
			return
		}
		below := step(active, name, false)
		valueA, inA := a[name]
		valueB, inB := b[name]
		if inA && inB {
			w.values(&place{up: at, name: name}, valueA, valueB, below, depth+1)
			continue
		}
		if e := here(below); e.ignore || e.nullIsAbsent && valueA == nil && valueB == nil {
			continue
		}
		w.differ(&place{up: at, name: name}, presence(inA, inB), valueA, valueB)
	}
}
