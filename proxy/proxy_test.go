package proxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
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
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a proxy before an old and a new side that a test scripts.
type world struct {
	t        *testing.T
	mu       sync.Mutex
	old, new http.HandlerFunc
	proxy    *proxy.Proxy
	url      string
	env      func(string) (string, bool)
}

func newWorld(t *testing.T) *world {
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
	src, err := os.ReadFile("testdata/routes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w.proxy = proxy.New(w.compile(string(src)), nil)
	t.Cleanup(w.proxy.Close)
	w.url = start(w.proxy.ServeHTTP)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return w
}

func (w *world) compile(src string) *proxy.Table {
	w.t.Helper()
	table, err := proxy.Compile("routes.yaml", []byte(src), w.env)
	if err != nil {
		w.t.Fatal(err)
	}
	return table
}

func (w *world) percent(p int) {
	src, _ := os.ReadFile("testdata/routes.yaml")
	w.proxy.Swap(w.compile(strings.Replace(string(src), "percent: 50", fmt.Sprintf("percent: %d", p), 1)))
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
		{"GET", "/api/v1/timeline?count=5&before=x", "", "GET /v1/timelines/ann?cursor=x&limit=5 ", `{"status":"ok","data":{"posts":[` +
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
		"garbage": func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "<html>") },
		"short": func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "100")
			fmt.Fprint(rw, `{"id":`)
		},
		"huge": func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(rw, io.LimitReader(zeros{}, 3<<20)) },
	} {
		w.mu.Lock()
		w.new = h
		w.mu.Unlock()
		if got := w.do("GET", "/api/v1/users/7", "ann", ""); got.status != 200 || got.body != "old /api/v1/users/7" {
			t.Errorf("%s: %d %.80s", name, got.status, got.body)
		}
	}
	stats := w.proxy.Table().Stats()[1]
	if stats.FellBack != 6 || stats.Forwarded != 0 {
		t.Errorf("stats %+v", stats)
	}
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
			d := w.proxy.Explain("GET", "/api/v1/timeline", s)
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
		if got.Get("Traceparent") == "" || got.Get("X-Correlation-Id") == "" {
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
	good, _ := os.ReadFile("testdata/routes.yaml")
	path := filepath.Join(t.TempDir(), "routes.yaml")
	write := func(b string) {
		tmp := path + ".new"
		if os.WriteFile(tmp, []byte(b), 0o600) != nil || os.Rename(tmp, path) != nil {
			t.Fatal("cannot write the route file")
		}
	}
	write(string(good))
	reloader := &proxy.Reloader{Proxy: w.proxy, Path: path, Every: 2 * time.Millisecond}
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
		wait(t, func() bool { return w.proxy.Table().Stats()[0].Percent == float64(i) })
	}
	write("version: 1\nnonsense")
	wait(t, func() bool { return reloader.Err() != nil })
	if !strings.Contains(reloader.Err().Error(), path+":2:1:") {
		t.Errorf("the error names no place: %v", reloader.Err())
	}
	if p := w.proxy.Table().Stats()[0].Percent; p != 99 {
		t.Errorf("in force: %v percent, want the last good 99", p)
	}
	write(strings.Replace(string(good), "percent: 50", "percent: 7", 1))
	wait(t, func() bool { return w.proxy.Table().Stats()[0].Percent == 7 && reloader.Err() == nil })
	close(stop)
	cancel()
	wg.Wait()
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
	admin := httptest.NewServer(proxy.Admin(w.proxy, &proxy.Reloader{Proxy: w.proxy, Path: "testdata/none.yaml"}))
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
	if status, v := get("GET", "/routes"); status != 200 || len(v["routes"].([]any)) != 4 {
		t.Errorf("%d %v", status, v)
	}
}
