package timeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/correlation"
	"github.com/banyan-fig/banyan/services/httpjson"
)

// HeaderApplied says, in an answer about a read model that is behind, which
// position it has applied for the user.
const HeaderApplied = "Banyan-Applied"

// Reader is the read model, normally a [timeline.Reader].
type Reader interface {
	Read(ctx context.Context, userID, cursor string, limit int) (timeline.Page, error)
	Applied(ctx context.Context, userID string) (events.Position, error)
}

// Tokens tell who a request is from, normally [token.Tokens].
type Tokens interface {
	Subject(r *http.Request) (string, error)
}

// Config says what a handler serves. Reader and Tokens are required.
type Config struct {
	Reader Reader
	Tokens Tokens
	// Timeout of a request. 0: 5 s.
	Timeout time.Duration
	// Logger gets the errors that clients are not told; nil: slog.Default().
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
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	h := &handler{cfg}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/timelines/{userId}", h.endpoint(h.read))
	mux.HandleFunc("/v1/timelines/{userId}", h.endpoint(refuse(httpjson.ErrMethod)))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		httpjson.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", h.endpoint(h.ready))
	mux.HandleFunc("/", h.endpoint(refuse(httpjson.ErrNoRoute)))
	return correlation.Middleware(mux), nil
}

// endpoint answers a request or returns an error that becomes a problem.
type endpoint func(w http.ResponseWriter, r *http.Request) error

func refuse(err error) endpoint {
	return func(http.ResponseWriter, *http.Request) error { return err }
}

func (h *handler) endpoint(e endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), h.cfg.Timeout)
		defer cancel()
		err := e(w, r.WithContext(ctx))
		if err == nil {
			return
		}
		p := problems.Of(err)
		if p.Status >= http.StatusInternalServerError {
			h.cfg.Logger.ErrorContext(ctx, "request failed", "path", r.URL.Path, "status", p.Status,
				"error", err.Error(), "correlation_id", correlation.From(ctx).CorrelationID)
		}
		if p.Status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", "GET, HEAD")
		}
		httpjson.WriteProblem(w, p)
	}
}

// ready reads what nobody wrote: an answer is an answer.
func (h *handler) ready(w http.ResponseWriter, r *http.Request) error {
	if _, err := h.cfg.Reader.Applied(r.Context(), "readyz"); err != nil {
		h.cfg.Logger.WarnContext(r.Context(), "not ready", "error", err.Error())
		httpjson.WriteProblem(w, httpjson.Problem{Type: "/problems/not-ready", Title: "The read model cannot be read", Status: http.StatusServiceUnavailable})
		return nil
	}
	httpjson.WriteJSON(w, http.StatusOK, map[string]string{"status": "ready"})
	return nil
}

func (h *handler) read(w http.ResponseWriter, r *http.Request) error {
	user, err := h.authorised(r)
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
	if err := h.caughtUp(w, r, user); err != nil {
		return err
	}
	page, err := h.cfg.Reader.Read(r.Context(), user, q.Get("cursor"), limit)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "private, no-store")
	httpjson.WriteJSON(w, http.StatusOK, shape(page))
	return nil
}

// maxUser is the most characters that a user id, being a partition key, has.
const maxUser = 256

func (h *handler) authorised(r *http.Request) (string, error) {
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
		return 0, fmt.Errorf("%w: limit must be a number from 1 to %d", httpjson.ErrInvalid, timeline.MaxLimit)
	}
	return n, nil
}

// caughtUp makes sure that the model has applied what the client asks for.
func (h *handler) caughtUp(w http.ResponseWriter, r *http.Request, user string) error {
	after := r.Header.Get(events.HeaderReadAfter)
	if after == "" {
		return nil
	}
	want, err := events.ParsePosition(after)
	if err != nil {
		return fmt.Errorf("%w: %s is not a position", httpjson.ErrInvalid, events.HeaderReadAfter)
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

func shape(p timeline.Page) pageJSON {
	out := pageJSON{Items: make([]itemJSON, len(p.Items)), NextCursor: p.Next}
	for i, item := range p.Items {
		out.Items[i] = itemJSON(item)
	}
	return out
}
