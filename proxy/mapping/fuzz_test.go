package mapping_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/banyan-fig/banyan/proxy/mapping"
)

// parseYAML is nil where there is no node; that the library may panic is not ours.
func parseYAML(src string) (n ast.Node) {
	defer func() { _ = recover() }()
	if f, err := parser.ParseBytes([]byte(src), 0); err == nil && len(f.Docs) == 1 {
		return f.Docs[0].Body
	}
	return nil
}

// FuzzTemplate: whatever compiles renders without a panic, and what it renders is JSON.
func FuzzTemplate(f *testing.F) {
	page, err := os.ReadFile("language.md")
	if err != nil {
		f.Fatal(err)
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `(.+?)` \\| `(.+?)` \\| `").FindAllStringSubmatch(string(page), -1) {
		f.Add(strings.ReplaceAll(row[1], `\|`, "|"), row[2], "count=10&tag=a&tag=b")
	}
	f.Add("[$.a * $.a, $.a / 3, $.a % 0.1, round($.a, 3), -1]", `{"a":1e300}`, "%")
	f.Fuzz(func(t *testing.T, src, raw, query string) {
		n := parseYAML(src)
		if n == nil {
			return
		}
		m, err := mapping.Compile(n, inAnswer)
		if err != nil {
			return
		}
		body, _ := mapping.DecodeBody("", []byte(raw))
		s := &mapping.Scope{
			Body: body, Request: body, Subject: query, Status: 200, Method: "GET", Params: mapping.Values{{Name: "id", Value: raw}},
			Query: mapping.ParseValues(query), Header: http.Header{"X-Total": {raw}, "Set-Cookie": {query}}, AnyContent: len(query)%2 == 0,
		}
		out, err := m.AppendJSON([]byte("x"), s)
		if err == nil && !json.Valid(out[1:]) || err != nil && string(out) != "x" {
			t.Errorf("%s of %s is %q, %v", src, raw, out, err)
		}
		if _, _, err := m.Text(s); err == nil {
			if _, err := m.Values(s); err != nil {
				t.Errorf("%s of %s is a text and has no values: %v", src, raw, err)
			}
		}
	})
}

// FuzzDecodeBody: a body is JSON to us exactly where it is to encoding/json, within the
// limits, and passes byte for byte.
func FuzzDecodeBody(f *testing.F) {
	f.Add("", `{"a":[1,-0.5e+3,"\u00e9\n",null,true],"b":{}} `)
	f.Add("application/json", `{"a":1}}`)
	f.Add("application/x-www-form-urlencoded", "a=1&a=2&b=100%&c;d&=&e=%41+")
	f.Add("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--\r\n")
	f.Add("text/plain", strings.Repeat("[", 65)+strings.Repeat("]", 65))
	whole, err := mapping.Compile(node(f, "$."), inAnswer)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, contentType, raw string) {
		body, err := mapping.DecodeBody(contentType, []byte(raw))
		if err != nil || raw == "" {
			return
		}
		out, err := whole.AppendJSON(nil, &mapping.Scope{Body: body})
		if err != nil || !json.Valid(out) {
			t.Fatalf("%q of %q becomes %q, %v", raw, contentType, out, err)
		}
	})
}

// FuzzJSON holds the parser against encoding/json's.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,-0.5e+3,"\u00e9\n",null,true],"b":{}} `, `{"a":1}}`, "01", "1.", "-", "[1,]", `{"a":1,}`, `"\x"`, "\"\x01\"", "nul", `{1:2}`, " ",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		deep, most := 0, 0
		for _, c := range raw {
			switch c {
			case '[', '{':
				deep++
				most = max(most, deep)
			case ']', '}':
				deep--
			}
		}
		_, err := mapping.DecodeBody("", raw)
		if valid := json.Valid(bytes.TrimPrefix(raw, []byte("\xEF\xBB\xBF"))); most <= 64 && len(raw) > 0 && valid != (err == nil) {
			t.Errorf("%q: %v, but encoding/json says %v", raw, err, valid)
		}
	})
}

// FuzzRequest: what a client sends stays where the template put it.
func FuzzRequest(f *testing.F) {
	m := requestMap(f, `
path: "/v1/{$.a}/x-{id}/end"
query: {a: $.a, b: {from: all($query.b)}}
headers: {X-A: $.a}
cookies: {c: $.a}
`[1:])
	f.Add(`{"a":"../admin"}`, "b=1&b=2", "x")
	f.Add(`{"a":"a/b?c#d\r\nX-B: 1; d=e"}`, "b=%00&b", "..")
	f.Fuzz(func(t *testing.T, raw, query, id string) {
		body, err := mapping.DecodeBody("", []byte(raw))
		if err != nil {
			return
		}
		h := http.Header{"Cookie": {"keep=1; c=old"}}
		r, err := m.Map(&mapping.Scope{Body: body, Params: mapping.Values{{Name: "id", Value: id}}, Query: mapping.ParseValues(query)}, h)
		if err != nil {
			if h.Get("Cookie") != "keep=1; c=old" || len(h) != 1 {
				t.Errorf("the headers changed with an error: %v", h)
			}
			return
		}
		u, err := url.ParseRequestURI(r.Path + "?" + r.Query)
		if err != nil || strings.Count(u.EscapedPath(), "/") != 4 || !strings.HasSuffix(r.Path, "/end") || strings.ContainsAny(r.Path, " \r\n?#") {
			t.Errorf("path %q, %v", r.Path, err)
		}
		if strings.ContainsAny(strings.Join(append(h["X-A"], h["Cookie"]...), ""), "\r\n\x00") || strings.Count(h.Get("Cookie"), ";") > 1 {
			t.Errorf("headers %q", h)
		}
	})
}
