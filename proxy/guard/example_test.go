package guard_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/banyan-fig/banyan/proxy"
	"github.com/banyan-fig/banyan/proxy/guard"
	"github.com/banyan-fig/banyan/proxy/observation"
	"github.com/banyan-fig/banyan/proxy/override"
	"github.com/banyan-fig/banyan/proxy/route"
)

// A new API that fails, and a fallback that hides it from clients but not from the guard: while
// the legacy app cannot answer either the route stays, and then it goes back.
func Example() {
	legacyFails := true
	legacy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if legacyFails {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer legacy.Close()
	orders := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
	}))
	defer orders.Close()
	table, err := route.Compile("routes.yaml", []byte(`
version: 1
legacy: old
upstreams:
  old: {url: "${OLD}"}
  orders: {url: "${ORDERS}"}
routes:
  - {name: order, method: GET, path: "/orders/{id}", mode: forward, public: true, upstream: orders}
`), func(name string) (string, bool) {
		return map[string]string{"OLD": legacy.URL, "ORDERS": orders.URL}[name], true
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	overrides := override.New(override.Config{})
	g := guard.New(guard.Config{Overrides: overrides})
	if err := g.SetBudgets(map[string]guard.Budget{"order": {Errors: 1}}); err != nil {
		fmt.Println(err)
		return
	}
	p, err := proxy.New(context.Background(), table, proxy.Config{Overrides: overrides, Sinks: []observation.Sink{g}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	second := func() (status int) {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest("GET", "/orders/7", nil))
		g.Check() // as Run does each second
		return w.Code
	}
	for range 60 {
		second()
	}
	_, turned := overrides.Of("order")
	fmt.Println("while both fail:", second(), turned)
	legacyFails = false
	for range 10 {
		second()
	}
	o, _ := overrides.Of("order")
	fmt.Println("while the new one fails:", second(), o.Mode)
	fmt.Println(o.Why)
	// Output:
	// while both fail: 503 false
	// while the new one fails: 200 legacy
	// errors: 100% of the requests failed in the last half minute; 1 more of 100 are allowed
}
