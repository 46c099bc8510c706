package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/proxy"
	"github.com/banyan-fig/banyan/proxy/route"
	"github.com/banyan-fig/banyan/proxy/shadow"
)

const shadowedRoutes = `
version: 1
legacy: old
upstreams: {old: {url: "${OLD}"}, shop: {url: "${SHOP}"}}
routes:
  - {name: item, method: GET, path: "/items/{id}", mode: legacy, public: true, upstream: shop, request: {path: "/items/{id}"},
     shadow: {percent: 100}, gate: {comparisons: {2xx: 4}}}
`

// proxyOfFleet is one with its gates kept in a file, as serve has it.
type proxyOfFleet struct {
	admin string
	ask   func()
	end   func()
}

func join(t *testing.T, routes, kept, api string) proxyOfFleet {
	t.Helper()
	table, err := route.Compile("routes.yaml", []byte(routes), func(string) (string, bool) { return api, true })
	if err != nil {
		t.Fatal(err)
	}
	compared := make(chan shadow.Result, 1)
	w := &watchers{shadow: shadow.New(shadow.Config{Observe: func(r shadow.Result) { compared <- r }})}
	w.closers = []func(){w.shadow.Close}
	p, err := proxy.New(t.Context(), table, proxy.Config{Shadow: w.shadow})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.keep(kept, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	front, admin := httptest.NewServer(p), httptest.NewServer(proxy.Admin(p, nil, ""))
	return proxyOfFleet{admin.URL, func() {
		resp, err := front.Client().Get(front.URL + "/items/7")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		select {
		case <-compared:
		case <-time.After(time.Minute):
			t.Fatal("nothing was compared")
		}
	}, func() {
		front.Close()
		admin.Close()
		p.Close()
		w.close()
	}}
}

// TestGateCountsTheFleetAndItsRestarts: the gate of a route opens on what all proxies behind a
// load balancer compared, in this process and those before it; and not on what was compared
// under another mapping.
func TestGateCountsTheFleetAndItsRestarts(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"name": "Tea"}`) }))
	defer api.Close()
	dir := t.TempDir()
	gate := func(code int, want string, admin string, peers ...string) {
		t.Helper()
		var out bytes.Buffer
		args := []string{"report", "--gate", "item", "--admin", admin, "--peers", strings.Join(peers, ",")}
		if len(peers) == 0 {
			args = args[:5]
		}
		if got := newCommand().Execute(t.Context(), args, &out, &out); got != code || !strings.Contains(out.String(), want) {
			t.Errorf("exit code %d, want %d and %q:\n%s", got, code, want, out.String())
		}
	}
	one, two := join(t, shadowedRoutes, filepath.Join(dir, "1"), api.URL), join(t, shadowedRoutes, filepath.Join(dir, "2"), api.URL)
	defer func() { two.end() }()
	one.ask()
	one.ask()
	two.ask()
	gate(3, "3 of 4 comparisons", one.admin, two.admin)
	gate(3, "2 of 4 comparisons", one.admin)
	one.end()
	one = join(t, strings.NewReplacer("mode: legacy", "mode: forward", "routes:", "# moved on\nroutes:").Replace(shadowedRoutes), filepath.Join(dir, "1"), api.URL)
	gate(3, "2 of 4 comparisons", one.admin)
	two.ask()
	gate(0, "item: open", one.admin, two.admin)
	gate(0, "item: open", two.admin, one.admin)
	one.end()
	for _, other := range []string{
		strings.Replace(shadowedRoutes, "shadow:", "response: {body: {name: $.name}}, shadow:", 1),
		strings.Replace(shadowedRoutes, "2xx: 4}", "2xx: 4}, round: 1", 1),
	} {
		one = join(t, other, filepath.Join(dir, "1"), api.URL)
		gate(3, "0 of 4 comparisons", one.admin)
		gate(1, "other rules, another mapping or other sides", one.admin, two.admin)
		one.end()
	}
	gate(2, `no route "item" with shadow`, two.admin, func() string {
		none := join(t, testedRoutes, filepath.Join(dir, "3"), api.URL)
		t.Cleanup(none.end)
		return none.admin
	}())
	gate(1, "cannot reach the proxy", two.admin, one.admin)
}

// TestOperatorsSeeWhatTheyMean: a route of the file has its name in the report, no share is taken
// for granted, and the address that is wrong is named.
func TestOperatorsSeeWhatTheyMean(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"name": "Tea"}`) }))
	defer api.Close()
	one := join(t, shadowedRoutes, filepath.Join(t.TempDir(), "1"), api.URL)
	defer one.end()
	one.ask()
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"report", 0, "\nroute item "},
		{"report --gate item --peers 127.0.0.1:8082", 2, `"127.0.0.1:8082"`},
		{"override item --mode split --why x", 2, "--mode split needs --percent"},
	} {
		var out bytes.Buffer
		code := newCommand().Execute(t.Context(), append(strings.Fields(c.args), "--admin", one.admin), &out, &out)
		if code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: exit code %d, want %d and %q:\n%s", c.args, code, c.code, c.want, out.String())
		}
	}
}
