package mapping_test

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/proxy/mapping"
)

// TestLanguage runs the examples of language.md, which have a template, a body and what is
// made of it, or the reason why the template is refused.
func TestLanguage(t *testing.T) {
	page, err := os.ReadFile("language.md")
	if err != nil {
		t.Fatal(err)
	}
	client, err := mapping.DecodeBody("", []byte(`{"name": "Ada"}`))
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("^\\| `(.+?)` \\| (`(.+?)`|refused) \\| `(.+?)` \\|$")
	examples, inTable := 0, false
	for line := range strings.Lines(string(page)) {
		line = strings.TrimSpace(line)
		if inTable = line == "| template | the body | gives |" || inTable && strings.HasPrefix(line, "|"); !inTable || !strings.HasPrefix(line, "| `") {
			continue
		}
		row := example.FindStringSubmatch(line)
		if row == nil {
			t.Errorf("this row cannot be tried: %s", line)
			continue
		}
		examples++
		src := strings.ReplaceAll(row[1], `\|`, "|")
		m, err := mapping.Compile(node(t, src), inAnswer)
		if row[2] == "refused" {
			if err == nil || !strings.Contains(err.Error(), row[4]) {
				t.Errorf("%s is not refused with %q but: %v", src, row[4], err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		b, _ := mapping.DecodeBody("", []byte(row[3]))
		got, err := m.AppendJSON(nil, &mapping.Scope{
			Body: b, Request: client, Subject: "u1", Status: 404, Method: "GET", Params: mapping.Values{{Name: "id", Value: "7"}},
			Query:  mapping.ParseValues("count=10&tag=a&tag=b&q="),
			Header: http.Header{"X-Total": {"41"}, "Set-Cookie": {"sid=s1; Path=/"}},
		})
		if err != nil || string(got) != row[4] {
			t.Errorf("%s\nof %s\nis %s, %v,\nnot %s", src, row[3], got, err, row[4])
		}
	}
	if examples < 40 {
		t.Errorf("only %d examples were found", examples)
	}
	_, err = mapping.Compile(node(t, "{from: unknown}"), inAnswer)
	_, names, _ := strings.Cut(err.Error(), "functions are ")
	names, _, _ = strings.Cut(names, "\n")
	for _, name := range regexp.MustCompile(`[a-zA-Z0-9]+`).FindAllString(names, -1) {
		if !strings.Contains(string(page), "`"+name+"(") {
			t.Errorf("the function %s is not in language.md", name)
		}
	}
}
