package diff_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/proxy/diff"
)

func answer(body string, header ...string) diff.Answer {
	a := diff.Answer{Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body)}
	for i := 0; i < len(header); i += 2 {
		a.Header.Set(header[i], header[i+1])
	}
	return a
}

func compiled(t testing.TB, s diff.Spec) *diff.Rules {
	t.Helper()
	r, err := diff.Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// places is differences as "path kind", joined.
func places(ds []diff.Difference) string {
	var out []string
	for _, d := range ds {
		out = append(out, d.Path+" "+string(d.Kind))
	}
	return strings.Join(out, ", ")
}

func TestCompareBodies(t *testing.T) {
	for _, c := range []struct {
		name, a, b string
		spec       diff.Spec
		want       string
	}{
		{name: "order of members, white space and escapes do not count", a: `{"a":1,"b":"é"}`, b: ` {"b":"\u00e9", "a":1}`},
		{name: "numbers by value", a: `[1, 100, 0.5, -0, 123456789012345678901234567890]`, b: `[1.0, 1e2, 5E-1, 0.0, 123456789012345678901234567890]`},
		{name: "numbers exactly", a: `[9007199254740993, 1e999999999, 0.1]`, b: `[9007199254740992, 1e999999998, 0.10000000000000001]`,
			want: "$[] value, $[] value, $[] value"},
		{name: "numbers as written", a: `{"a":1.0,"b":1.0}`, b: `{"a":1,"b":1}`, spec: diff.Spec{AsWritten: []string{"$.a"}}, want: "$.a value"},
		{name: "tolerance, its bound included", a: `{"p":[1.00, 2, 3]}`, b: `{"p":[1.01, 2.02, 3.0]}`,
			spec: diff.Spec{Tolerance: map[string]float64{"$.p[]": 0.01}}, want: "$.p[] value"},
		{name: "missing and extra", a: `{"a":1,"c":{"x":1}}`, b: `{"b":1,"c":{"y":null}}`,
			want: "$.a missing, $.b extra, $.c.x missing, $.c.y extra"},
		{name: "types", a: `{"id":1,"l":[],"n":null,"t":true}`, b: `{"id":"1","l":{},"n":0,"t":"true"}`,
			want: "$.id type, $.l type, $.n type, $.t type"},
		{name: "null and absent differ", a: `{"a":null}`, b: `{}`, want: "$.a missing"},
		{name: "null is absent", a: `{"a":null,"b":1}`, b: `{}`, spec: diff.Spec{NullIsAbsent: []string{"$.a", "$.b"}}, want: "$.b missing"},
		{name: "ignored", a: `{"a":{"at":1,"b":[{"at":2,"c":3}]},"x":{"y":1}}`, b: `{"a":{"at":2,"b":[{"c":4}]},"x":{"z":2}}`,
			spec: diff.Spec{Ignore: []string{"$..at", "$.x.*"}}, want: "$.a.b[].c value"},
		{name: "ignored by a quoted name, and the body", a: `{"a b":1,"[":2}`, b: `{"a b":2,"[":3}`,
			spec: diff.Spec{Ignore: []string{`$["a b"]`}}, want: `$["["] value`},
		{name: "ignored items", a: `{"a":[1,2]}`, b: `{"a":[3]}`, spec: diff.Spec{Ignore: []string{"$.a[]"}}},
		{name: "order of items counts", a: `[1,2]`, b: `[2,1]`, want: "$[] value, $[] value"},
		{name: "an item in front is one difference", a: `[{"id":2},{"id":3}]`, b: `[{"id":1},{"id":2},{"id":3}]`, want: "$[] extra"},
		{name: "unordered whole items", a: `{"t":[{"a":[1,2]},3,3,"x"]}`, b: `{"t":["x",3,{"a":[1.0,2]},4]}`,
			spec: diff.Spec{Unordered: map[string]string{"$.t": ""}}, want: "$.t[] value"},
		{name: "unordered in unordered, with an ignored member", a: `[{"t":[1,2],"at":1},{"t":[3]}]`, b: `[{"t":[3],"at":9},{"t":[2,1]}]`,
			spec: diff.Spec{Unordered: map[string]string{"$": "", "$[].t": ""}, Ignore: []string{"$[].at"}}},
		{name: "unordered by a key", a: `[{"id":1,"v":1},{"id":2,"v":2},{"id":4}]`, b: `[{"id":3},{"id":2.0,"v":3},{"id":1,"v":1}]`,
			spec: diff.Spec{Unordered: map[string]string{"$": "id"}}, want: "$[].v value, $[] missing, $[] extra"},
		{name: "ids as names share a path", a: `{"17":1,"a@b.example":1}`, b: `{"17":2,"a@b.example":2}`, want: "$.* value, $.* value"},
		{name: "JSON against none", a: `{"a":1}`, b: `<p>oh</p>`, want: "body type"},
		{name: "JSON against nothing", a: `{"a":1}`, b: ``, want: "body missing"},
		{name: "texts", a: `one two`, b: `one 2`, want: "body value"},
		{name: "not UTF-8: no JSON, and not equal", a: "[\"\xff\"]", b: "[\"\xfe\"]", want: "body value"},
		{name: "a second value", a: `{} {}`, b: `{}`, want: "body type"},
		{name: "the body ignored", a: `{}`, b: `[]`, spec: diff.Spec{Ignore: []string{"body"}}},
		{name: "empty", a: ``, b: ``},
	} {
		r := compiled(t, c.spec)
		if got := places(diff.Compare(answer(c.a), answer(c.b), r)); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
		mirrored := strings.NewReplacer("missing", "extra", "extra", "missing").Replace(c.want)
		got := strings.Split(places(diff.Compare(answer(c.b), answer(c.a), r)), ", ")
		want := strings.Split(mirrored, ", ")
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s, the other way:\n got %s\nwant %s", c.name, got, want)
		}
	}
}

func TestCompareHeads(t *testing.T) {
	a := answer("x", "Location", "/a", "Content-Type", "Text/HTML;charset=UTF-8", "Date", "now", "Set-Cookie", "sid=1; Path=/")
	b := answer("x", "Content-Type", `text/html; charset="utf-8"`, "Date", "then", "Retry-After", "3", "Set-Cookie", "sid=2; Path=/")
	b.Status = 302
	if got, want := places(diff.Compare(a, b, nil)), "status value, header:Location missing, header:Retry-After extra"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	b.Header.Add("Set-Cookie", "other=1")
	r := compiled(t, diff.Spec{Ignore: []string{"status", "header:location"}, Headers: []string{"set-cookie", "location", "date"}})
	ds := diff.Compare(a, b, r)
	if got, want := places(ds), "header:Set-Cookie value, header:Date value"; got != want {
		t.Errorf("with rules: got %s, want %s", got, want)
	}
	if ds[0].A != "sid" || ds[0].B != "other, sid" {
		t.Errorf("cookies must be shown by their names alone, got %+v", ds[0])
	}
}

func zipped(t *testing.T, body string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write([]byte(body))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestCompareUnpacks(t *testing.T) {
	packed := answer(string(zipped(t, `{"a":1}`)), "Content-Encoding", "gzip")
	if ds := diff.Compare(packed, answer(`{"a":1.0}`), nil); len(ds) > 0 {
		t.Errorf("the same JSON, once packed, differs: %v", ds)
	}
	if got := places(diff.Compare(packed, answer(`{"a":2}`), nil)); got != "$.a value" {
		t.Errorf("got %q for another value", got)
	}
	bomb := answer(string(zipped(t, strings.Repeat("0", 4<<20))), "Content-Encoding", "gzip")
	if !diff.Partial(bomb, answer("0")) || diff.Partial(packed, answer("")) {
		t.Error("a body that unpacks to more than MaxBody must count as partial, and only that")
	}
}

func TestCappedIsComparedAsFarAsItIsTrue(t *testing.T) {
	whole, capped := answer(`{"a": 1, "b": 2}`), answer(`{"b":2,"a":`)
	capped.Capped = true
	if ds := diff.Compare(whole, capped, nil); len(ds) > 0 {
		t.Errorf("the beginning of JSON in another order differs: %v", ds)
	}
	capped.Status = 500
	if got := places(diff.Compare(whole, capped, nil)); got != "status value" {
		t.Errorf("the status of a capped answer: got %q", got)
	}
	text, begun := answer("one two three", "Content-Type", "text/plain"), answer("one two", "Content-Type", "text/plain")
	begun.Capped = true
	if ds := diff.Compare(text, begun, nil); len(ds) > 0 {
		t.Errorf("a text and its beginning differ: %v", ds)
	}
	begun.Body = []byte("one 2")
	if got := places(diff.Compare(text, begun, nil)); got != "body value" {
		t.Errorf("a text and another beginning: got %q", got)
	}
	begun.Body = []byte("one two three four")
	if got := places(diff.Compare(text, begun, nil)); got != "body value" {
		t.Errorf("a text and the beginning of a longer one: got %q", got)
	}
	if got := places(diff.Compare(whole, begun, compiled(t, diff.Spec{Headers: []string{}, Ignore: []string{"status"}}))); got != "body type" {
		t.Errorf("JSON and the beginning of a text: got %q", got)
	}
	if !diff.Partial(text, begun) {
		t.Error("a capped comparison must be partial")
	}
}

// TestHostileBodies: nothing that a side sends takes long, or more than a bounded
// result.
func TestHostileBodies(t *testing.T) {
	deep := func(n int, in string) string { return strings.Repeat(`[`, n) + in + strings.Repeat(`]`, n) }
	wide := func(item string) string { return "[" + strings.Repeat(item+",", 20_000) + item + "]" }
	r := compiled(t, diff.Spec{
		Unordered: map[string]string{"$": "", "$..*": "", "$[]": "", "$[][]": ""},
		Tolerance: map[string]float64{"$..*": 1, "$[]": 1},
	})
	for _, c := range [][2]string{
		{deep(9_000, "1"), deep(9_000, "2")},
		{deep(20_000, "1"), deep(20_000, "2")}, // beyond what is decoded at all
		{wide("1"), wide("9")},
		{wide("[1]"), wide("[9]")},
		{`[1e999999999]`, `[1e-999999999]`},
		{`[` + strings.Repeat("9", 500_000) + `]`, `[` + strings.Repeat("9", 500_001) + `]`},
		{strings.Repeat(`{"a":`, 9000) + "1" + strings.Repeat("}", 9000), strings.Repeat(`{"a":`, 9000) + "2" + strings.Repeat("}", 9000)},
	} {
		ds := diff.Compare(answer(c[0]), answer(c[1]), r)
		if len(ds) == 0 || len(ds) > diff.MaxDifferences+1 {
			t.Errorf("%.20s...: %d differences", c[0], len(ds))
		}
		for _, d := range ds {
			if len(d.Path) > 2000 || len(d.A) > 200 || len(d.B) > 200 {
				t.Errorf("%.20s...: a difference of %d, %d and %d bytes", c[0], len(d.Path), len(d.A), len(d.B))
			}
		}
	}
}

// randomJSON makes a value of few names and values, so that two are often alike.
func randomJSON(r *rand.Rand, depth int) any {
	n := r.IntN(4)
	switch k := r.IntN(8); {
	case k < 2 && depth > 0:
		out := map[string]any{}
		for range n {
			out[string(rune('a'+r.IntN(4)))] = randomJSON(r, depth-1)
		}
		return out
	case k < 4 && depth > 0:
		out := []any{}
		for range n {
			out = append(out, randomJSON(r, depth-1))
		}
		return out
	case k < 5:
		return nil
	case k < 6:
		return json.Number(fmt.Sprintf("%d.%de%d", r.IntN(3), r.IntN(2), r.IntN(2)))
	}
	return string(rune('x' + n%2))
}

var specs = []diff.Spec{
	{},
	{Unordered: map[string]string{"$": "a", "$..a": "", "$[]": "b"}, Ignore: []string{"$..c"}},
	{Unordered: map[string]string{"$": "", "$[]": ""}, Tolerance: map[string]float64{"$..*": 1, "$[]": 2}, NullIsAbsent: []string{"$..d"}},
}

// holds checks what is true of any two answers: a comparison with itself is empty, and
// the two can change places.
func holds(t *testing.T, a, b diff.Answer, r *diff.Rules) {
	t.Helper()
	if ds := diff.Compare(a, a, r); len(ds) > 0 {
		t.Fatalf("%q differs from itself: %v", a.Body, ds)
	}
	there, back := diff.Compare(a, b, r), diff.Compare(b, a, r)
	if len(there) != len(back) {
		t.Fatalf("%q against %q: %d differences, %d the other way:\n%v\n%v", a.Body, b.Body, len(there), len(back), there, back)
	}
}

func TestCompareIsSymmetric(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var rules []*diff.Rules
	for _, s := range specs {
		rules = append(rules, compiled(t, s))
	}
	for range 1000 {
		x, _ := json.Marshal(randomJSON(r, 4))
		y, _ := json.Marshal(randomJSON(r, 4))
		for i, rule := range rules {
			holds(t, answer(string(x)), answer(string(y)), rule)
			if ds := diff.Compare(answer(string(x)), answer(string(y)), rule); i == 0 && len(ds) == 0 && !sameJSON(x, y) {
				t.Fatalf("%s and %s do not differ", x, y)
			}
		}
	}
}

// sameJSON is another way to compare numbers of this size.
func sameJSON(x, y []byte) bool {
	var a, b any
	json.Unmarshal(x, &a)
	json.Unmarshal(y, &b)
	p, _ := json.Marshal(a)
	q, _ := json.Marshal(b)
	return bytes.Equal(p, q)
}

func FuzzCompare(f *testing.F) {
	for _, s := range []string{`{"a":[1,{"b":null}],"c":"x"}`, `[[1.0],[1e0]]`, `oops`, `{"a":1}{`, "\xff", `"\ud800"`, `1e99999999999`} {
		f.Add([]byte(s), []byte(`{"a":[{"b":2},1.00]}`), uint8(len(s)))
	}
	var rules []*diff.Rules
	for _, s := range specs {
		rules = append(rules, compiled(f, s))
	}
	f.Fuzz(func(t *testing.T, x, y []byte, how uint8) {
		a, b := answer(string(x)), answer(string(y))
		a.Capped = how&64 > 0
		if how&128 > 0 {
			a.Header.Set("Content-Encoding", "gzip")
		}
		holds(t, a, b, rules[int(how&15)%len(rules)])
		var s *diff.Rules
		s.Secrets().Body(a, 10)
		s.Secrets().Target(string(x))
	})
}

func TestCompileNamesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		spec diff.Spec
		want string
	}{
		{diff.Spec{Ignore: []string{"a.b"}}, `ignore: invalid path "a.b"`},
		{diff.Spec{Ignore: []string{"$.a..", "$"}}, "expected a name"},
		{diff.Spec{NullIsAbsent: []string{"$.a[0]"}}, `expected .name, [] or ["name"] at "[0]"`},
		{diff.Spec{AsWritten: []string{`$["a`}}, "not closed"},
		{diff.Spec{Tolerance: map[string]float64{"$.a": -1}}, "tolerance of $.a"},
		{diff.Spec{Unordered: map[string]string{"x": ""}}, "unordered: invalid path"},
		{diff.Spec{Ignore: slices.Repeat([]string{"$.a"}, 201)}, "201 paths"},
	} {
		if _, err := diff.Compile(c.spec); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q in it", c.spec, err, c.want)
		}
	}
}

func BenchmarkCompare(b *testing.B) {
	var x, y bytes.Buffer
	for i := range 12 {
		fmt.Fprintf(&x, `,{"id":%d,"name":"item number %d","price":%d.50,"tags":["a","b"]}`, i, i, i)
		fmt.Fprintf(&y, `,{"tags":["a","b"],"price":%d.5,"name":"item number %d","id":%d}`, i, i, i)
	}
	p, q := answer("["+x.String()[1:]+"]"), answer("["+y.String()[1:]+"]")
	b.SetBytes(int64(len(p.Body)))
	b.ReportAllocs()
	for b.Loop() {
		if len(diff.Compare(p, q, nil)) > 0 {
			b.Fatal("they differ")
		}
	}
}
