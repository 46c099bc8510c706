package proxy_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/proxy"
	"github.com/banyan-fig/banyan/proxy/written"
)

// Reads follow the writes that came to another proxy: by a cookie or a header, which are the
// subject's alone and which no upstream sees, or by a table.
func TestReadsFollowWritesAcrossProxies(t *testing.T) {
	src, err := os.ReadFile("route/testdata/routes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	position := events.Position{Sequence: "7", Sub: 2}.String()
	for kind, positions := range map[string]string{"cookie": "{cookie: pos, keysEnv: SECRET}", "header": "{header: x-pos, keysEnv: SECRET}", "table": ""} {
		t.Run(kind, func(t *testing.T) {
			client := newDynamoDB(t)
			if err := dynamo.EnsureTable(t.Context(), client, dynamo.CompositeTable("positions")); err != nil {
				t.Fatal(err)
			}
			var cfg, second proxy.Config
			file := strings.Replace(string(src), "percent: 50", "percent: 100", 1)
			if positions != "" {
				file = strings.Replace(file, "\nroutes:", "\npositions: "+positions+"\nroutes:", 1)
			} else {
				cfg.Written, second.Written = written.NewTable(client, "positions"), written.NewTable(client, "positions")
			}
			w := newWorldWith(t, cfg)
			w.swap(file)
			other, err := proxy.New(t.Context(), w.compile(file), second)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(other.Close)
			server := httptest.NewServer(other)
			t.Cleanup(server.Close)
			var seen http.Header
			w.old = func(rw http.ResponseWriter, r *http.Request) {
				seen = r.Header
				if r.Method == "POST" {
					rw.Header().Set(events.HeaderWritten, position)
					rw.Header().Add("Set-Cookie", "theirs=1")
				}
			}
			w.new = func(rw http.ResponseWriter, r *http.Request) { seen = r.Header; fmt.Fprint(rw, `{"items":[]}`) }
			ask := func(method, url, subject string, from http.Header) answer {
				t.Helper()
				req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+token(t, subject))
				for _, c := range (&http.Response{Header: from}).Cookies() {
					req.AddCookie(c)
				}
				if text := from.Get("X-Pos"); text != "" {
					req.Header.Set("X-Pos", text)
				}
				return w.send(req)
			}
			wrote := ask("POST", w.url+"/posts", "ann", nil)
			given := fmt.Sprint(wrote.header)
			if asked := positions != ""; strings.Contains(given, position) != asked || strings.Count(given, position) > 1 || !strings.Contains(given, "theirs=1") {
				t.Errorf("the writer is given %s", given)
			}
			wait(t, func() bool { // a table has 100 ms to store it, and to find it
				ask("POST", w.url+"/posts", "ann", nil)
				ask("GET", server.URL+"/api/v1/timeline", "ann", wrote.header)
				return seen.Get(events.HeaderReadAfter) == position
			})
			if seen.Get("Cookie") != "theirs=1" || seen.Get("X-Pos") != "" {
				t.Errorf("the new API sees %v", seen)
			}
			if ask("GET", server.URL+"/api/v1/timeline", "bob", wrote.header); seen.Get(events.HeaderReadAfter) != "" {
				t.Errorf("another subject's read asks for %q", seen.Get(events.HeaderReadAfter))
			}
			if ask("GET", server.URL+"/unknown", "ann", wrote.header); seen.Get("Cookie") != "theirs=1" || seen.Get("X-Pos") != "" {
				t.Errorf("the legacy app sees %v", seen)
			}
			if ask("GET", server.URL+"/api/v1/timeline", "ann", wrote.header); seen.Get(events.HeaderReadAfter) != "" {
				t.Error("asks for what the read model has shown")
			}
		})
	}
}

// TestPositionsAreGivenByRoute: the answers of a route have the position or not as the route
// says, those of the others as the top of the file does.
func TestPositionsAreGivenByRoute(t *testing.T) {
	w := newWorld(t)
	w.old = func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set(events.HeaderWritten, events.Position{Sequence: "7"}.String())
	}
	for everywhere, given := range map[string]string{"": "/likes /posts /votes", ", everywhere: false": "/posts"} {
		w.swap(`version: 1
legacy: old
upstreams: {old: {url: "${OLD_URL}"}}
subject: {jwtSecretEnv: SECRET}
positions: {cookie: pos, keysEnv: SECRET` + everywhere + `}
routes:
  - {name: posts, path: /posts, mode: legacy, positions: true}
  - {name: notes, path: /notes, mode: legacy, positions: false}
  - {name: votes, path: /votes, mode: legacy}
`)
		var got []string
		for _, path := range []string{"/likes", "/notes", "/posts", "/votes"} { // no route has the first
			if a := w.do("POST", path, token(t, "ann"), ""); a.header.Get("Set-Cookie") != "" {
				got = append(got, path)
			}
		}
		if strings.Join(got, " ") != given {
			t.Errorf("positions: {...%s}: given by %v, want %s", everywhere, got, given)
		}
	}
}

// TestWhatIsNoPositionIsCounted: a service that says where its write is in another form finds out.
func TestWhatIsNoPositionIsCounted(t *testing.T) {
	w := newWorld(t)
	w.old = func(rw http.ResponseWriter, r *http.Request) { rw.Header().Set(events.HeaderWritten, "42") }
	w.do("POST", "/likes", token(t, "ann"), "")
	metrics := httptest.NewRecorder()
	proxy.Admin(w.proxy, nil, "").ServeHTTP(metrics, httptest.NewRequest("GET", "/metrics", nil))
	if got := metrics.Body.String(); !strings.Contains(got, `banyan_proxy_positions_missed_total{why="malformed"} 1`) {
		t.Errorf("metrics: %s", got)
	}
}
