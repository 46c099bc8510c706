package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/proxy"
	"github.com/banyan-fig/banyan/proxy/route"
)

const testedRoutes = `
version: 1
legacy: old
upstreams: {old: {url: "${NOT_SET_OLD}"}, shop: {url: "${NOT_SET_SHOP}"}}
routes:
  - {name: item, method: GET, path: "/items/{id}", mode: forward, public: true, upstream: shop, response: {body: {title: $.name}}}
`

const testedCase = `request: |
  GET /items/7 HTTP/1.1
behind:
  - upstream: shop
    answer: |
      HTTP/1.1 200 OK

      {"name": "Tea"}
answer: |
  HTTP/1.1 200 OK

  {"title": "Coffee"}
`

// TestTestSaysWhatDiffers runs the verb as a build would: it fails by field, passes once the
// case is updated, and refuses a wrong file by line.
func TestTestSaysWhatDiffers(t *testing.T) {
	dir := t.TempDir()
	routes, one := filepath.Join(dir, "routes.yml"), filepath.Join(dir, "one.yaml")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(routes, testedRoutes)
	write(one, testedCase)
	run := func(code int, want string, args ...string) {
		t.Helper()
		var out bytes.Buffer
		if got := newCommand().Execute(t.Context(), append([]string{"test", routes}, args...), &out, &out); got != code || !strings.Contains(out.String(), want) {
			t.Errorf("%v: exit code %d, want %d and %q:\n%s", args, got, code, want, out.String())
		}
	}
	run(1, `one.yaml: answer: $.title: expected "Coffee", got "Tea"`, dir)
	run(0, "one.yaml: updated", dir, "--update")
	run(0, "cases: 1, failed: 0", one)
	write(one, strings.Replace(testedCase, "200 OK\n\n      {", "nothing\n\n      {", 1))
	run(2, `one.yaml:6:`, dir)
	write(routes, testedRoutes+"  - {nome: x}\n")
	run(2, "routes.yml:7:", dir)
}

// TestRecordThenTest records from a proxy under traffic, twice into one directory, and plays
// what was recorded.
func TestRecordThenTest(t *testing.T) {
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"name": "Tea"}`) }))
	defer shop.Close()
	table, err := route.Compile("routes.yaml", []byte(testedRoutes), func(string) (string, bool) { return shop.URL, true })
	if err != nil {
		t.Fatal(err)
	}
	p, err := proxy.New(t.Context(), table, proxy.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	front, admin := httptest.NewServer(p), httptest.NewServer(proxy.Admin(p, nil, "secret"))
	defer front.Close()
	defer admin.Close()
	dir := t.TempDir()
	routes := filepath.Join(dir, "routes.yml")
	if err := os.WriteFile(routes, []byte(testedRoutes), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for range 2 {
		ended := make(chan int)
		go func() {
			ended <- newCommand().Execute(t.Context(), []string{"record", "item", dir, "--cases", "2", "--admin", admin.URL, "--token", "secret"}, &out, &out)
		}()
		for code := -1; code < 0; {
			if resp, err := front.Client().Get(front.URL + "/items/7"); err == nil {
				resp.Body.Close()
			}
			select {
			case code = <-ended:
			default:
			}
		}
	}
	if code := newCommand().Execute(t.Context(), []string{"test", routes, dir}, &out, &out); code != 0 || !strings.Contains(out.String(), "cases: 4, failed: 0") {
		t.Errorf("exit code %d:\n%s", code, out.String())
	}
}

// TestAdminTokenThatIsNone: a placeholder does not open the operators' address.
func TestAdminTokenThatIsNone(t *testing.T) {
	routes := filepath.Join(t.TempDir(), "routes.yaml")
	if err := os.WriteFile(routes, []byte("version: 1\nlegacy: old\nupstreams: {old: {url: \"http://127.0.0.1:9\"}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	args := []string{"serve", "--routes", routes, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--admin-token", "unset"}
	if got := newCommand().Execute(t.Context(), args, &out, &out); got != 2 || !strings.Contains(out.String(), "needs 16") {
		t.Errorf("exit code %d: %s", got, out.String())
	}
}
