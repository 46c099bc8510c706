package timeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/token"
	"github.com/banyan-fig/banyan/services/httpjson"
	service "github.com/banyan-fig/banyan/services/social/timeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newTokens(t testing.TB) *token.Tokens {
	t.Helper()
	tokens, err := token.New(token.Config{Secret: []byte("0123456789abcdef0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func valid(t *testing.T, subject string) string {
	t.Helper()
	issued, err := newTokens(t).Issue(subject)
	if err != nil {
		t.Fatal(err)
	}
	return "Bearer " + issued
}

// readers is a read model that is broken on purpose; the real one is in the
// tests of the command.
type readers struct {
	err   error
	calls int
}

func (r *readers) Read(context.Context, string, string, int) (timeline.Page, error) {
	r.calls++
	return timeline.Page{}, r.err
}

func (r *readers) Applied(context.Context, string) (events.Position, error) {
	return events.Position{Sequence: "500"}, r.err
}

func serve(t *testing.T, r service.Reader, method, path, auth string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	h, err := service.NewHandler(service.Config{Reader: r, Tokens: newTokens(t), Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest(method, path, nil)
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

func TestAnswers(t *testing.T) {
	position := func(n string) string { return events.Position{Sequence: n}.String() }
	const path = "/v1/timelines/ada"
	for _, c := range []struct {
		name, method, path, auth string
		after                    string
		reader                   readers
		status                   int
		problem                  string
	}{
		{name: "well", auth: valid(t, "ada"), status: 200},
		{name: "caught up", auth: valid(t, "ada"), after: position("500"), status: 200},
		{name: "behind", auth: valid(t, "ada"), after: position("501"), status: 412, problem: "/problems/read-model-behind"},
		{name: "not a position", auth: valid(t, "ada"), after: "501", status: 400, problem: "/problems/invalid"},
		{name: "no token", status: 401, problem: "/problems/unauthorized"},
		{name: "not a bearer", auth: "Basic x", status: 401, problem: "/problems/unauthorized"},
		{name: "of somebody else", auth: valid(t, "bob"), status: 403, problem: "/problems/forbidden"},
		{name: "of nobody", auth: valid(t, ""), status: 401, problem: "/problems/unauthorized"},
		{name: "limit 0", path: path + "?limit=0", auth: valid(t, "ada"), status: 400, problem: "/problems/invalid"},
		{name: "limit 101", path: path + "?limit=101", auth: valid(t, "ada"), status: 400, problem: "/problems/invalid"},
		{name: "a broken query", path: path + "?limit=%zz", auth: valid(t, "ada"), status: 400, problem: "/problems/invalid"},
		{name: "limit x", path: path + "?limit=x", auth: valid(t, "ada"), status: 400, problem: "/problems/invalid"},
		{name: "a bad cursor", auth: valid(t, "ada"), reader: readers{err: timeline.ErrCursor}, status: 400, problem: "/problems/cursor"},
		{name: "table away", auth: valid(t, "ada"), reader: readers{err: errors.New("secret detail")}, status: 500, problem: "/problems/internal"},
		{name: "table slow", auth: valid(t, "ada"), reader: readers{err: context.DeadlineExceeded}, status: 504, problem: "/problems/timeout"},
		{name: "a write", method: "POST", auth: valid(t, "ada"), status: 405, problem: "/problems/method"},
		{name: "elsewhere", path: "/v1/else", auth: valid(t, "ada"), status: 404, problem: "/problems/no-route"},
		{name: "health", path: "/healthz", reader: readers{err: errors.New("x")}, status: 200},
		{name: "ready", path: "/readyz", status: 200},
		{name: "not ready", path: "/readyz", reader: readers{err: errors.New("x")}, status: 503, problem: "/problems/not-ready"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.method == "" {
				c.method = "GET"
			}
			if c.path == "" {
				c.path = path
			}
			header := []string{}
			if c.after != "" {
				header = append(header, events.HeaderReadAfter, c.after)
			}
			w := serve(t, &c.reader, c.method, c.path, c.auth, header...)
			var p httpjson.Problem
			body := w.Body.String()
			if err := json.Unmarshal(w.Body.Bytes(), &p); c.problem != "" && err != nil {
				t.Fatal(err, body)
			}
			if w.Code != c.status || p.Type != c.problem {
				t.Errorf("%d %s", w.Code, body)
			}
			if c.problem != "" && (w.Header().Get("Content-Type") != "application/problem+json" || p.Status != c.status || p.Title == "") {
				t.Errorf("not a problem: %s %s", w.Header().Get("Content-Type"), body)
			}
			if strings.Contains(body, "secret detail") {
				t.Error("tells clients what they must not know")
			}
			if c.status == 401 && (c.reader.calls > 0 || w.Header().Get("WWW-Authenticate") != "Bearer") {
				t.Error("read for somebody unknown, or did not ask for a token")
			}
		})
	}
}

func TestBehindSaysHowFarItIs(t *testing.T) {
	w := serve(t, &readers{}, "GET", "/v1/timelines/ada", valid(t, "ada"), events.HeaderReadAfter, events.Position{Sequence: "900"}.String())
	if got := w.Header().Get(service.HeaderApplied); got != (events.Position{Sequence: "500"}).String() {
		t.Errorf("got %q", got)
	}
}

func TestConfig(t *testing.T) {
	for _, cfg := range []service.Config{{Tokens: newTokens(t)}, {Reader: &readers{}}} {
		if _, err := service.NewHandler(cfg); err == nil {
			t.Errorf("took %+v", cfg)
		}
	}
}

func FuzzRequest(f *testing.F) {
	f.Add("ada", "limit=3&cursor=MS5h", "Bearer x", "0")
	f.Add("%2e%2e", "limit=-1", "bearer a.b.c", events.Position{Sequence: "1"}.String())
	f.Fuzz(func(t *testing.T, user, query, auth, after string) {
		req := httptest.NewRequest("GET", "/", nil)
		req.URL = &url.URL{Path: "/v1/timelines/" + user, RawQuery: query}
		req.Header = http.Header{"Authorization": {auth}, events.HeaderReadAfter: {after}}
		h, err := service.NewHandler(service.Config{Reader: &readers{}, Tokens: newTokens(t)})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code == 200 || w.Code >= 500 {
			t.Errorf("%d for a request without a valid token", w.Code)
		}
	})
}
