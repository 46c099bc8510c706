package cases_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/proxy"
	"github.com/banyan-fig/banyan/proxy/cases"
	"github.com/banyan-fig/banyan/proxy/override"
	"github.com/banyan-fig/banyan/proxy/route"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const routes = `
version: 1
legacy: old
upstreams: {old: {url: "https://old.example/app"}, shop: {url: "${SHOP_URL}/base"}}
subject: {jwtSecretEnv: SECRET}
cohorts: {keyEnv: SECRET}
routes:
  - name: item
    method: GET
    path: /items/{id}
    mode: split
    percent: 0
    upstream: shop
    fallback: legacy
    request: {path: "/v1/{subject}/items/{id}", headers: {X-Kind: old}}
    response: {status: 203, body: {title: $.name, price: $.cents / 100}}
`

const good = `# What Ada sees.
subject: ada
mode: forward
request: |
  GET /items/7?x=1;2 HTTP/1.1
  Host: api.example
  Authorization: Bearer (removed)
behind:
  - upstream: shop
    request: |
      GET /v1/ada/items/7?x=1;2 HTTP/1.1
      Host: shop.example
      X-Kind: old
      Banyan-Read-After:
    answer: |
      HTTP/1.1 200 OK
      Content-Type: application/json

      {"name": "Tea", "cents": 1999}
answer: |
  HTTP/1.1 203 Non-Authoritative Information
  Content-Type: application/json

  {"price": 19.99, "title": "Tea"}
`

func open(ctx context.Context, t *route.Table, o *override.Table) (http.Handler, func(), error) {
	p, err := proxy.New(ctx, t, proxy.Config{Overrides: o})
	if err != nil {
		return nil, nil, err
	}
	return p, p.Close, nil
}

func run(t *testing.T, src string) (differences []string, got *cases.Case) {
	t.Helper()
	table, err := route.Compile("routes.yaml", []byte(routes), func(name string) (string, bool) {
		return map[string]string{"SHOP_URL": "http://shop.example", "SECRET": strings.Repeat("k", 32)}[name], true
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := cases.Parse("case.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	result, err := cases.Run(t.Context(), table, c, open)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range result.Differences {
		differences = append(differences, d.String())
	}
	return differences, result.Got
}

// TestDifferencesByField changes a case that holds, and holds what is said of it; with what was
// got in their place, each holds again.
func TestDifferencesByField(t *testing.T) {
	for name, test := range map[string]struct {
		from, to string
		want     []string
	}{
		"none":     {},
		"a value":  {"19.99", "20", []string{"answer: $.price: expected 20, got 19.99"}},
		"digits":   {"19.99", "19.990", []string{"answer: $.price: expected 19.990, got 19.99"}},
		"a member": {`, "title": "Tea"`, "", []string{`answer: $.title: unexpected "Tea"`}},
		"status":   {"203 Non-Authoritative Information", "200 OK", []string{"answer: status: expected 200, got 203"}},
		"a header": {"X-Kind: old", "X-Kind: new", []string{"behind[0].request: header:X-Kind: expected new, got old"}},
		"the target": {"/v1/ada/items/7?x", "/v1/ada/items/8?x",
			[]string{"behind[0].request: target: expected /v1/ada/items/8?x=1;2, got /v1/ada/items/7?x=1;2"}},
		"the file's mode":  {"mode: forward\n", "", []string{"behind[0]: upstream: expected shop, got old"}},
		"an upstream more": {"200 OK\n      Content", "503 Busy\n      Content", []string{"behind[1]: upstream: unexpected old"}},
	} {
		t.Run(name, func(t *testing.T) {
			differences, got := run(t, strings.Replace(good, test.from, test.to, 1))
			if !slices.Equal(differences, test.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(differences, "\n"), strings.Join(test.want, "\n"))
			}
			if got == nil {
				return
			}
			updated, err := got.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if again, _ := run(t, string(updated)); again != nil || !strings.HasPrefix(string(updated), "# What Ada sees.\n") {
				t.Errorf("as updated, it still differs: %v\n%s", again, updated)
			}
		})
	}
}

func TestMistakesHaveTheirLine(t *testing.T) {
	for _, test := range []struct{ from, to, want string }{
		{"subject: ada", "subjekt: ada", "case.yaml:2:1: unknown field"},
		{"203 Non", "twenty Non", "case.yaml:21:"},
		{"X-Kind: old", "X-Kind old", "case.yaml:13:"},
		{"mode: forward", "mode: new", "case.yaml:1:1: invalid mode"},
		{"GET /items/7?x=1;2 HTTP/1.1", "GET", "case.yaml:5:"},
		{"upstream: shop", "upstream: {", "case.yaml:"},
		{"\nanswer: |", "\nreply: |", "case.yaml:20:1: unknown field"},
	} {
		_, err := cases.Parse("case.yaml", []byte(strings.Replace(good, test.from, test.to, 1)))
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%q: got %v, want %s", test.to, err, test.want)
		}
	}
}

// FuzzCase: what can be written is read as the same.
func FuzzCase(f *testing.F) {
	f.Add([]byte(good), "{}\n")
	f.Add([]byte(good), " a\r\n\n# b\n\n")
	f.Fuzz(func(t *testing.T, src []byte, body string) {
		c, err := cases.Parse("case.yaml", src)
		if err != nil {
			return
		}
		c.Answer.Body = body
		written, err := c.Marshal()
		if err != nil {
			return
		}
		if again, err := cases.Parse("case.yaml", written); err != nil || again.Answer.Body != body {
			t.Errorf("%v, %q became\n%s", err, body, written)
		}
	})
}
