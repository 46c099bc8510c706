package mapping_test

import (
	"errors"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"net/http"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/proxy/mapping"
)

func node(t testing.TB, src string) ast.Node {
	t.Helper()
	f, err := parser.ParseBytes([]byte(src), 0)
	if err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	return f.Docs[0].Body
}

// inAnswer is where the tests' templates stand.
var inAnswer = mapping.Context{Answer: true, Params: []string{"id"}}

func scope(t testing.TB, raw string) *mapping.Scope {
	t.Helper()
	body, err := mapping.DecodeBody("", []byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return &mapping.Scope{
		Body: body, Subject: "u1", Status: 404, Method: "GET", Params: mapping.Values{{Name: "id", Value: "7"}},
		Query:  mapping.ParseValues("count=10&tag=a&tag=b&empty="),
		Header: http.Header{"X-Total": {"1", "2"}, "Cookie": {"sid=abc; theme=dark"}, "Set-Cookie": {"a=b; Path=/"}},
	}
}

func render(t testing.TB, src string, s *mapping.Scope) (string, error) {
	t.Helper()
	m, err := mapping.Compile(node(t, src), inAnswer)
	if err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	out, err := m.AppendJSON(nil, s)
	return string(out), err
}

// TestTemplates: what the examples of language.md leave out.
func TestTemplates(t *testing.T) {
	for _, c := range []struct{ template, body, want string }{
		{`$.`, `{"b":1e2,"a":"\u00e9 <&>","b":-0.0}`, `{"b":1e2,"a":"\u00e9 <&>","b":-0.0}`},
		{`$.b`, `{"b":1,"b":2}`, `2`},
		{`$["a\"b"]`, `{"a\u0022b":1}`, `1`},
		{`"<&>\u2028\u0001\"\\"`, `1`, "\"<&>\u2028\\u0001\\\"\\\\\""},
		{`"US$$5"`, `1`, `"US$$5"`},
		{`[0x10, 1e400, 18446744073709551616, null, true]`, `1`, `[16,1e400,18446744073709551616,null,true]`},
		{`{404: a, null: b}`, `1`, `{"404":"a","null":"b"}`},
		{`{from: $.x, map: {null: none, true: yes please, 1.50: exact}, default: other}`, `{"x":null}`, `"none"`},
		{`{from: $.x, map: {true: 1}, default: other}`, `{"x":{}}`, `"other"`},
		{`{from: $.x, convert: unixSeconds}`, `{"x":null}`, `null`},
		{`{from: $.x, convert: rfc3339FromMillis}`, `{"x":1479718800500}`, `"2016-11-21T09:00:00.5Z"`},
		{`{from: $.x, convert: number}`, `{"x":"90071992547409931.0"}`, `90071992547409931.0`},
		{`{from: "all($header.x-total)"}`, `1`, `["1","2"]`},
		{`[$cookie.a, $cookie.Path, $cookie.sid]`, `1`, `["b"]`},
		{`{from: "split('a,b,,c', ',')"}`, `1`, `["a","b","","c"]`},
		{`{from: "join($., '-')"}`, `["a",1,null,true]`, `"a-1-true"`},
		{`{from: "round(2.5) + round(-2.5) + floor(-1.5) + ceil(-1.5) + round(1.005, 2)"}`, `1`, `-1.99`},
		{`{from: "1 / 3 + 10 % 4 * 2"}`, `1`, `4.3333333333333333`},
		{`$. * 3 - 1`, `9007199254740993`, `27021597764222978`},
		{`$. * $.`, `9007199254740993`, `81129638414606699710187514626049`},
		{`{from: "min(3, '2') + max(1, 5)"}`, `1`, `7`},
		{`[$.a == '1', $.a == 1.0, $.a != true, $.a < 2, $.a >= 1]`, `{"a":1}`, `[true,true,true,true,true]`},
		{`[$.x == null, $.x != 1, $.x < 1, $.x && true, $.x + 1]`, `{}`, `[true,true,false,false]`},
		{`{from: "!($.a || $.b) && 'b' > 'a'"}`, `{"a":null,"b":false}`, `true`},
		{`{each: $.a, as: [$index, $key, $.]}`, `{"a":{"x":[1],"y":2}}`, `[[0,"x",[1]],[1,"y",2]]`},
		{`{each: $.a, key: $.k, default: {}, as: $.v}`, `{"a":[{"k":1,"v":2},{"v":3},{"k":"z"}]}`, `{"1":2}`},
		{`{each: $.gone, default: [], as: 1}`, `{}`, `[]`},
		{`{from: $.u, with: {a: $.gone, z: {from: $.u}}}`, `{"u":{"a":1,"b":2}}`, `{"b":2,"z":{"a":1,"b":2}}`},
		{`{when: $.a, then: {b: $.b}, else: null}`, `{"a":false}`, `null`},
		{`{a: {when: $.a, then: 1}}`, `{"a":false}`, `{}`},
		{`{from: "replace(upper($.a), 'A', 'bb')"}`, `{"a":"äa"}`, `"Äbb"`},
		{`[{from: "contains($.a, 2)"}, {from: "contains($.a, 'x')"}, {from: "contains('axb', 'x')"}]`, `{"a":[[],1,"2"]}`, `[true,false,true]`},
		{`[{from: "fixed($.a, 2)"}, {from: "fixed($.a, 0)"}, {from: "fixed(-0.005, 2)"}]`, `{"a":19.9}`, `["19.90","20","-0.01"]`},
		{`{from: len($.a)}`, `{"a":"äé"}`, `2`},
	} {
		got, err := render(t, c.template, scope(t, c.body))
		if err != nil || got != c.want {
			t.Errorf("%s of %s: got %s, %v, want %s", c.template, c.body, got, err, c.want)
		}
	}
}

// TestRefusedTemplates: everything that compiles means something. The place is the node's.
func TestRefusedTemplates(t *testing.T) {
	for src, want := range map[string]string{
		`{a: $.a $.b}`:                    "[1:5] invalid expression",
		`{a: $5}`:                         "unknown reference $5",
		`{a: $}`:                          "$ alone is nothing",
		`{a: $..b}`:                       "empty step",
		`{a: "$.a."}`:                     "empty step",
		`{a: "$[x]"}`:                     "must be quoted",
		`{a: $query}`:                     "$query has one name",
		`{a: $query.a.b}`:                 "$query has one name",
		`{a: $status.x}`:                  "has nothing inside",
		`{a: $params.no}`:                 "has no {no}",
		`{a: $index}`:                     "only inside each",
		`{a: {from: concat($.a}}`:         "expected a comma",
		`{a: {from: "len()"}}`:            "len has 1 arguments",
		`{a: {from: "'a"}}`:               "not closed",
		`{a: {from: "1 < 2 < 3"}}`:        "needs parentheses",
		`{a: {from: "1 + 2 ?? 3"}}`:       "needs parentheses",
		`{a: {from: "1 ?? 2 + 3"}}`:       "needs parentheses",
		`{a: {from: "1 +"}}`:              "ends where a value is expected",
		`{a: {from: first}}`:              "a text needs quotes",
		`{a: {from: $.a, into: b}}`:       `unknown key "into" beside from`,
		`{a: {from: 1, to: 3}}`:           "{object: {from: ...}}",
		`{a: {from: [1]}}`:                "must be a text",
		`{a: {from: $.a, convert: x}}`:    "unknown conversion",
		`{a: {from: $.a, convert: join}}`: "unknown conversion",
		`{a: {from: $.a, map: x}}`:        "must be a table",
		`{a: {from: $.a, with: {b: 1}, convert: string}}`: "cannot be combined",
		`{a: {each: $.a}}`:                     "each needs as",
		`{a: {each: $.a, name: query, as: 1}}`: "used already",
		`{a: {each: $.a, name: 1a, as: 1}}`:    "invalid name",
		`{a: {when: $.a}}`:                     "when needs then",
		`{a: {object: 1}}`:                     "must have the object's members",
		`{a: pay $.sum now}`:                   "has a reference inside",
		`{a: .inf}`:                            "infinities",
		`{a: {from: "formatTime($.a, '2006', 'Moon/Base')"}}`: "unknown time zone",
		`{a: {from: "formatTime($.a, '2006', $.zone)"}}`:      "a time zone must be a text",
		strings.Repeat("[", 70) + strings.Repeat("]", 70):     "nested over 64 levels",
		`{from: "` + strings.Repeat("(", 70) + `"}`:           "nested too deeply",
		`{from: "` + strings.Repeat("!", 70) + `1"}`:          "nested too deeply",
	} {
		_, err := mapping.Compile(node(t, src), inAnswer)
		var syntax *yaml.SyntaxError
		if !errors.As(err, &syntax) || syntax.Token == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", src, err, want)
		}
	}
	if _, err := mapping.Compile(node(t, "$status"), mapping.Context{}); err == nil {
		t.Error("a request has a status")
	}
}

// TestUnmappable: what the data cannot give is an error that says where and what.
func TestUnmappable(t *testing.T) {
	deep := `{"a":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`
	if _, err := mapping.DecodeBody("", []byte(deep)); !errors.Is(err, mapping.ErrNotJSON) {
		t.Errorf("a deep body: %v", err)
	}
	ones := "[" + strings.Repeat("1,", 5_000) + "1]"
	for _, c := range []struct{ template, body, want string }{
		{`{data: {at: {from: $.at, convert: unixSeconds}}}`, `{"at":"yesterday"}`, `"data": "at": "yesterday" is not an RFC 3339 time`},
		{`{each: $.a, as: $.b}`, `{"a":1}`, `each: 1 is not a list`},
		{`{each: $.a, as: {from: $.b, convert: number}}`, `{"a":[{"b":1},{"b":"x"}]}`, `element 1: "x" is not a number`},
		{`{each: $.a, key: $., as: 1}`, `{"a":[[]]}`, "cannot be the name of a member"},
		{`{from: $.a, convert: string}`, `{"a":{}}`, "an object is not a text"},
		{`{from: $.a, convert: boolean}`, `{"a":"yes"}`, "is not one of true, false, 1, 0"},
		{`{from: $.a, without: [b]}`, `{"a":[]}`, "is not an object"},
		{`{when: $.a, then: 1}`, `{"a":1}`, "neither true nor false"},
		{`{from: $.a / 0}`, `{"a":1}`, "division by zero"},
		{`$.a + 1`, `{"a":"Inf"}`, "is not a number"},
		{`$.a + 1`, `{"a":1e199999999}`, "too large to calculate with"},
		{`$.a == 1e3`, `{"a":1e199999999}`, "too large to calculate with"},
		{`$.a * $.a * $.a`, `{"a":` + strings.Repeat("9", 200) + `}`, "too large to calculate with"},
		{`{from: "fixed($.a, 31)"}`, `{"a":1}`, "is not a number of decimals"},
		{`$.a < $.b`, `{"a":"x","b":1}`, "cannot be compared"},
		{`$.a == $.a`, `{"a":[]}`, "cannot be compared"},
		{`{from: $.a, convert: rfc3339FromSeconds}`, `{"a":1e3}`, "is not a whole number"},
		{`{from: $.a, convert: rfc3339FromSeconds}`, `{"a":999999999999}`, "has no RFC 3339 time"},
		{`{each: $., as: {each: $root, as: $.}}`, ones, "too large to map"},
		{`{each: $., as: $root}`, ones, "too large to map"},
		{`{each: $., as: {when: len($root) == 0, then: 1}}`, ones, "too large to map"},
		{`{each: $., as: {when: $root.4999 == 0, then: 1}}`, ones, "too large to map"},
		{`{each: $., as: {when: $text == '', then: 1}}`, ones, "too large to map"},
	} {
		if got, err := render(t, c.template, scope(t, c.body)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s of %.80s: got %.80s, %v, want %q", c.template, c.body, got, err, c.want)
		}
	}
}
