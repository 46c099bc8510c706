package monolith

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/correlation"
	"github.com/banyan-fig/banyan/services/httpjson"
	"github.com/banyan-fig/banyan/services/social/users/client"
)

// requestTimeout bounds each request.
const requestTimeout = 10 * time.Second

// Handler is the old mobile API over an App.
type Handler struct {
	app   *App
	log   *slog.Logger
	mux   *http.ServeMux
	whole http.Handler
}

// NewHandler serves app; log gets what went wrong inside, slog.Default when nil.
func NewHandler(app *App, log *slog.Logger) *Handler {
	if log == nil {
		log = slog.Default()
	}
	h := &Handler{app: app, log: log, mux: http.NewServeMux()}
	h.open("POST /api/v1/users", h.register)
	h.open("POST /api/v1/login", h.login)
	h.private("GET /api/v1/users/{id}", h.profile)
	h.private("PUT /api/v1/users/me", h.changeProfile)
	h.private("PUT /api/v1/follow/{id}", h.follow)
	h.private("DELETE /api/v1/follow/{id}", h.unfollow)
	h.private("POST /api/v1/posts", h.post)
	h.private("DELETE /api/v1/posts/{id}", h.unpublish)
	h.private("GET /api/v1/timeline", h.timeline)
	h.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.fail(w, r, fmt.Errorf("%w: there is no such endpoint", errNotFound))
	})
	h.whole = correlation.Middleware(http.HandlerFunc(h.dispatch))
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.whole.ServeHTTP(w, r) }

func (h *Handler) dispatch(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	h.mux.ServeHTTP(w, r.WithContext(ctx))
}

// open routes an endpoint that needs no token.
func (h *Handler) open(pattern string, serve func(http.ResponseWriter, *http.Request) error) {
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if err := serve(w, r); err != nil {
			h.fail(w, r, err)
		}
	})
}

// private routes an endpoint that gets the user of the request's token.
func (h *Handler) private(pattern string, serve func(http.ResponseWriter, *http.Request, string) error) {
	h.open(pattern, func(w http.ResponseWriter, r *http.Request) error {
		me, err := h.app.cfg.Tokens.Subject(r)
		if err != nil {
			return err
		}
		return serve(w, r, me)
	})
}

func (h *Handler) register(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		DisplayName string `json:"display_name"`
		Mail        string `json:"mail"`
		Password    string `json:"password"`
	}
	if err := httpjson.ReadLooseJSON(w, r, &in); err != nil {
		return err
	}
	done, err := h.app.cfg.Users.Create(r.Context(), client.NewUser{
		ID: client.NewID(h.app.cfg.Now()), Name: in.DisplayName, Email: in.Mail, Password: in.Password,
	})
	if err != nil {
		return err
	}
	return h.welcome(w, http.StatusCreated, done.User, done.Position)
}

func (h *Handler) login(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Mail     string `json:"mail"`
		Password string `json:"password"`
	}
	if err := httpjson.ReadLooseJSON(w, r, &in); err != nil {
		return err
	}
	u, err := h.app.cfg.Users.Authenticate(r.Context(), in.Mail, in.Password)
	if err != nil {
		return err
	}
	return h.welcome(w, http.StatusOK, u, events.Position{})
}

func (h *Handler) welcome(w http.ResponseWriter, status int, u client.User, at events.Position) error {
	token, err := h.app.cfg.Tokens.Issue(u.ID)
	if err != nil {
		return err
	}
	return respond(w, status, at, map[string]any{"user": presentUser(u), "token": token})
}

func (h *Handler) profile(w http.ResponseWriter, r *http.Request, _ string) error {
	u, err := h.app.cfg.Users.Get(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return respond(w, http.StatusOK, events.Position{}, map[string]any{"user": presentUser(u)})
}

func (h *Handler) changeProfile(w http.ResponseWriter, r *http.Request, me string) error {
	var in struct {
		DisplayName *string `json:"display_name"`
		About       *string `json:"about"`
	}
	if err := httpjson.ReadLooseJSON(w, r, &in); err != nil {
		return err
	}
	done, err := h.app.cfg.Users.Update(r.Context(), me, client.Change{Name: in.DisplayName, Bio: in.About})
	if err != nil {
		return err
	}
	return respond(w, http.StatusOK, done.Position, map[string]any{"user": presentUser(done.User)})
}

func (h *Handler) follow(w http.ResponseWriter, r *http.Request, me string) error {
	at, err := h.app.Follow(r.Context(), me, r.PathValue("id"))
	if err != nil {
		return err
	}
	return respond(w, http.StatusOK, at, map[string]any{"following": true})
}

func (h *Handler) unfollow(w http.ResponseWriter, r *http.Request, me string) error {
	at, err := h.app.Unfollow(r.Context(), me, r.PathValue("id"))
	if err != nil {
		return err
	}
	return respond(w, http.StatusOK, at, map[string]any{"following": false})
}

func (h *Handler) post(w http.ResponseWriter, r *http.Request, me string) error {
	var in struct {
		Text string `json:"text"`
	}
	if err := httpjson.ReadLooseJSON(w, r, &in); err != nil {
		return err
	}
	p, at, err := h.app.Publish(r.Context(), me, in.Text)
	if err != nil {
		return err
	}
	return respond(w, http.StatusCreated, at, map[string]any{"post": presentPost(p)})
}

func (h *Handler) unpublish(w http.ResponseWriter, r *http.Request, me string) error {
	at, err := h.app.Unpublish(r.Context(), me, r.PathValue("id"))
	if err != nil {
		return err
	}
	return respond(w, http.StatusOK, at, map[string]any{"deleted": true})
}

func (h *Handler) timeline(w http.ResponseWriter, r *http.Request, me string) error {
	count := defaultCount
	q, err := httpjson.Query(r)
	if err != nil {
		return err
	}
	if text := q.Get("count"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return fmt.Errorf("%w: count must be 1 to %d", httpjson.ErrInvalid, maxCount)
		}
		count = min(n, maxCount)
	}
	posts, next, err := h.app.Timeline(r.Context(), me, q.Get("before"), count)
	if err != nil {
		return err
	}
	shown := make([]postBody, len(posts))
	for i, p := range posts {
		shown[i] = presentPost(p)
	}
	return respond(w, http.StatusOK, events.Position{}, timelineBody{Posts: shown, Next: next})
}
