// Package recommendations is the API of whom a user of the example may want to follow:
//
//	GET /v1/recommendations/{userId}?limit=20
//	  -> {"items":[{"userId":"...","shared":3}],"asOf":"2026-11-30T09:00:00Z"}
//
// It is for the user alone, and takes one read. A list that was not derived for a week is made
// due by that read, and is a newer one a minute later. Names are the profiles': a user without
// one left since the list was derived, and is not shown.
package recommendations

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/banyan-fig/banyan/consumers/recommend"
	"github.com/banyan-fig/banyan/infra/token"
	"github.com/banyan-fig/banyan/services/httpjson"
)

// Reader is the read model, normally a [recommend.Model].
type Reader interface {
	Get(ctx context.Context, user string) (recommend.List, error)
	Touch(ctx context.Context, user string) error
}

// Tokens verifies the user of a request, normally [token.Tokens].
type Tokens interface {
	Subject(r *http.Request) (string, error)
}

// Config says what a handler serves. Reader and Tokens are required.
type Config struct {
	Reader Reader
	Tokens Tokens
	// MaxAge of a list, after which a read makes it due. 0: a week.
	MaxAge time.Duration
	// Now is the clock. nil: time.Now.
	Now func() time.Time
	// Logger gets the errors that clients are not shown; nil: slog.Default().
	Logger *slog.Logger
}

const (
	defaultLimit = 20
	maxLimit     = 100
)

var errForbidden = errors.New("recommendations are for their own user")

var problems = httpjson.Problems{
	httpjson.WithDetail(token.ErrInvalid, "unauthorized", "Unauthorized", http.StatusUnauthorized),
	httpjson.WithDetail(errForbidden, "forbidden", "Not your recommendations", http.StatusForbidden),
}

type handler struct{ cfg Config }

// NewHandler makes the API. It is safe for concurrent use and has no state.
func NewHandler(cfg Config) (http.Handler, error) {
	if cfg.Reader == nil || cfg.Tokens == nil {
		return nil, errors.New("recommendations: config: Reader and Tokens are required")
	}
	cfg.MaxAge, cfg.Logger = cmp.Or(cfg.MaxAge, 7*24*time.Hour), cmp.Or(cfg.Logger, slog.Default())
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	h := &handler{cfg}
	mux := httpjson.NewMux(httpjson.MuxConfig{Problems: problems, Logger: cfg.Logger})
	mux.Handle("GET /v1/recommendations/{userId}", h.read)
	return mux, nil
}

type itemJSON struct {
	UserID string `json:"userId"`
	Shared int    `json:"shared"`
}

type listJSON struct {
	Items []itemJSON `json:"items"`
	AsOf  time.Time  `json:"asOf,omitzero"`
}

func (h *handler) read(w http.ResponseWriter, r *http.Request) error {
	user, err := h.cfg.Tokens.Subject(r)
	if err != nil {
		return err
	}
	if r.PathValue("userId") != user {
		return errForbidden
	}
	q, err := httpjson.Query(r)
	if err != nil {
		return err
	}
	limit, err := strconv.Atoi(cmp.Or(q.Get("limit"), strconv.Itoa(defaultLimit)))
	if err != nil || limit < 1 || limit > maxLimit {
		return fmt.Errorf("%w: limit must be 1 to %d", httpjson.ErrInvalid, maxLimit)
	}
	list, err := h.cfg.Reader.Get(r.Context(), user)
	if err != nil {
		return err
	}
	if !list.At.IsZero() && h.cfg.Now().Sub(list.At) > h.cfg.MaxAge {
		if err := h.cfg.Reader.Touch(r.Context(), user); err != nil { // the list is as good as it was
			h.cfg.Logger.WarnContext(r.Context(), "an old list cannot be made due", "error", err.Error())
		}
	}
	out := listJSON{Items: []itemJSON{}, AsOf: list.At}
	for _, s := range list.Suggestions[:min(limit, len(list.Suggestions))] {
		out.Items = append(out.Items, itemJSON{s.ID, s.Shared})
	}
	w.Header().Set("Cache-Control", "private, no-store")
	httpjson.WriteJSON(w, http.StatusOK, out)
	return nil
}
