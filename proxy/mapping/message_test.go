package mapping_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/banyan-fig/banyan/proxy/mapping"
)

func compileRequest(t testing.TB, src string) (*mapping.RequestMap, error) {
	t.Helper()
	var s mapping.RequestSpec
	if err := yaml.NodeToValue(node(t, src), &s, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	return mapping.CompileRequest(s, mapping.Context{Params: []string{"id", "rest"}, Rest: "rest"})
}

func compileResponse(t testing.TB, src string) (*mapping.ResponseMap, error) {
	t.Helper()
	var s mapping.ResponseSpec
	if err := yaml.NodeToValue(node(t, src), &s, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	return mapping.CompileResponse(s, inAnswer)
}

func requestMap(t testing.TB, src string) *mapping.RequestMap {
	t.Helper()
	m, err := compileRequest(t, src)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func responseMap(t testing.TB, src string) *mapping.ResponseMap {
	t.Helper()
	m, err := compileResponse(t, src)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestRequestWithoutBody: a mapping can leave out the body that came, or send JSON's null.
func TestRequestWithoutBody(t *testing.T) {
	for src, want := range map[string]mapping.Request{
		"body: null":                     {HasBody: true},
		"{path: /v1/a, body: null}":      {HasBody: true, Path: "/v1/a"},
		"body:":                          {HasBody: true},
		"{method: DELETE}":               {HasBody: true, Method: "DELETE"},
		"{method: DELETE, body: $.a}":    {HasBody: true, Method: "DELETE", ContentType: "application/json", Body: []byte("1")},
		"body: {from: $.gone}":           {HasBody: true, ContentType: "application/json", Body: []byte("null")},
		"method: PUT":                    {Method: "PUT"},
		"{path: /v1/a, form: {a: null}}": {HasBody: true, Path: "/v1/a", ContentType: "application/x-www-form-urlencoded"},
	} {
		got, err := requestMap(t, src).Map(scope(t, `{"a":1}`), http.Header{})
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || d != "" {
			t.Errorf("%s: %v (-want +got):\n%s", src, err, d)
		}
	}
	if _, err := compileRequest(t, "{body: null, form: {a: b}}"); err == nil {
		t.Error("no body, and a form: no error")
	}
}

func TestRequest(t *testing.T) {
	m := requestMap(t, `
method: PATCH
path: "/v1/{id}/{$.name}/{rest...}"
query: {limit: $query.count, tag: {from: all($query.tag)}, each: [a, $query.gone, 1], gone: $query.gone, no: null, empty: $query.empty}
headers: {X-Tenant: $cookie.theme, X-Old: null, content-type: application/vnd.api+json, X-Two: [a, b]}
cookies: {session: $cookie.sid, sid: null}
body: {name: $.name}
`[1:])
	s := scope(t, `{"name":"Ada/\u00e4"}`)
	s.Rest = "a%2Fb/c"
	h := http.Header{"Cookie": {"sid=abc; theme=dark"}, "X-Old": {"1"}, "Accept": {"*/*"}}
	got, err := m.Map(s, h)
	want := mapping.Request{
		Method: "PATCH", Path: "/v1/7/Ada%2F%C3%A4/a%2Fb/c", Query: "limit=10&tag=a&tag=b&each=a&each=1&empty=", HasQuery: true,
		Body: []byte(`{"name":"Ada/\u00e4"}`), HasBody: true, ContentType: "application/vnd.api+json",
	}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	wantHeader := http.Header{
		"Accept": {"*/*"}, "Content-Type": {"application/vnd.api+json"}, "Cookie": {"theme=dark; session=abc"}, "X-Tenant": {"dark"}, "X-Two": {"a", "b"},
	}
	if d := cmp.Diff(wantHeader, h); d != "" {
		t.Error(d)
	}
	var none *mapping.RequestMap
	if got, err := none.Map(s, h); err != nil || got.HasBody || none.UsesBody() || none.Method() != "" {
		t.Errorf("no mapping gives %+v, %v", got, err)
	}
}

// TestRequestStaysInPlace: what a client sends cannot leave the place that it was put in.
func TestRequestStaysInPlace(t *testing.T) {
	for src, want := range map[string]string{
		`path: "/a/{$.dots}/b"`:   `".." would leave the path`,
		`path: "/a/{$.gone}"`:     "absent or empty",
		`path: "/a/{$.empty}"`:    "absent or empty",
		`path: "/a/{$.list}"`:     "cannot be one text",
		`path: "/a/{rest}"`:       "would leave the path",
		`headers: {X-A: $.lines}`: "characters that a header cannot have",
		`cookies: {a: $.cookie}`:  "characters that a cookie cannot have",
		`query: {a: $.object}`:    "cannot be one text",
		`query: {a: [$.list]}`:    "cannot be one text",
		`form: {a: $.object}`:     "cannot be one text",
		`body: $.a + 1`:           "body: ",
	} {
		s := scope(t, `{"dots":"..","empty":"","list":[[1]],"lines":"a\r\nX-B: c","cookie":"a; b=c","object":{},"a":"x"}`)
		s.Rest = "x/%2E./y"
		h := http.Header{"A": {"b"}}
		if got, err := requestMap(t, src).Map(s, h); err == nil || !strings.Contains(err.Error(), want) || len(h) != 1 {
			t.Errorf("%s: got %+v, %v, %v, want %q", src, got, err, h, want)
		}
	}
}

func TestRefusedMessages(t *testing.T) {
	for src, want := range map[string]string{
		"method: Patch":                 "invalid method",
		"path: v1":                      "must begin with a slash",
		"path: /v1/{no}":                "unknown {no}",
		"path: /v1/{id":                 "not closed",
		"path: /v1/a b":                 "must be escaped",
		"path: /v1?a=b":                 "without a query",
		"path: \"/v1/{$.a $.b}\"":       "invalid expression",
		"path: \"/v1/{$status}\"":       "a request has none",
		"query: [a]":                    "must be a mapping",
		"headers: {content-length: 1}":  "is the proxy's own",
		"headers: {x-forwarded-for: a}": "is the proxy's own",
		"headers: {cookie: a}":          "cookies are under cookies",
		"headers: {\"a b\": 1}":         "invalid name of a header",
		"cookies: {\"a;b\": 1}":         "invalid name of a cookie",
		"{body: 1, form: {a: 1}}":       "not both",
	} {
		if _, err := compileRequest(t, src); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", src, err, want)
		}
	}
	_, err := compileResponse(t, "status: $params.no\nheaders: {connection: a}\ncookies: {a: {value: 1, maxage: 1}}\nfailed: 1 +\nbody: $5")
	for _, want := range []string{"has no {no}", "header Connection", `unknown attribute "maxage"`, "ends where", "unknown reference $5"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("not all mistakes are told: %q is missing in %v", want, err)
		}
	}
}

func TestResponse(t *testing.T) {
	m := responseMap(t, `
status: 200
errorStatus: 200
headers: {X-Count: {from: len($.items)}}
cookies: {sid: {value: $.token, path: /, domain: example.com, httpOnly: true, secure: true, sameSite: lax, maxAge: 0}, a: $.gone}
body: {ok: true, n: $.n}
error: {ok: false, code: $status, text: $text, title: $.title}
`[1:])
	s := scope(t, `{"n":1.50,"token":"t","items":[1]}`)
	s.Status = 201
	h := http.Header{"Set-Cookie": {"sid=old; Path=/", "x=y", "a=1"}}
	got, err := m.Map(s, h)
	want := mapping.Response{Status: 200, Body: []byte(`{"ok":true,"n":1.50}`), HasBody: true, ContentType: "application/json"}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	set := "sid=t; Path=/; Domain=example.com; Max-Age=0; HttpOnly; Secure; SameSite=Lax"
	if d := cmp.Diff(http.Header{"X-Count": {"1"}, "Set-Cookie": {"x=y", set}}, h); d != "" {
		t.Error(d)
	}
	html, err := mapping.DecodeBody("text/html", []byte("<h1>502</h1>"))
	if err == nil {
		t.Fatal("HTML is taken for JSON")
	}
	s.Body = html
	h = http.Header{"A": {"b"}}
	if _, err := m.Map(s, h); err == nil || len(h) != 1 {
		t.Errorf("a good answer in HTML is mapped: %v, %v", err, h)
	}
	s.Status = 502
	got, err = m.Map(s, http.Header{})
	want.Failed, want.Body = true, []byte(`{"ok":false,"code":502,"text":"<h1>502</h1>"}`)
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}

// TestResponseParts: what is not named passes, and what cannot be is an error.
func TestResponseParts(t *testing.T) {
	for src, want := range map[string]string{
		"status: $.a":                             `status: "x" is not one from 200 to 599`,
		"status: 101":                             `"101" is not one`,
		"failed: $.a":                             "failed: ",
		"headers: {X-A: {b: $.a}}":                "cannot be one text",
		"cookies: {a: $.lines}":                   "cookies: a: ",
		"cookies: {a: {value: 1, maxAge: $.a}}":   "is not a number of seconds",
		"cookies: {a: {value: 1, secure: $.a}}":   "neither true nor false",
		"cookies: {a: {value: 1, sameSite: $.a}}": "Lax, Strict, None",
		"body: {a: $.a - 1}":                      `"a": "x" is not a number`,
	} {
		s := scope(t, `{"a":"x","lines":"a\nb"}`)
		s.Status = 200
		h := http.Header{"A": {"b"}}
		if got, err := responseMap(t, src).Map(s, h); err == nil || !strings.Contains(err.Error(), want) || len(h) != 1 {
			t.Errorf("%s: got %+v, %v, want %q", src, got, err, want)
		}
	}
	for _, c := range []struct {
		src                   string
		body, request         bool
		changes200, change404 bool
	}{
		{"{}", false, false, false, false},
		{"headers: {A: $.a}", true, false, false, false},
		{"body: {a: $request.a}", false, true, true, false},
		{"error: {a: {from: $text}}", true, false, false, true},
		{"{failed: $.a, error: {}}", true, false, true, true},
		{"body: {a: {each: $query.a, as: $.}}", false, false, true, false},
	} {
		m := responseMap(t, c.src)
		got := []bool{m.UsesBody(), m.UsesRequest(), m.Changes(200), m.Changes(404)}
		if d := cmp.Diff([]bool{c.body, c.request, c.changes200, c.change404}, got); d != "" {
			t.Errorf("%s:\n%s", c.src, d)
		}
	}
	if !requestMap(t, "path: \"/a/{$.id}\"").UsesBody() || requestMap(t, "path: \"/a/{id}\"").UsesBody() {
		t.Error("which requests' bodies are read")
	}
}
