package proxy_test

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/banyan-fig/banyan/proxy/route"
)

// TestSpoofedSubjectOfAFront: the header in which a trusted front says who a user is does
// not reach an upstream from anybody else, whatever of it CGI's rules would take for it.
func TestSpoofedSubjectOfAFront(t *testing.T) {
	w := newWorld(t)
	w.old = func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprint(rw, "old ", r.Header["X-User"], r.Header["X_user"])
	}
	w.new = func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprint(rw, "new ", r.Header["X-User"], r.Header["X_user"])
	}
	for trusted, want := range map[string]string{"192.0.2.0/24": "old [] []", "127.0.0.0/8": "new [ada] [eve]"} {
		w.swap(`
version: 1
legacy: old
trustedPeers: [` + trusted + `]
upstreams: {old: {url: "${OLD_URL}"}, new: {url: "${NEW_URL}"}}
subject: {sources: [{header: X-User, trusted: true}]}
routes: [{name: me, path: /me, mode: forward, upstream: new}]
`)
		req, err := http.NewRequest("GET", w.url+"/me", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header["X-User"], req.Header["X_user"] = []string{"ada"}, []string{"eve"}
		if got := w.send(req); got.body != want {
			t.Errorf("trusting %s: %q, want %q", trusted, got.body, want)
		}
	}
}

// TestSessionsOfTheOldSide: whoever the old side says has a session is forwarded, with it;
// others stay, and so does everybody while it does not say.
func TestSessionsOfTheOldSide(t *testing.T) {
	w := newWorld(t)
	var down atomic.Bool
	w.old = func(rw http.ResponseWriter, r *http.Request) {
		c, _ := r.Cookie("session")
		switch {
		case r.URL.Path != "/session":
			fmt.Fprint(rw, "old")
		case down.Load():
			rw.WriteHeader(http.StatusBadGateway)
		case c == nil || !strings.HasPrefix(c.Value, "of-"):
			rw.WriteHeader(http.StatusUnauthorized)
		default:
			fmt.Fprintf(rw, `{"user":{"id":%q}}`, strings.TrimPrefix(c.Value, "of-"))
		}
	}
	w.new = func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprint(rw, "new ", r.URL.EscapedPath(), " ", r.Header.Get("Cookie"))
	}
	w.swap(`
version: 1
legacy: old
upstreams: {old: {url: "${OLD_URL}"}, new: {url: "${NEW_URL}"}}
subject: {sources: [{cookie: session, lookup: {url: "${OLD_URL}/session", subject: /user/id, timeout: 30s}}]}
routes: [{name: me, path: /me, mode: forward, upstream: new, request: {path: "/v1/users/{subject}"}}]
`)
	ask := func(session, want string) {
		t.Helper()
		req, err := http.NewRequest("GET", w.url+"/me", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Cookie", "session="+session)
		if got := w.send(req); got.body != want {
			t.Errorf("session %s: %q, want %q", session, got.body, want)
		}
	}
	ask("of-a/b", "new /v1/users/a%2Fb session=of-a/b")
	who := http.Header{"Cookie": {"session=of-b"}}
	if e := w.proxy.Explain(&route.Request{Method: "GET", Path: "/me", Header: who}, ""); !e.Forward || e.Subject != "b" {
		t.Errorf("the session's request is explained as %+v", e)
	}
	ask("of-..", "old")
	ask("stale", "old")
	down.Store(true)
	ask("of-c", "old")
	ask("of-a/b", "new /v1/users/a%2Fb session=of-a/b")
}

// TestWritesOfUnknownSubjects: a write whose subject cannot be told now, since the sessions or the
// keys of tokens are away, reaches no side, unless the source says so; without a token, or with one that
// is refused, it is the old side's as ever, and so are reads.
func TestWritesOfUnknownSubjects(t *testing.T) {
	w := newWorld(t)
	var writes atomic.Int64
	down := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") == "session=stale" {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		rw.WriteHeader(http.StatusBadGateway)
	}))
	defer down.Close()
	env := w.env
	w.env = func(name string) (string, bool) {
		if name == "DOWN" {
			return down.URL, true
		}
		return env(name)
	}
	side := func(name string) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			if r.Method != "GET" {
				writes.Add(1)
			}
			fmt.Fprint(rw, name)
		}
	}
	w.old, w.new = side("old"), side("new")
	const lookup, jwks = `cookie: session, lookup: {url: "${DOWN}/session", timeout: 30s}`, `jwt: {algorithms: [RS256], keys: [{jwks: "${DOWN}/keys"}]}`
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	bearer := "Bearer " + sign(t, jwt.SigningMethodRS256, key, "ada", time.Hour)
	for _, c := range []struct {
		source, mode, method, header, value string
		want                                string
	}{
		{lookup, "forward", "POST", "Cookie", "session=stale", "old"},
		{lookup, "forward", "POST", "Cookie", "session=of-1", "503"},
		{lookup, "split, percent: 1", "DELETE", "Cookie", "session=of-1", "503"},
		{lookup, "split, percent: 100, public: true", "PUT", "Cookie", "session=of-1", "503"},
		{lookup, "forward", "GET", "Cookie", "session=of-1", "old"},
		{lookup, "forward", "POST", "Cookie", "theme=dark", "old"},
		{lookup, "legacy", "POST", "Cookie", "session=of-1", "old"},
		{lookup, "forward, public: true", "POST", "Cookie", "session=of-1", "new"},
		{lookup + ", writesWhenDown: legacy", "forward", "POST", "Cookie", "session=of-1", "old"},
		{jwks, "forward", "POST", "Authorization", bearer, "503"},
		{jwks, "forward", "GET", "Authorization", bearer, "old"},
		{jwks, "forward", "POST", "Authorization", "Bearer opaque", "old"},
		{jwks + ", writesWhenDown: legacy", "forward", "POST", "Authorization", bearer, "old"},
		{jwks + "}, {" + lookup, "forward", "POST", "Cookie", "session=of-1", "503"},
	} {
		w.swap(`
version: 1
legacy: old
upstreams: {old: {url: "${OLD_URL}"}, new: {url: "${NEW_URL}"}}
cohorts: {keyEnv: COHORT_KEY}
subject: {sources: [{` + c.source + `}]}
routes: [{name: me, path: /me, mode: ` + c.mode + `, upstream: new}]
`)
		req, err := http.NewRequest(c.method, w.url+"/me", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(c.header, c.value)
		before := writes.Load()
		got := w.send(req)
		refused := got.status == http.StatusServiceUnavailable
		if said := got.body; !refused && said != c.want || refused != (c.want == "503") || refused != (got.header.Get("Retry-After") != "") {
			t.Errorf("%s, mode %s, %s with %s: %d %s, want %s", c.source, c.mode, c.method, c.value, got.status, said, c.want)
		}
		if refused && writes.Load() != before {
			t.Errorf("%s with %s: refused, and sent", c.method, c.value)
		}
		r := &route.Request{Method: c.method, Path: "/me", Header: req.Header, Client: "127.0.0.1"}
		if e := w.proxy.Explain(r, ""); strings.Contains(e.Reason, "503") != refused {
			t.Errorf("%s with %s: explained as %q", c.method, c.value, e.Reason)
		}
	}
	if s := w.proxy.Stats()[0]; s.Causes["undecided"] != 5 {
		t.Errorf("%+v", s)
	}
}
