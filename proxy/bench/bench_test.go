//go:build linux

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/proxy"
	"github.com/banyan-fig/banyan/proxy/route"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What is measured is what the names of the cases say.
func TestRoutes(t *testing.T) {
	_, key, err := newToken()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(keyEnv, key)
	for _, f := range []form{literal, parameter, parameterFirst} {
		for _, n := range []int{fewRoutes, 100} {
			table, err := route.Compile("routes.yaml", []byte(routes(f, n, "127.0.0.1:1", "127.0.0.1:2")), os.LookupEnv)
			if err != nil {
				t.Fatal(err)
			}
			if got := len(table.Routes); got != n {
				t.Errorf("%s: %d routes, want %d", f, got, n)
			}
			p, err := proxy.New(t.Context(), table, proxy.Config{})
			if err != nil {
				t.Fatal(err)
			}
			for shape, name := range map[string]string{legacy: "", forwarded: forwarded, mapped: mapped, withToken: withToken} {
				if d := p.Explain(&route.Request{Method: http.MethodGet, Path: f.path(shape)}, "ann"); d.Route != name || d.Forward != (name != "") {
					t.Errorf("%s %s: %+v", f, shape, d)
				}
			}
			p.Close()
		}
	}
	for _, withCopy := range []bool{false, true} {
		table, err := route.Compile("routes.yaml", []byte(shadowed("127.0.0.1:1", "127.0.0.1:2", withCopy)), os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		if r := table.Routes[0]; r.Mode != route.Legacy || (r.Shadow != nil) != withCopy {
			t.Errorf("with a copy %v: %+v", withCopy, r)
		}
	}
	if got := len(body("new")); got != 1024 {
		t.Errorf("an answer has %d bytes", got)
	}
}

func TestLoop(t *testing.T) {
	l, err := newLoop()
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	api, err := l.listen(answer("old"))
	if err != nil {
		t.Fatal(err)
	}
	target := &url.URL{Scheme: "http", Host: api}
	through := &httputil.ReverseProxy{Transport: &http.Transport{DisableKeepAlives: true}, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	// open returns a load of three clients on a proxy.
	open := func(t *testing.T, h http.Handler) load {
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		what := load{request: request(literal.path(legacy), ""), mark: []byte(marks[legacy])}
		for range 3 {
			client, err := l.dial(server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.remove(client) })
			what.clients = append(what.clients, client)
		}
		return what
	}
	t.Run("answers", func(t *testing.T) {
		what := open(t, through)
		if got, err := l.run(what); err != nil || len(got) != 3 {
			t.Errorf("once: %d answers, %v", len(got), err)
		}
		what.lasts = 50 * time.Millisecond
		if got, err := l.run(what); err != nil || len(got) < 3 {
			t.Errorf("all the time: %d answers, %v", len(got), err)
		}
		what.every = 10 * time.Millisecond
		if got, err := l.run(what); err != nil || len(got) < 1 || len(got) > 5 {
			t.Errorf("at fixed times: %d answers, %v", len(got), err)
		}
	})
	for want, h := range map[string]http.HandlerFunc{
		"502":        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"it lacks":   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body("new")) },
		"was closed": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(want, func(t *testing.T) {
			if _, err := l.run(open(t, h)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
