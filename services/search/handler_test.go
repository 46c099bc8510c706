package search_test

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

	"github.com/banyan-fig/banyan/consumers/search"
	"github.com/banyan-fig/banyan/consumers/search/embedded"
	"github.com/banyan-fig/banyan/consumers/search/searchtest"
	"github.com/banyan-fig/banyan/infra/token"
	"github.com/banyan-fig/banyan/services/httpjson"
	service "github.com/banyan-fig/banyan/services/search"
)

// TestMain lets bleve have its workers, which it starts when it is linked.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/blevesearch/bleve_index_api.AnalysisWorker"))
}

func newTokens(t *testing.T) (tokens *token.Tokens, bearer string) {
	t.Helper()
	tokens, err := token.New(token.Config{Secret: []byte("0123456789abcdef0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	issued, err := tokens.Issue("ada")
	if err != nil {
		t.Fatal(err)
	}
	return tokens, "Bearer " + issued
}

func serve(t *testing.T, cfg service.Config, path, auth string) *httptest.ResponseRecorder {
	t.Helper()
	cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	h, err := service.NewHandler(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", path, nil)
	if auth != "" {
		r.Header.Set("Authorization", auth)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAnswers(t *testing.T) {
	tokens, bearer := newTokens(t)
	index, err := embedded.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := index.Close(); err != nil {
			t.Error(err)
		}
	}()
	cfg := service.Config{Index: index, Tokens: tokens}
	if w := serve(t, cfg, "/v1/search?q=oak", bearer); w.Code != 503 || !strings.Contains(w.Body.String(), "/problems/not-built") {
		t.Errorf("before an index was built: %d %s", w.Code, w.Body)
	}
	b, err := index.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	documents := []search.Document{searchtest.Document("a", "oak", 1, 1), searchtest.Document("b", "oak", 2, 1), searchtest.Document("c", "elm", 3, 1)}
	if err := errors.Join(b.Write(t.Context(), documents), b.Use(t.Context())); err != nil {
		t.Fatal(err)
	}
	const first = `{"items":[{"key":"b","rank":2,"data":{"text":"oak"}}],"nextCursor":"`
	for name, c := range map[string]struct {
		path, auth, body, problem string
		status                    int
	}{
		"found":          {path: "/v1/search?q=OAK&limit=1", auth: bearer, status: 200, body: first},
		"nothing":        {path: "/v1/search?q=ash", auth: bearer, status: 200, body: `{"items":[],"nextCursor":""}`},
		"no query":       {path: "/v1/search", auth: bearer, status: 200, body: `{"items":[],"nextCursor":""}`},
		"no token":       {path: "/v1/search?q=oak", status: 401, problem: "/problems/unauthorized"},
		"limit 0":        {path: "/v1/search?q=oak&limit=0", auth: bearer, status: 400, problem: "/problems/invalid"},
		"limit 101":      {path: "/v1/search?q=oak&limit=101", auth: bearer, status: 400, problem: "/problems/invalid"},
		"limit x":        {path: "/v1/search?q=oak&limit=x", auth: bearer, status: 400, problem: "/problems/invalid"},
		"a broken query": {path: "/v1/search?q=%zz", auth: bearer, status: 400, problem: "/problems/invalid"},
		"a long query":   {path: "/v1/search?q=" + strings.Repeat("x", 201), auth: bearer, status: 400, problem: "/problems/invalid"},
		"a bad cursor":   {path: "/v1/search?q=oak&cursor=x", auth: bearer, status: 400, problem: "/problems/cursor"},
		"health":         {path: "/healthz", status: 200, body: "ok"},
		"ready":          {path: "/readyz", status: 200, body: "ready"},
		"elsewhere":      {path: "/v1/else", status: 404, problem: "/problems/no-route"},
	} {
		w := serve(t, cfg, c.path, c.auth)
		var p httpjson.Problem
		_ = json.Unmarshal(w.Body.Bytes(), &p)
		if w.Code != c.status || p.Type != c.problem || !strings.Contains(w.Body.String(), c.body) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	var page struct{ NextCursor string }
	if err := json.Unmarshal(serve(t, cfg, "/v1/search?q=oak&limit=1", bearer).Body.Bytes(), &page); err != nil {
		t.Fatal(err)
	}
	w := serve(t, service.Config{Index: index, Public: true}, "/v1/search?q=oak&limit=1&cursor="+url.QueryEscape(page.NextCursor), "")
	if want := `{"items":[{"key":"a","rank":1,"data":{"text":"oak"}}],"nextCursor":""}`; strings.TrimSpace(w.Body.String()) != want {
		t.Errorf("the second page, without a token: %d %s", w.Code, w.Body)
	}
}

func TestAnIndexThatFails(t *testing.T) {
	for err, status := range map[error]int{errors.New("secret detail"): 500, context.DeadlineExceeded: 504} {
		cfg := service.Config{Index: searchtest.Failing{Err: err}, Public: true}
		if w := serve(t, cfg, "/v1/search?q=oak", ""); w.Code != status || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%v: %d %s", err, w.Code, w.Body)
		}
		if w := serve(t, cfg, "/readyz", ""); w.Code != http.StatusServiceUnavailable {
			t.Errorf("%v: ready %d", err, w.Code)
		}
	}
	tokens, _ := newTokens(t)
	for _, cfg := range []service.Config{{Tokens: tokens}, {Index: searchtest.Failing{}}} {
		if _, err := service.NewHandler(cfg); err == nil {
			t.Errorf("took %+v", cfg)
		}
	}
}
