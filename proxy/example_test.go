package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/banyan-fig/banyan/proxy"
	"github.com/banyan-fig/banyan/proxy/route"
)

// A proxy inside a program of one's own: parse the routes, serve them.
func Example() {
	legacy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "the old API answers %s", r.URL.Path)
	}))
	defer legacy.Close()
	orders := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"id": "7", "createdAt": "2016-11-21T09:00:00Z"}`)
	}))
	defer orders.Close()

	table, err := route.Compile("routes.yaml", []byte(`
version: 1
legacy: old
upstreams:
  old: {url: "${OLD_URL}"}
  orders: {url: "${ORDERS_URL}"}
routes:
  - name: order
    method: GET
    path: /api/orders/{id}
    mode: forward
    public: true
    upstream: orders
    request: {path: "/v1/orders/{id}"}
    response:
      body: {order_id: $.id, created: {from: $.createdAt, convert: unixSeconds}}
`), func(name string) (string, bool) {
		url, ok := map[string]string{"OLD_URL": legacy.URL, "ORDERS_URL": orders.URL}[name]
		return url, ok
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := proxy.New(context.Background(), table, proxy.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	for _, path := range []string{"/api/orders/7", "/api/users/ada"} {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		body, _ := io.ReadAll(w.Result().Body)
		fmt.Println(string(body))
	}
	// Output:
	// {"order_id":"7","created":1479718800}
	// the old API answers /api/users/ada
}

// Errors of a route file name the line and the column.
func Example_mistakes() {
	_, err := route.Compile("routes.yaml", []byte(`version: 1
legacy: old
upstreams:
  old: {url: "localhost"}
`), nil)
	fmt.Println(err)
	var file *route.FileError
	fmt.Println(errors.As(err, &file) && file.Line == 4)
	// Output:
	// routes.yaml:4:14: invalid address "localhost": it must be such as http://127.0.0.1:8080
	// true
}

// Explain says where a request would go, without sending it.
func ExampleProxy_Explain() {
	table, err := route.Compile("routes.yaml", []byte(`
version: 1
legacy: old
upstreams:
  old: {url: "http://127.0.0.1:1"}
  orders: {url: "http://127.0.0.1:2"}
routes:
  - {name: order, path: "/api/orders/{id}", mode: forward, public: true, upstream: orders}
`), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := proxy.New(context.Background(), table, proxy.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	for _, path := range []string{"/api/orders/7", "/api/users"} {
		d := p.Explain(&route.Request{Method: "GET", Path: path}, "")
		fmt.Printf("%s: %s (%s)\n", path, d.Upstream, d.Reason)
	}
	// Output:
	// /api/orders/7: orders (the route's mode is forward)
	// /api/users: old (no route matches: legacy)
}
