package users

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/banyan-fig/banyan/events/correlation"
	"github.com/banyan-fig/banyan/services/httpjson"
)

// HandlerConfig configures NewHandler. The zero value works.
type HandlerConfig struct {
	// Timeout bounds each request, waiting for a change of owner included.
	// Default 8 s.
	Timeout time.Duration
	// Log gets what went wrong inside, never what clients did wrong. Default
	// slog.Default.
	Log *slog.Logger
}

// Handler is the HTTP API. It is safe for concurrent use.
type Handler struct {
	service  *Service
	cfg      HandlerConfig
	mux      *http.ServeMux
	whole    http.Handler
	requests atomic.Int64
	failures atomic.Int64
}

// NewHandler serves the API of service, see the package comment.
func NewHandler(service *Service, cfg HandlerConfig) *Handler {
	if cfg.Timeout <= 0 {
		cfg.Timeout = 8 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	h := &Handler{service: service, cfg: cfg, mux: http.NewServeMux()}
	h.route("PUT /v1/users/{id}", h.create)
	h.route("GET /v1/users/{id}", h.get)
	h.route("PATCH /v1/users/{id}", h.update)
	h.route("GET /v1/users", h.list)
	h.route("POST /v1/users/authenticate", h.authenticate)
	h.whole = correlation.Middleware(http.HandlerFunc(h.dispatch))
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.whole.ServeHTTP(w, r) }

// Requests is the number of requests answered, and Errors of those answered with
// a status of 500 or more.
func (h *Handler) Requests() int64 { return h.requests.Load() }

// Errors is documented at Requests.
func (h *Handler) Errors() int64 { return h.failures.Load() }

// endpoint answers a request or returns an error that becomes a problem.
type endpoint func(w http.ResponseWriter, r *http.Request) error

func (h *Handler) route(pattern string, serve endpoint) {
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if err := serve(w, r); err != nil {
			h.fail(w, r, err)
		}
	})
}

func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problems.Of(err)
	if p.Status >= http.StatusInternalServerError {
		h.failures.Add(1)
		h.cfg.Log.ErrorContext(r.Context(), "request failed",
			"method", r.Method, "path", r.URL.Path, "status", p.Status, "error", err,
			"correlation_id", correlation.From(r.Context()).CorrelationID)
	}
	httpjson.WriteProblem(w, p)
}

func (h *Handler) dispatch(w http.ResponseWriter, r *http.Request) {
	h.requests.Add(1)
	ctx, cancel := context.WithTimeout(r.Context(), h.cfg.Timeout)
	defer cancel()
	r = r.WithContext(ctx)
	if _, pattern := h.mux.Handler(r); pattern == "" {
		h.unrouted(w, r)
		return
	}
	h.mux.ServeHTTP(w, r)
}

// unrouted answers what no route takes, as a problem; the mux knows whether the
// path or only the method is wrong.
func (h *Handler) unrouted(w http.ResponseWriter, r *http.Request) {
	var seen statusOnly
	h.mux.ServeHTTP(&seen, r)
	err := httpjson.ErrNoRoute
	if seen.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", seen.Header().Get("Allow"))
		err = httpjson.ErrMethod
	}
	h.fail(w, r, err)
}

// statusOnly takes an answer's status and headers and throws its body away.
type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header {
	if s.header == nil {
		s.header = http.Header{}
	}
	return s.header
}
func (s *statusOnly) Write(b []byte) (int, error) { return len(b), nil }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }
