package mapping_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/proxy/mapping"
)

const multipartForm = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n" +
	"--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"%s\"\r\n\r\n%s\r\n--b--\r\n"

func TestDecodeBody(t *testing.T) {
	many := strings.Repeat("a=1&", 1001)
	for _, c := range []struct{ contentType, raw, want, wrong string }{
		{"", "", "null", ""},
		{"application/json", "\xEF\xBB\xBF {\"a\": 1}\n", `{"a": 1}`, ""},
		{"text/html", `[1]`, `[1]`, ""}, // JSON, whatever it is called
		{"application/json", `{"a":1}}`, "", "the body is not JSON"},
		{"application/json", `{"a":1} {"a":2}`, "", "the body is not JSON"},
		{"text/html", `<h1>`, "", `the body is not JSON (Content-Type "text/html"): unexpected '<'`},
		{"application/x-www-form-urlencoded; charset=utf-8", "b=2&a=100%&c;d&b=%41+%zz&=&", `{"b":["2","A %zz"],"a":"100%","c;d":"","":""}`, ""},
		{"application/x-www-form-urlencoded", many, "", "over 1000 fields: too large to map"},
		{"multipart/form-data; boundary=b", strings.ReplaceAll(multipartForm, "%s", ""), `{"a":"1"}`, ""},
		{"multipart/form-data; boundary=b", strings.ReplaceAll(multipartForm, "%s", "x"), "", `"f" is a file`},
		{"multipart/form-data; boundary=b", "--b\r\nContent-Dis", "", "invalid multipart form"},
		{"multipart/form-data", "a=b", "", "invalid multipart form"},
	} {
		body, err := mapping.DecodeBody(c.contentType, []byte(c.raw))
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%.40q: got %v, want %q", c.raw, err, c.wrong)
			}
			if _, again := render(t, "$.a", &mapping.Scope{Body: body}); !errors.Is(again, err) {
				t.Errorf("%.40q: its values are %v", c.raw, again)
			}
			if got, err := render(t, "[$.a, $text]", &mapping.Scope{Body: body, AnyContent: true}); err != nil || got == "[]" {
				t.Errorf("%.40q: its text is %s, %v", c.raw, got, err)
			}
			continue
		}
		if got, mapErr := render(t, "$.", &mapping.Scope{Body: body}); err != nil || mapErr != nil || got != c.want {
			t.Errorf("%.40q: got %s, %v, %v, want %s", c.raw, got, err, mapErr, c.want)
		}
	}
}

// TestQueriesKeepEverything: a lone % and a semicolon are no reason to lose a parameter.
// They vanish in Go's ReverseProxy (golang/go#54663, oathkeeper#1255).
func TestQueriesKeepEverything(t *testing.T) {
	got := mapping.ParseValues("b=2&a=100%&ids=1;2&&c")
	want := mapping.Values{{Name: "b", Value: "2"}, {Name: "a", Value: "100%"}, {Name: "ids", Value: "1;2"}, {Name: "c", Value: ""}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
