package timeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/services/httpjson"
)

// HeaderApplied says, in a response of a read model that is behind, which
// position it has applied for the user.
const HeaderApplied = "Banyan-Applied"

// Reader is the read model, normally a [timeline.Reader].
type Reader interface {
	Read(ctx context.Context, userID, cursor string, limit int) (timeline.Page, error)
	Applied(ctx context.Context, userID string) (events.Position, error)
}

// Tokens verifies the user of a request, normally [token.Tokens].
type Tokens interface {
	Subject(r *http.Request) (string, error)
}

// Config says what a handler serves. Reader and Tokens are required.
type Config struct {
	Reader Reader
	Tokens Tokens
	// Timeout of a request. 0: 5 s.
	Timeout time.Duration
	// Logger gets the errors that clients are not shown; nil: slog.Default().
	Logger *slog.Logger
}

type handler struct{ cfg Config }

// NewHandler makes the API. It is safe for concurrent use, runs as a server as
// well as in a function, and has no state.
func NewHandler(cfg Config) (http.Handler, error) {
	if cfg.Reader == nil {
		return nil, errors.New("timeline: config: Reader is nil")
	}
	if cfg.Tokens == nil {
		return nil, errors.New("timeline: config: Tokens is nil")
	}
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	h := &handler{cfg}
	mux := httpjson.NewMux(httpjson.MuxConfig{Problems: problems, Timeout: cfg.Timeout, Logger: cfg.Logger})
	mux.Handle("GET /v1/timelines/{userId}", h.read)
	mux.Handle("GET /healthz", func(w http.ResponseWriter, _ *http.Request) error {
		httpjson.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
		return nil
	})
	mux.Handle("GET /readyz", h.ready)
	return mux, nil
}

// ready reads the position of a user that does not exist: any response proves that the table works.
func (h *handler) ready(w http.ResponseWriter, r *http.Request) error {
	if _, err := h.cfg.Reader.Applied(r.Context(), "readyz"); err != nil {
		h.cfg.Logger.WarnContext(r.Context(), "not ready", "error", err.Error())
		httpjson.WriteProblem(w, httpjson.Problem{
			Type: "/problems/not-ready", Title: "The read model cannot be read", Status: http.StatusServiceUnavailable,
		})
		return nil
	}
	httpjson.WriteJSON(w, http.StatusOK, map[string]string{"status": "ready"})
	return nil
}

func (h *handler) read(w http.ResponseWriter, r *http.Request) error {
	user, err := h.authorize(r)
	if err != nil {
		return err
	}
	q, err := httpjson.Query(r)
	if err != nil {
		return err
	}
	limit, err := parseLimit(q.Get("limit"))
	if err != nil {
		return err
	}
	if err := h.requireApplied(w, r, user); err != nil {
		return err
	}
	page, err := h.cfg.Reader.Read(r.Context(), user, q.Get("cursor"), limit)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "private, no-store")
	httpjson.WriteJSON(w, http.StatusOK, present(page))
	return nil
}

// maxUser is the most characters that a user id, being a partition key, has.
const maxUser = 256

func (h *handler) authorize(r *http.Request) (string, error) {
	subject, err := h.cfg.Tokens.Subject(r)
	if err != nil {
		return "", err
	}
	if user := r.PathValue("userId"); user != subject || len(user) > maxUser {
		return "", errForbidden
	}
	return subject, nil
}

func parseLimit(s string) (int, error) {
	if s == "" {
		return timeline.DefaultLimit, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > timeline.MaxLimit {
		return 0, fmt.Errorf("%w: limit must be 1 to %d", httpjson.ErrInvalid, timeline.MaxLimit)
	}
	return n, nil
}

// requireApplied returns errBehind unless the model has applied the position that the
// client asks for.
func (h *handler) requireApplied(w http.ResponseWriter, r *http.Request, user string) error {
	after := r.Header.Get(events.HeaderReadAfter)
	if after == "" {
		return nil
	}
	want, err := events.ParsePosition(after)
	if err != nil {
		return fmt.Errorf("%w: invalid %s: it must be a position from a Banyan-Written header", httpjson.ErrInvalid, events.HeaderReadAfter)
	}
	applied, err := h.cfg.Reader.Applied(r.Context(), user)
	if err != nil {
		return err
	}
	if applied.Before(want) {
		w.Header().Set(HeaderApplied, applied.String())
		return errBehind
	}
	return nil
}

type pageJSON struct {
	Items      []itemJSON `json:"items"`
	NextCursor string     `json:"nextCursor"`
}

type itemJSON struct {
	PostID      string    `json:"postId"`
	AuthorID    string    `json:"authorId"`
	AuthorName  string    `json:"authorName"`
	Text        string    `json:"text"`
	PublishedAt time.Time `json:"publishedAt"`
}

func present(p timeline.Page) pageJSON {
	out := pageJSON{Items: make([]itemJSON, len(p.Items)), NextCursor: p.Next}
	for i, item := range p.Items {
		out.Items[i] = itemJSON(item)
	}
	return out
}
