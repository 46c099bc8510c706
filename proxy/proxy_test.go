package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/proxy"
	"github.com/banyan-fig/banyan/proxy/route"
	"github.com/banyan-fig/banyan/proxy/route/source"
)

const secret = "0123456789abcdef0123456789abcdef"

func testEnv(extra map[string]string) func(string) (string, bool) {
	env := map[string]string{"SECRET": secret, "COHORT_KEY": "a key that no client has"}
	maps.Copy(env, extra)
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

func TestMain(m *testing.M) {
	// net/http's server closes some connections half, and then waits for half a second.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// world is a proxy before an old and a new side that a test scripts.
type world struct {
	t        *testing.T
	mu       sync.Mutex
	old, new http.HandlerFunc
	proxy    *proxy.Proxy
	url      string
	routes   string
	env      func(string) (string, bool)
}

func newWorld(t *testing.T) *world { return newWorldWith(t, proxy.Config{}) }

func newWorldWith(t *testing.T, cfg proxy.Config) *world {
	w := &world{t: t}
	w.old = func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, "old ", r.URL.RequestURI()) }
	w.new = func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, `{"id":"7"}`) }
	side := func(h *http.HandlerFunc) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			w.mu.Lock()
			serve := *h
			w.mu.Unlock()
			serve(rw, r)
		}
	}
	start := func(h http.HandlerFunc) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	}
	oldURL := start(side(&w.old))
	newURL := start(side(&w.new))
	w.env = testEnv(map[string]string{"OLD_URL": oldURL, "NEW_URL": newURL})
	src, err := os.ReadFile("route/testdata/routes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if w.proxy, err = proxy.New(t.Context(), w.compile(string(src)), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.proxy.Close)
	w.url = start(w.proxy.ServeHTTP)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return w
}

func (w *world) compile(src string) *route.Table {
	w.t.Helper()
	table, err := route.Compile("routes.yaml", []byte(src), w.env)
	if err != nil {
		w.t.Fatal(err)
	}
	return table
}

func (w *world) swap(src string) {
	w.t.Helper()
	if err := w.proxy.Swap(w.t.Context(), w.compile(src)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) percent(p int) {
	src, _ := os.ReadFile("route/testdata/routes.yaml")
	w.swap(strings.Replace(string(src), "percent: 50", fmt.Sprintf("percent: %d", p), 1))
}

func token(t *testing.T, subject string) string {
	t.Helper()
	return sign(t, jwt.SigningMethodHS256, []byte(secret), subject, time.Hour)
}

func sign(t *testing.T, method jwt.SigningMethod, key any, subject string, life time.Duration) string {
	t.Helper()
	claims := jwt.RegisteredClaims{Subject: subject, ExpiresAt: jwt.NewNumericDate(time.Now().Add(life))}
	s, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (w *world) do(method, path, subject, body string) answer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if body == "" {
		req.Body, req.ContentLength = nil, 0
	}
	if subject != "" {
		req.Header.Set("Authorization", "Bearer "+token(w.t, subject))
	}
	return w.send(req)
}

func (w *world) send(req *http.Request) answer {
	w.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

func TestLegacyIsByteForByte(t *testing.T) {
	w := newWorld(t)
	payload := bytes.Repeat([]byte("\x00\xff{}\r\n"), 10_000)
	w.old = func(rw http.ResponseWriter, r *http.Request) {
		if r.RequestURI != "/a%2Fb//c/../d?x=1;y=%zz" {
			t.Errorf("the legacy side saw %q", r.RequestURI)
		}
		got, _ := io.ReadAll(r.Body)
		rw.Header()["X-Odd"] = []string{"a", "b"}
		rw.Header().Set("Content-Type", "text/x-legacy")
		rw.WriteHeader(418)
		_, _ = rw.Write(got)
	}
	got := w.do("POST", "/a%2Fb//c/../d?x=1;y=%zz", "ann", string(payload))
	if got.status != 418 || got.body != string(payload) || got.header.Get("Content-Type") != "text/x-legacy" || len(got.header["X-Odd"]) != 2 {
		t.Errorf("status %d, %d bytes, header %v", got.status, len(got.body), got.header)
	}
	w.old = func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, r.RequestURI) }
	if got := w.do("GET", "/a%2Fb//c?x=1&y=%20", "", ""); got.body != "/a%2Fb//c?x=1&y=%20" {
		t.Errorf("the legacy side saw %q", got.body)
	}
}

func TestForwardMapsBothWays(t *testing.T) {
	w := newWorld(t)
	w.percent(100)
	var seen string
	w.new = func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		seen = r.Method + " " + r.URL.RequestURI() + " " + string(b)
		switch r.URL.Path {
		case "/v1/timelines/ann":
			fmt.Fprint(rw, `{"items":[{"postId":"p1","publishedAt":"2016-04-01T12:00:00.5Z"},{"postId":"<p2>","publishedAt":"2016-04-01T12:00:00Z"}],"nextCursor":"n"}`)
		case "/v1/users/404":
			rw.WriteHeader(404)
			fmt.Fprint(rw, `{"title":"no such user","status":404}`)
		default:
			fmt.Fprint(rw, `{"id":12345678901234567890,"name":"A & B"}`)
		}
	}
	for _, c := range []struct{ method, path, body, sees, answers string }{
		{"GET", "/api/v1/timeline?count=5&before=x", "", "GET /v1/timelines/ann?limit=5&cursor=x ", `{"status":"ok","data":{"posts":[` +
			`{"post_id":"p1","created_ts":1459512000500},{"post_id":"<p2>","created_ts":1459512000000}],"next":"n"}}`},
		{"GET", "/api/v1/timeline", "", "GET /v1/timelines/ann?limit=20 ", ""},
		{"GET", "/api/v1/users/a%2Fb", "", "GET /v1/users/a%2Fb ", `{"user":{"user_id":12345678901234567890,"name":"A & B","price":"$5"}}`},
		{"GET", "/api/v1/users/404", "", "GET /v1/users/404 ", `{"title":"no such user","status":404}`},
		{"PUT", "/api/v1/users/me", `{"display_name":"Ann","junk":1}`, `PATCH /v1/users/ann {"name":"Ann"}`, ""},
		{"GET", "/assets/css/a.css?v=1", "", "GET /assets/css/a.css?v=1 ", ""},
	} {
		got := w.do(c.method, c.path, "ann", c.body)
		if seen != c.sees {
			t.Errorf("%s %s: the new API saw %q, want %q", c.method, c.path, seen, c.sees)
		}
		if c.answers != "" && got.body != c.answers {
			t.Errorf("%s %s: answered %s\nwant %s", c.method, c.path, got.body, c.answers)
		}
	}
}

// A body that cannot be mapped is the client's error, and nothing is sent on.
func TestBodyThatCannotBeMapped(t *testing.T) {
	w := newWorld(t)
	w.new = func(http.ResponseWriter, *http.Request) { t.Error("sent on") }
	for body, want := range map[string]int{`{"display_name":`: 400, "not json": 400, `{"a":"` + strings.Repeat("x", 1<<20) + `"}`: 413} {
		got := w.do("PUT", "/api/v1/users/me", "ann", body)
		if got.status != want || !strings.Contains(got.body, `"code":"unavailable"`) {
			t.Errorf("%.20q: %d %s", body, got.status, got.body)
		}
	}
}

// TestBodyThatIsNotSent: where the mapping does not send the body that came, nobody waits for it; a
// short one leaves the connection to the next request, and an API that never answers is given up.
func TestBodyThatIsNotSent(t *testing.T) {
	w := newWorld(t)
	w.new = func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/hangs" {
			<-r.Context().Done()
		}
		fmt.Fprintf(rw, "%s %d %q %q", r.Method, r.ContentLength, body, r.Header["Content-Type"])
	}
	w.swap(`
version: 1
legacy: old
upstreams: {old: {url: "${OLD_URL}"}, new: {url: "${NEW_URL}"}}
routes:
  - {name: a, path: /a, mode: forward, upstream: new, public: true, request: {body: null}}
  - {name: b, method: POST, path: /b, mode: forward, upstream: new, public: true, request: {method: DELETE}}
  - {name: hangs, path: /hangs, mode: forward, upstream: new, public: true, request: {body: null}, timeouts: {firstByte: 20ms, idle: 1h}}
`)
	for path, want := range map[string]string{"/a": `200 POST 0 "" []`, "/b": `200 DELETE 0 "" []`, "/hangs": "504 "} {
		for size, last := range map[int]bool{0: false, 100: false, 100_000: true} {
			req, err := http.NewRequest("POST", w.url+path, strings.NewReader(strings.Repeat("a", size)))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if got := fmt.Sprint(resp.StatusCode, " ", string(body)); !strings.HasPrefix(got, want) || resp.Close != last {
				t.Errorf("%s with %d bytes: %s, want %s; the connection's last: %v", path, size, got, want, resp.Close)
			}
		}
	}
}

// lura#295, skipper#3340: what happens on the new side must not change what a
// client gets. A safe request is answered by the legacy side whatever the new
// API does.
func TestSafeRequestsFallBack(t *testing.T) {
	w := newWorld(t)
	done := make(chan struct{})
	defer close(done)
	for name, h := range map[string]http.HandlerFunc{
		"error": func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(503) },
		"crash": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"hang": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-done:
			}
		},
		"short": func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "100")
			fmt.Fprint(rw, `{"id":`)
		},
	} {
		w.mu.Lock()
		w.new = h
		w.mu.Unlock()
		if got := w.do("GET", "/api/v1/users/7", "ann", ""); got.status != 200 || got.body != "old /api/v1/users/7" {
			t.Errorf("%s: %d %.80s", name, got.status, got.body)
		}
	}
	wait(t, func() bool { return w.proxy.Stats()[1].Legacy == 4 }) // an exchange is counted when its answer is out
	if stats := w.proxy.Stats()[1]; stats.FellBack != 4 || stats.Forwarded != 0 || stats.Failed != 0 {
		t.Errorf("stats %+v", stats)
	}
}

// An answer that cannot be mapped is no upstream that failed: no fallback hides it. The client
// of a write gets the answer as it is, since the write took effect.
func TestAnswersThatCannotBeMapped(t *testing.T) {
	w := newWorld(t)
	answers := map[string]http.HandlerFunc{
		"garbage": func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "<html>") },
		"huge":    func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(rw, io.LimitReader(zeros{}, 3<<20)) },
	}
	src, _ := os.ReadFile("route/testdata/routes.yaml")
	w.swap(string(src) + `  - {name: create, method: POST, path: /api/v1/users, mode: forward, upstream: new, response: {body: {id: $.id}}}
`)
	for name, h := range answers {
		w.mu.Lock()
		w.new = h
		w.mu.Unlock()
		if got := w.do("GET", "/api/v1/users/7", "ann", ""); got.status != 502 || !strings.Contains(got.body, `"code":"unavailable"`) {
			t.Errorf("%s: %d %.80s", name, got.status, got.body)
		}
		if got := w.do("POST", "/api/v1/users", "ann", "{}"); got.status != 200 || len(got.body) != 6 && len(got.body) != 3<<20 {
			t.Errorf("%s: a write is answered by %d %.80q, of %d bytes", name, got.status, got.body, len(got.body))
		}
	}
	const unmapped = "answer-unmappable"
	wait(t, func() bool { // an exchange is counted when its answer is out
		all := w.proxy.Stats()
		reads, writes := all[1], all[4]
		return reads.Failed == 2 && writes.Forwarded == 2 && reads.Causes[unmapped] == 2 && writes.Causes[unmapped] == 2
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// An unsafe request may have had its effect: it is never sent twice.
func TestUnsafeRequestsDoNotFallBack(t *testing.T) {
	w := newWorld(t)
	var news, olds atomic.Int32
	w.new = func(http.ResponseWriter, *http.Request) { news.Add(1); panic(http.ErrAbortHandler) }
	w.old = func(http.ResponseWriter, *http.Request) { olds.Add(1) }
	got := w.do("PUT", "/api/v1/users/me", "ann", `{"display_name":"x"}`)
	if got.status != 502 || news.Load() != 1 || olds.Load() != 0 || !strings.Contains(got.body, `"code":"unavailable"`) {
		t.Errorf("%d %s; new side asked %d times, old %d", got.status, got.body, news.Load(), olds.Load())
	}
}

func TestWithoutAValidTokenLegacyAnswers(t *testing.T) {
	w := newWorld(t)
	w.percent(100)
	w.new = func(http.ResponseWriter, *http.Request) { t.Error("forwarded") }
	expired := sign(t, jwt.SigningMethodHS256, []byte(secret), "ann", -time.Hour)
	forever, _ := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{Subject: "ann"}).SignedString([]byte(secret))
	other := sign(t, jwt.SigningMethodHS256, []byte(secret+"x"), "ann", time.Hour)
	none := sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "ann", time.Hour)
	for _, auth := range []string{"", "Bearer", "Bearer x", "Basic YTpi", "Bearer " + expired, "Bearer " + forever, "Bearer " + other, "Bearer " + none} {
		req, _ := http.NewRequest("GET", w.url+"/api/v1/timeline", nil)
		req.Header.Set("Authorization", auth)
		if got := w.send(req); got.body != "old /api/v1/timeline" {
			t.Errorf("%.20s: %s", auth, got.body)
		}
	}
}

// The cohort only grows with the percentage, is of about its size, and a
// client's own headers do not move it.
func TestCohortIsMonotone(t *testing.T) {
	w := newWorld(t)
	const subjects = 4000
	in := map[string]bool{}
	for _, p := range []int{0, 1, 10, 50, 99, 100} {
		w.percent(p)
		n := 0
		for i := range subjects {
			s := fmt.Sprintf("user-%d", i)
			d := w.proxy.Explain(&route.Request{Method: "GET", Path: "/api/v1/timeline"}, s)
			if in[s] && !d.Forward {
				t.Fatalf("%s left the cohort at %d percent", s, p)
			}
			if in[s] = d.Forward; d.Forward {
				n++
			}
		}
		if share := float64(n) / subjects * 100; share < float64(p)-3 || share > float64(p)+3 {
			t.Errorf("at %d percent %.1f percent are in", p, share)
		}
	}
}

func TestReadsFollowWrites(t *testing.T) {
	w := newWorld(t)
	w.percent(100)
	first, second := events.Position{Sequence: "100", Sub: 1}, events.Position{Sequence: "101"}
	w.old = func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			rw.Header().Set(events.HeaderWritten, r.URL.Query().Get("at"))
		}
		fmt.Fprint(rw, "old")
	}
	var applied atomic.Value
	applied.Store(first)
	var asked atomic.Value
	w.new = func(rw http.ResponseWriter, r *http.Request) {
		after := r.Header.Get(events.HeaderReadAfter)
		asked.Store(after)
		if p, _ := events.ParsePosition(after); applied.Load().(events.Position).Before(p) {
			rw.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		fmt.Fprint(rw, `{"items":[]}`)
	}
	read := func() string { return w.do("GET", "/api/v1/timeline", "ann", "").body }
	const fresh = `{"status":"ok","data":{"posts":[],"next":""}}`

	if got := read(); got != fresh || asked.Load() != "" {
		t.Errorf("before any write: %s, asked for %q", got, asked.Load())
	}
	wrote := w.do("POST", "/api/v1/posts?at="+second.String(), "ann", "{}")
	if wrote.header.Get(events.HeaderWritten) != "" {
		t.Error("the client was shown the proxy's own header")
	}
	if got := read(); got != "old" || asked.Load() != second.String() {
		t.Errorf("behind: %s, asked for %q", got, asked.Load())
	}
	if w.do("GET", "/api/v1/timeline", "bob", ""); asked.Load() != "" {
		t.Errorf("another subject's read asked for %q", asked.Load())
	}
	applied.Store(second)
	if got := read(); got != fresh || asked.Load() != second.String() {
		t.Errorf("caught up: %s, asked for %q", got, asked.Load())
	}
	if read(); asked.Load() != "" {
		t.Errorf("still asks for %q", asked.Load())
	}
}

// A client can neither pretend a position nor speak for another address.
func TestClientHeadersAreNotTrusted(t *testing.T) {
	w := newWorld(t)
	w.percent(100)
	for path, side := range map[string]*http.HandlerFunc{"/x": &w.old, "/api/v1/timeline": &w.new} {
		var got http.Header
		*side = func(rw http.ResponseWriter, r *http.Request) { got = r.Header; fmt.Fprint(rw, `{"items":[]}`) }
		req, _ := http.NewRequest("GET", w.url+path, nil)
		req.Header.Set("Authorization", "Bearer "+token(t, "ann"))
		for k, v := range map[string]string{
			events.HeaderReadAfter: "1", "X-Forwarded-For": "10.9.9.9", "X-Forwarded-Host": "evil", "Connection": "X-Secret",
			"X-Secret": "s", "Upgrade": "h2c",
		} {
			req.Header.Set(k, v)
		}
		w.send(req)
		for _, k := range []string{events.HeaderReadAfter, "X-Secret", "Upgrade"} {
			if got.Get(k) != "" {
				t.Errorf("%s: %s passed as %q", path, k, got.Get(k))
			}
		}
		if ff := got.Get("X-Forwarded-For"); ff != "127.0.0.1" || got.Get("X-Forwarded-Host") == "evil" {
			t.Errorf("%s: X-Forwarded-For %q, X-Forwarded-Host %q", path, ff, got.Get("X-Forwarded-Host"))
		}
		if got.Get("X-Correlation-Id") == "" {
			t.Errorf("%s: no correlation in %v", path, got)
		}
	}
}

// Tables are swapped a hundred times under traffic: no request fails, and a
// broken file in between leaves the last good routes in force.
func TestHotReloadUnderTraffic(t *testing.T) {
	w := newWorld(t)
	w.new = func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, `{"items":[]}`) }
	for _, k := range []string{"OLD_URL", "NEW_URL", "SECRET", "COHORT_KEY"} {
		v, _ := w.env(k)
		t.Setenv(k, v)
	}
	good, _ := os.ReadFile("route/testdata/routes.yaml")
	path := filepath.Join(t.TempDir(), "routes.yaml")
	write := func(b string) {
		tmp := path + ".new"
		if os.WriteFile(tmp, []byte(b), 0o600) != nil || os.Rename(tmp, path) != nil {
			t.Fatal("cannot write the route file")
		}
	}
	write(string(good))
	reloader := &proxy.Reloader{Proxy: w.proxy, Source: source.NewFile(path), Every: 2 * time.Millisecond}
	if _, err := reloader.First(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { reloader.Run(ctx) })
	stop := make(chan struct{})
	for i := range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got := w.do("GET", "/api/v1/timeline", fmt.Sprint("user", i), ""); got.status != 200 {
					t.Errorf("status %d: %s", got.status, got.body)
					return
				}
			}
		})
	}
	for i := range 100 {
		write(strings.Replace(string(good), "percent: 50", fmt.Sprintf("percent: %d", i), 1))
		wait(t, func() bool { return w.proxy.Stats()[0].Percent == float64(i) })
	}
	write("version: 1\nnonsense")
	wait(t, func() bool { return reloader.State().Refused != "" })
	if why := reloader.State().Refused; !strings.Contains(why, path+":2:1:") {
		t.Errorf("the error names no place: %s", why)
	}
	if p := w.proxy.Stats()[0].Percent; p != 99 {
		t.Errorf("in force: %v percent, want the last good 99", p)
	}
	write(strings.Replace(string(good), "percent: 50", "percent: 7", 1))
	wait(t, func() bool { return w.proxy.Stats()[0].Percent == 7 && reloader.State().Refused == "" })
	close(stop)
	cancel()
	wg.Wait()
}

// A route file that is found half written is valid and lacks routes: it is not put in force.
func TestHalfWrittenRouteFileDropsNoRoutes(t *testing.T) {
	w := newWorld(t)
	for _, k := range []string{"OLD_URL", "NEW_URL", "SECRET", "COHORT_KEY"} {
		v, _ := w.env(k)
		t.Setenv(k, v)
	}
	whole, _ := os.ReadFile("route/testdata/routes.yaml")
	half, _, _ := strings.Cut(string(whole), "  - name: rename")
	if table, err := route.Compile("half", []byte(half), w.env); err != nil || len(table.Routes) != 2 {
		t.Fatalf("half a file must be valid to be of use here: %v", err)
	}
	path := filepath.Join(t.TempDir(), "routes.yaml")
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	reloader := &proxy.Reloader{Proxy: w.proxy, Source: source.NewFile(path)}
	if _, err := reloader.First(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		content string
		routes  int
		percent float64
	}{
		{half, 4, 50}, // what was in force
		{strings.Replace(string(whole), "percent: 50", "percent: 60", 1), 4, 50},
		{"", 4, 60}, // as it was
	} {
		if step.content != "" && os.WriteFile(path, []byte(step.content), 0o600) != nil {
			t.Fatal("cannot write")
		}
		reloader.Look(t.Context())
		if s := w.proxy.Stats(); len(s) != step.routes || s[0].Percent != step.percent {
			t.Errorf("%d routes, %v percent; want %d, %v", len(s), s[0].Percent, step.routes, step.percent)
		}
	}
}

func wait(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("did not happen in time")
		}
	}
}

func TestAdmin(t *testing.T) {
	w := newWorld(t)
	admin := httptest.NewServer(proxy.Admin(w.proxy, &proxy.Reloader{Proxy: w.proxy, Source: source.NewFile("testdata/none.yaml")}, ""))
	defer admin.Close()
	get := func(method, path string) (int, map[string]any) {
		req, _ := http.NewRequest(method, admin.URL+path, nil)
		a := w.send(req)
		var v map[string]any
		_ = json.Unmarshal([]byte(a.body), &v)
		return a.status, v
	}
	if status, v := get("GET", "/explain?path=/api/v1/users/7&subject=ann"); status != 200 || v["upstream"] != "new" || v["reason"] == "" {
		t.Errorf("%d %v", status, v)
	}
	if status, v := get("GET", "/explain?path=/api/v1/users/7"); status != 200 || v["upstream"] != "old" {
		t.Errorf("%d %v", status, v)
	}
	if status, _ := get("GET", "/explain"); status != 400 {
		t.Errorf("explain without a path: %d", status)
	}
	if status, v := get("POST", "/reload"); status != 422 || !strings.Contains(fmt.Sprint(v["refused"]), "testdata/none.yaml") {
		t.Errorf("%d %v", status, v)
	}
	if status, v := get("GET", "/status"); status != 200 || len(v["routes"].([]any)) != 4 {
		t.Errorf("%d %v", status, v)
	}
}

// TestRefusedUploadIsAnswered: a client that waits for 100 gets the answer of an upstream
// that says it and refuses at once, however the two meet.
func TestRefusedUploadIsAnswered(t *testing.T) {
	w := newWorld(t)
	w.old = func(rw http.ResponseWriter, r *http.Request) {
		rw.WriteHeader(http.StatusContinue)
		rw.WriteHeader(http.StatusRequestEntityTooLarge)
	}
	for range 300 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		fmt.Fprint(conn, "PUT /upload HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 50000000\r\n\r\n")
		answers := bufio.NewReader(conn)
		for status := 100; status == 100; {
			answer, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatalf("no answer: %v", err)
			}
			status = answer.StatusCode
		}
		conn.Close()
	}
}

// broken panics where an answer begins.
type broken struct{ http.ResponseWriter }

func (broken) WriteHeader(int) { panic("broken by the test") }

// TestAPanicIsTold: net/http's server ends the connection, and what it says of that is not logged.
func TestAPanicIsTold(t *testing.T) {
	var log bytes.Buffer
	w := newWorldWith(t, proxy.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	defer func() {
		if p := recover(); p != http.ErrAbortHandler || !strings.Contains(log.String(), "broken by the test") {
			t.Errorf("%v, and logged was %s", p, log.String())
		}
	}()
	w.proxy.ServeHTTP(broken{httptest.NewRecorder()}, httptest.NewRequest("GET", "/", http.NoBody))
	t.Error("no panic")
}
