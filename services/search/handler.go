// Package search is the HTTP API over a search index, of any read model (see package
// consumers/search).
//
//	GET /v1/search?q=&limit=20&cursor=
//	GET /healthz   the process runs
//	GET /readyz    the index can be searched
//
// The answer has the best matches first: {"items":[{"key","rank","data":{...}}],"nextCursor":""},
// with the data that the index was told to show. limit is 1 to 100, 20 if not given; q has at
// most 200 characters and 8 words, and without a word finds nothing; an empty nextCursor is the
// end. Errors are application/problem+json (RFC 9457): /problems/invalid and /problems/cursor
// (400), /problems/unauthorized (401), /problems/not-built (503) while there is no index yet.
//
// The index follows its table within seconds; there is no promise that a client finds what it
// wrote just now.
package search

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/banyan-fig/banyan/consumers/search"
	"github.com/banyan-fig/banyan/infra/token"
	"github.com/banyan-fig/banyan/services/httpjson"
)

// Tokens verifies the user of a request, normally [token.Tokens].
type Tokens interface {
	Subject(r *http.Request) (string, error)
}

// Config says what a handler serves. Index is required, and Tokens unless it is Public.
type Config struct {
	Index  search.Finder
	Tokens Tokens // any user may search
	Public bool   // nobody is asked for a token
	// Timeout of a request. 0: 5 s.
	Timeout time.Duration
	// Logger gets the errors that clients are not shown; nil: slog.Default().
	Logger *slog.Logger
}

var problems = httpjson.Problems{
	httpjson.WithDetail(token.ErrInvalid, "unauthorized", "Unauthorized", http.StatusUnauthorized),
	httpjson.WithDetail(search.ErrQuery, "invalid", "Invalid input", http.StatusBadRequest),
	httpjson.WithDetail(search.ErrCursor, "cursor", "Unusable cursor", http.StatusBadRequest),
	httpjson.WithoutDetail(search.ErrNotBuilt, "not-built", "The search index is being built; try again later", http.StatusServiceUnavailable),
}

type handler struct {
	cfg      Config
	searcher search.Searcher
}

// NewHandler makes the API. It is safe for concurrent use, runs as a server as
// well as in a function, and has no state.
func NewHandler(cfg Config) (http.Handler, error) {
	if cfg.Index == nil {
		return nil, errors.New("search: config: Index is nil")
	}
	if cfg.Tokens == nil && !cfg.Public {
		return nil, errors.New("search: config: Tokens is nil, and it is not Public")
	}
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	h := &handler{cfg, search.Searcher{Index: cfg.Index}}
	mux := httpjson.NewMux(httpjson.MuxConfig{Problems: problems, Timeout: cfg.Timeout, Logger: cfg.Logger})
	mux.Handle("GET /v1/search", h.search)
	mux.Handle("GET /healthz", func(w http.ResponseWriter, _ *http.Request) error {
		httpjson.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
		return nil
	})
	mux.Handle("GET /readyz", h.ready)
	return mux, nil
}

func (h *handler) ready(w http.ResponseWriter, r *http.Request) error {
	if _, err := h.searcher.Search(r.Context(), "readyz", "", 1); err != nil {
		h.cfg.Logger.WarnContext(r.Context(), "not ready", "error", err.Error())
		httpjson.WriteProblem(w, httpjson.Problem{
			Type: "/problems/not-ready", Title: "The index cannot be searched", Status: http.StatusServiceUnavailable,
		})
		return nil
	}
	httpjson.WriteJSON(w, http.StatusOK, map[string]string{"status": "ready"})
	return nil
}

type pageJSON struct {
	Items      []itemJSON `json:"items"`
	NextCursor string     `json:"nextCursor"`
}

type itemJSON struct {
	Key  string          `json:"key"`
	Rank int64           `json:"rank"`
	Data json.RawMessage `json:"data,omitempty"`
}

func (h *handler) search(w http.ResponseWriter, r *http.Request) error {
	if !h.cfg.Public {
		if _, err := h.cfg.Tokens.Subject(r); err != nil {
			return err
		}
	}
	q, err := httpjson.Query(r)
	if err != nil {
		return err
	}
	limit := search.DefaultLimit
	if text := q.Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 {
			return fmt.Errorf("%w: limit must be 1 to %d", search.ErrQuery, search.MaxLimit)
		}
	}
	page, err := h.searcher.Search(r.Context(), q.Get("q"), q.Get("cursor"), limit)
	if err != nil {
		return err
	}
	out := pageJSON{Items: make([]itemJSON, len(page.Hits)), NextCursor: page.Next}
	for i, hit := range page.Hits {
		out.Items[i] = itemJSON(hit)
	}
	if !h.cfg.Public {
		w.Header().Set("Cache-Control", "private, no-store")
	}
	httpjson.WriteJSON(w, http.StatusOK, out)
	return nil
}
