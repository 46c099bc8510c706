package timeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/banyan-fig/banyan/consumers/readmodel/timeline"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/correlation"
)

// HeaderApplied says, in an answer about a read model that is behind, which
// position it has applied for the user.
const HeaderApplied = "Banyan-Applied"

// Reader is the read model, normally a [timeline.Reader].
type Reader interface {
	Read(ctx context.Context, userID, cursor string, limit int) (timeline.Page, error)
	Applied(ctx context.Context, userID string) (events.Position, error)
}

// Config says what a handler serves. Reader and Secret are required.
type Config struct {
	Reader Reader
	// Secret verifies tokens, at least [MinSecret] bytes.
	Secret []byte
	// Timeout of a request. 0: 5 s.
	Timeout time.Duration
	// Logger gets the errors that clients are not told; nil: slog.Default().
	Logger *slog.Logger
	// Now is the clock that tokens expire by; nil: time.Now.
	Now func() time.Time
}

type api struct {
	cfg    Config
	tokens *verifier
}

// NewHandler makes the API. It is safe for concurrent use, runs as a server as
// well as in a function, and has no state.
func NewHandler(cfg Config) (http.Handler, error) {
	if cfg.Reader == nil {
		return nil, errors.New("timeline: config: Reader is nil")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	tokens, err := newVerifier(cfg.Secret, cfg.Now)
	if err != nil {
		return nil, fmt.Errorf("timeline: config: %w", err)
	}
	a := &api{cfg, tokens}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/timelines/{userId}", a.endpoint(a.read))
	mux.HandleFunc("/v1/timelines/{userId}", a.endpoint(refuse(errMethod)))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, map[string]string{"status": "ok"}) })
	mux.HandleFunc("GET /readyz", a.endpoint(a.ready))
	mux.HandleFunc("/", a.endpoint(refuse(errNoRoute)))
	return correlation.Middleware(mux), nil
}

// endpoint answers a request or returns an error that becomes a problem.
type endpoint func(w http.ResponseWriter, r *http.Request) error

func refuse(err error) endpoint {
	return func(http.ResponseWriter, *http.Request) error { return err }
}

func (a *api) endpoint(e endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), a.cfg.Timeout)
		defer cancel()
		err := e(w, r.WithContext(ctx))
		if err == nil {
			return
		}
		p := problemOf(err)
		if p.Status >= http.StatusInternalServerError {
			a.cfg.Logger.ErrorContext(ctx, "request failed", "path", r.URL.Path, "status", p.Status,
				"error", err.Error(), "correlation_id", correlation.From(ctx).CorrelationID)
		}
		writeProblem(w, p)
	}
}

// ready reads what nobody wrote: an answer is an answer.
func (a *api) ready(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.cfg.Reader.Applied(r.Context(), "readyz"); err != nil {
		a.cfg.Logger.WarnContext(r.Context(), "not ready", "error", err.Error())
		writeProblem(w, Problem{Type: "/problems/not-ready", Title: "The read model cannot be read", Status: http.StatusServiceUnavailable})
		return nil
	}
	writeJSON(w, map[string]string{"status": "ready"})
	return nil
}

func (a *api) read(w http.ResponseWriter, r *http.Request) error {
	user, err := a.authorised(r)
	if err != nil {
		return err
	}
	limit, err := parseLimit(r.URL.Query().Get("limit"))
	if err != nil {
		return err
	}
	if err := a.caughtUp(w, r, user); err != nil {
		return err
	}
	page, err := a.cfg.Reader.Read(r.Context(), user, r.URL.Query().Get("cursor"), limit)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "private, no-store")
	writeJSON(w, shape(page))
	return nil
}

// maxUser is the most characters that a user id, being a partition key, has.
const maxUser = 256

func (a *api) authorised(r *http.Request) (string, error) {
	subject, err := a.tokens.subject(r)
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
		return 0, fmt.Errorf("%w: limit must be a number from 1 to %d", errInvalid, timeline.MaxLimit)
	}
	return n, nil
}

// caughtUp makes sure that the model has applied what the client asks for.
func (a *api) caughtUp(w http.ResponseWriter, r *http.Request, user string) error {
	after := r.Header.Get(events.HeaderReadAfter)
	if after == "" {
		return nil
	}
	want, err := events.ParsePosition(after)
	if err != nil {
		return fmt.Errorf("%w: %s is not a position", errInvalid, events.HeaderReadAfter)
	}
	applied, err := a.cfg.Reader.Applied(r.Context(), user)
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

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client went away: nobody is left to tell
}
