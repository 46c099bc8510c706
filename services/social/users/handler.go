package users

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/banyan-fig/banyan/services/httpjson"
)

// HandlerConfig configures NewHandler. The zero value works.
type HandlerConfig struct {
	// Timeout bounds each request, waiting for a change of owner included.
	// Default 8 s.
	Timeout time.Duration
	// Log gets the errors that clients are not shown. Default slog.Default.
	Log *slog.Logger
}

// api is the HTTP API over a Service.
type api struct{ service *Service }

// NewHandler serves the API of service, see the package comment.
func NewHandler(service *Service, cfg HandlerConfig) *httpjson.Mux {
	a := api{service}
	mux := httpjson.NewMux(httpjson.MuxConfig{Problems: problems, Timeout: cmp.Or(cfg.Timeout, 8*time.Second), Logger: cfg.Log})
	mux.Handle("PUT /v1/users/{id}", a.create)
	mux.Handle("GET /v1/users/{id}", a.get)
	mux.Handle("PATCH /v1/users/{id}", a.update)
	mux.Handle("GET /v1/users", a.list)
	mux.Handle("POST /v1/users/authenticate", a.authenticate)
	return mux
}
