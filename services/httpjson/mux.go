package httpjson

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/banyan-fig/banyan/events/correlation"
)

// DefaultTimeout bounds a request if MuxConfig does not say otherwise.
const DefaultTimeout = 5 * time.Second

// Endpoint answers a request, or returns an error, which becomes a problem. A panic is
// an error too, an internal one. After an error that comes when the answer has begun,
// the connection is closed, so that no client takes the part for the whole.
type Endpoint func(w http.ResponseWriter, r *http.Request) error

// MuxConfig configures NewMux. The zero value works.
type MuxConfig struct {
	// Problems are the rules for the API's own errors.
	Problems Problems
	// Timeout ends the context of each request. Default DefaultTimeout.
	Timeout time.Duration
	// Logger gets the errors that became a status of 500 or above, or came after the
	// answer had begun, with the request's correlation id and the stack of a panic. Default slog.Default().
	Logger *slog.Logger
}

// Mux routes requests to endpoints, by the patterns of http.ServeMux. Each request
// has a deadline and carries correlation ids (see package correlation); what matches
// no pattern gets a problem too. It is safe for concurrent use once all
// patterns are registered. Make it with NewMux.
type Mux struct {
	cfg      MuxConfig
	mux      *http.ServeMux
	handler  http.Handler // with correlation ids
	requests atomic.Int64
	failures atomic.Int64
}

// NewMux makes a Mux without endpoints.
func NewMux(cfg MuxConfig) *Mux {
	cfg.Timeout = cmp.Or(max(cfg.Timeout, 0), DefaultTimeout)
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	m := &Mux{cfg: cfg, mux: http.NewServeMux()}
	m.handler = correlation.Middleware(http.HandlerFunc(m.dispatch))
	return m
}

// Handle registers an endpoint for a pattern such as "GET /v1/orders/{id}". It panics
// for a pattern that is invalid or conflicts with another, as http.ServeMux does.
func (m *Mux) Handle(pattern string, serve Endpoint) {
	m.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		a := &answer{ResponseWriter: w}
		if err := call(serve, a, r); err != nil {
			m.fail(a, r, err)
		}
	})
}

// ServeHTTP implements http.Handler.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.handler.ServeHTTP(w, r) }

// Requests returns how many requests were received.
func (m *Mux) Requests() int64 { return m.requests.Load() }

// Failures returns how many requests got a problem of status 500 or
// above, or not to the end.
func (m *Mux) Failures() int64 { return m.failures.Load() }

func (m *Mux) dispatch(w http.ResponseWriter, r *http.Request) {
	m.requests.Add(1)
	ctx, cancel := context.WithTimeout(r.Context(), m.cfg.Timeout)
	defer cancel()
	r = r.WithContext(ctx)
	if _, pattern := m.mux.Handler(r); pattern == "" {
		m.refuseUnrouted(w, r)
		return
	}
	m.mux.ServeHTTP(w, r)
}

// refuseUnrouted responds to a request that matches no pattern. The ServeMux knows whether
// the path is unknown or only the method, and responds in plain text: its status is
// kept and its body replaced.
func (m *Mux) refuseUnrouted(w http.ResponseWriter, r *http.Request) {
	plain := statusRecorder{header: http.Header{}}
	m.mux.ServeHTTP(&plain, r)
	err := ErrNoRoute
	if plain.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", plain.header.Get("Allow"))
		err = ErrMethod
	}
	m.fail(&answer{ResponseWriter: w}, r, err)
}

func (m *Mux) fail(w *answer, r *http.Request, err error) {
	p := m.cfg.Problems.Of(err)
	if p.Status >= http.StatusInternalServerError || w.begun {
		m.failures.Add(1)
		args := []any{"method", r.Method, "path", r.URL.Path, "status", p.Status, "error", err.Error(),
			"correlation_id", correlation.From(r.Context()).CorrelationID}
		if panicked := (*panicError)(nil); errors.As(err, &panicked) {
			args = append(args, "stack", string(panicked.stack))
		}
		m.cfg.Logger.ErrorContext(r.Context(), "request failed", args...)
	}
	if w.begun {
		panic(http.ErrAbortHandler)
	}
	WriteProblem(w, p)
}

// statusRecorder keeps the status and header of a response and discards its body.
type statusRecorder struct {
	header http.Header
	status int
}

func (s *statusRecorder) Header() http.Header         { return s.header }
func (s *statusRecorder) Write(b []byte) (int, error) { return len(b), nil }
func (s *statusRecorder) WriteHeader(status int)      { s.status = status }
