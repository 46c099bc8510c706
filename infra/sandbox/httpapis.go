package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/httpapi"
)

// ServeHTTPAPI puts an HTTP API before a function, until Close, and returns its
// URL. addr is on loopback; "" means 127.0.0.1 and a free port. The function, with
// an alias or without, may be made later. log gets what clients are not told.
func (s *Sandbox) ServeHTTPAPI(ctx context.Context, function, addr string, log *slog.Logger) (string, error) {
	if err := loopback(addr); err != nil {
		return "", err
	}
	addr = cmp.Or(addr, "127.0.0.1:0")
	api, err := httpapi.New(httpapi.Config{Lambda: s.lambdaClient(), Function: function, Logger: log})
	if err != nil {
		return "", err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return "", listenError("API Gateway", addr, err)
	}
	server := &http.Server{Handler: api, ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return s.ctx }, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return "", errors.Join(errors.New("sandbox: it is closed"), l.Close())
	}
	s.apis = append(s.apis, server)
	s.serving.Go(func() { _ = server.Serve(l) }) // ends with Close
	return "http://" + l.Addr().String(), nil
}

// closeAPIs ends the HTTP APIs; nobody can add one after that.
func (s *Sandbox) closeAPIs(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var errs []error
	for _, server := range s.apis {
		if err := server.Shutdown(ctx); err != nil {
			errs = append(errs, fmt.Errorf("sandbox: waiting for the requests of an HTTP API: %w", err), server.Close())
		}
	}
	return errors.Join(errs...)
}
