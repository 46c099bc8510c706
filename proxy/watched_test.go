package proxy_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/proxy"
	"github.com/banyan-fig/banyan/proxy/guard"
	"github.com/banyan-fig/banyan/proxy/override"
	"github.com/banyan-fig/banyan/proxy/route/source"
	"github.com/banyan-fig/banyan/proxy/shadow"
)

// watch is a world with everything that watches a route, whose results go to ended.
func watch(t *testing.T) (w *world, overrides *override.Table, ended chan shadow.Result) {
	ended = make(chan shadow.Result, 100)
	overrides = override.New(override.Config{})
	g := guard.New(guard.Config{Overrides: overrides})
	shadows := shadow.New(shadow.Config{Observe: func(r shadow.Result) { ended <- r }})
	t.Cleanup(shadows.Close)
	w = newWorldWith(t, proxy.Config{Overrides: overrides, Guard: g, Shadow: shadows})
	src, err := os.ReadFile("route/testdata/routes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w.routes = string(src) + `  - name: order
    methods: [GET, POST]
    path: /orders/{id}
    mode: legacy
    public: true
    upstream: new
    shadow: {percent: 100}
    diff: {ignore: [$.at]}
    gate: {comparisons: {2xx: 3}}
    guard: {errors: 1}
    request: {path: "/v1/orders/{id}"}
    response: {body: {id: $.id, total: $.sum, at: $.at}}
`
	w.swap(w.routes)
	return w, overrides, ended
}

// TestShadowComparesAfterTheMapping: what a client gets is the legacy app's, byte for byte,
// whatever the new API does; the difference is told by field, and the gate stays shut for it.
func TestShadowComparesAfterTheMapping(t *testing.T) {
	w, _, ended := watch(t)
	w.old = func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprint(rw, `{"total":10.0, "id":7,"at":1}`)
	}
	sums := []string{`{"id":7,"sum":10,"at":2}`, `{"id":7,"sum":9}`, `<html>`, ""}
	want := []shadow.Outcome{shadow.Equal, shadow.Differs, shadow.Differs, shadow.Differs}
	for i, sum := range sums {
		w.mu.Lock()
		w.new = func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v1/orders/7" || r.Header.Get("Banyan-Shadow") != "1" {
				t.Errorf("the shadow asked for %s with %v", r.URL.Path, r.Header)
			}
			if sum == "" {
				panic(http.ErrAbortHandler)
			}
			rw.Header().Set("Content-Type", "application/json")
			fmt.Fprint(rw, sum)
		}
		w.mu.Unlock()
		got := w.do("GET", "/orders/7", "", "")
		if got.status != 200 || got.body != `{"total":10.0, "id":7,"at":1}` {
			t.Errorf("the client got %d %s", got.status, got.body)
		}
		select {
		case r := <-ended:
			if r.Outcome != want[i] {
				t.Errorf("%q: %v %+v", sum, r.Outcome, r.Differences)
			}
		case <-time.After(time.Minute):
			t.Fatal("nothing was compared")
		}
	}
	report := w.proxy.Report()
	if len(report.Routes) != 1 || report.Routes[0].Gate.Open || report.Routes[0].Diff.Fields[0].Path == "" {
		t.Errorf("%+v", report)
	}
	text, err := json.Marshal(report) // as banyan-proxy report reads it
	var read proxy.Report
	if err = cmp.Or(err, json.Unmarshal(text, &read)); err != nil {
		t.Fatalf("nobody can read the report: %v", err)
	}
	if again, err := json.Marshal(read); err != nil || string(again) != string(text) {
		t.Errorf("the report is read as %s %v, and is %s", again, err, text)
	}
	wait(t, func() bool { return w.proxy.Stats()[4].Legacy >= int64(len(sums)) })
	if n := w.proxy.Stats()[4].Legacy; n != int64(len(sums)) {
		t.Errorf("shadows are counted as %d requests", n)
	}
}

// TestShadowAsksNothingThatIsNotForwarded: a request without a token never reaches the new
// API of a private route, not even as a copy.
func TestShadowAsksNothingThatIsNotForwarded(t *testing.T) {
	w, _, ended := watch(t)
	w.swap(strings.Replace(w.routes, "    mode: legacy\n    public: true\n", "    mode: legacy\n", 1))
	w.new = func(http.ResponseWriter, *http.Request) { t.Error("it was asked") }
	if got := w.do("GET", "/orders/7", "", ""); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	select {
	case r := <-ended:
		if r.Outcome != shadow.Unforwarded {
			t.Errorf("%v %+v", r.Outcome, r.Differences)
		}
	case <-time.After(time.Minute):
		t.Fatal("the copy did not end")
	}
}

// TestOperatorsTurnRoutes: the admin API sets an override, explain says so, and it survives a
// reload; without the token nothing is told.
func TestOperatorsTurnRoutes(t *testing.T) {
	w, _, _ := watch(t)
	w.new = func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, `{"id":7,"sum":1,"at":2}`) }
	admin := httptest.NewServer(proxy.Admin(w.proxy, &proxy.Reloader{Proxy: w.proxy, Source: source.NewFile("none")}, "s3cret"))
	defer admin.Close()
	ask := func(method, path, token, body string) answer {
		req, _ := http.NewRequest(method, admin.URL+path, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+token)
		return w.send(req)
	}
	for _, c := range []struct {
		method, path, token, body string
		want                      int
	}{
		{"GET", "/routes", "guess", "", 401},
		{"GET", "/readyz", "", "", 200},
		{"PUT", "/overrides/order", "s3cret", `{"mode":"forward"}`, 400},
		{"PUT", "/overrides/order", "s3cret", `{"mode":"forward","by":"ann","why":"x","untill":"y"}`, 400},
		{"PUT", "/overrides/order", "s3cret", `{"mode":"forward","by":"ann","why":"x","for":"-1h"}`, 400},
		{"DELETE", "/overrides/order", "s3cret", "", 400},
		{"PUT", "/overrides/nobody", "s3cret", `{"mode":"forward","by":"ann","why":"x"}`, 404},
		{"PUT", "/overrides/order", "s3cret", `{"mode":"forward","by":"ann","why":"a try","for":"2h"}`, 204},
	} {
		if got := ask(c.method, c.path, c.token, c.body); got.status != c.want {
			t.Errorf("%+v: %d %s", c, got.status, got.body)
		}
	}
	w.swap(w.routes + "# reloaded\n")
	var e proxy.Explanation
	_ = json.Unmarshal([]byte(ask("GET", "/explain?path=/orders/7", "s3cret", "").body), &e)
	if !e.Forward || !strings.Contains(e.Reason, "a try") {
		t.Errorf("%+v", e)
	}
	if got := w.do("GET", "/orders/7", "", ""); got.body != `{"id":7,"total":1,"at":2}` {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := ask("DELETE", "/overrides/order?by=ann&why=done", "s3cret", ""); got.status != 204 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := w.do("GET", "/orders/7", "", ""); !strings.HasPrefix(got.body, "old ") {
		t.Errorf("%d %s", got.status, got.body)
	}
}
