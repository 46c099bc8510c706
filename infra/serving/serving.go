// Package serving is a service's command: its command line and exit codes, and its
// HTTP servers, which say clearly why they cannot listen, and end gracefully.
package serving

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// grace is how long requests may still take once the stop was requested, where a
// Server does not say otherwise.
const grace = 10 * time.Second

// Server is one address with its handler.
type Server struct {
	listener net.Listener
	http     *http.Server
	grace    time.Duration
}

// Listen binds address, such as "127.0.0.1:8081", for handler; requests are
// answered from Run on. flag names what to change when the address is taken.
func Listen(flag, address string, handler http.Handler) (*Server, error) {
	listener, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("cannot listen on %s: another program uses that port; stop it or choose another with %s", address, flag)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s, see %s: %w", address, flag, err)
	}
	return newServer(listener, handler), nil
}

func newServer(listener net.Listener, handler http.Handler) *Server {
	return &Server{listener: listener, grace: grace, http: &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}}
}

// Grace sets how long requests may still take once the stop was requested, instead
// of ten seconds. Call it before Run.
func (s *Server) Grace(d time.Duration) { s.grace = d }

// TLS has the server speak TLS. Call it before Run.
func (s *Server) TLS(cfg *tls.Config) { s.http.TLSConfig = cfg }

// Addr is the bound address.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close stops listening, for a Server that was never Run.
func (s *Server) Close() { _ = s.listener.Close() }

// Run serves until ctx ends or a server fails. Then the servers stop accepting and
// requests get ten seconds to end, or what [Server.Grace] said.
func Run(ctx context.Context, servers ...*Server) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range servers {
		group.Go(func() error {
			if err := s.serve(); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve on %s: %w", s.Addr(), err)
			}
			return nil
		})
		group.Go(func() error {
			<-ctx.Done()
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.grace)
			defer cancel()
			if err := s.http.Shutdown(end); err != nil {
				return fmt.Errorf("requests on %s did not end within %s: %w", s.Addr(), s.grace, err)
			}
			return nil
		})
	}
	return group.Wait()
}

func (s *Server) serve() error {
	if s.http.TLSConfig != nil {
		return s.http.ServeTLS(s.listener, "", "")
	}
	return s.http.Serve(s.listener)
}
