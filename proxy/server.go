package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits of the front. Bodies may take as long as something moves: they are streamed.
const (
	headTimeout = 10 * time.Second
	restTimeout = 2 * time.Minute
	maxHead     = 64 << 10
)

// Server serves a Proxy to clients. Make it with [Proxy.Listen].
type Server struct {
	proxy    *Proxy
	http     *http.Server
	listener net.Listener
}

// Listen opens an address for clients, such as 127.0.0.1:8080. With a TLS configuration,
// clients choose between HTTP/1.1 and HTTP/2 (ALPN).
func (p *Proxy) Listen(address string, secure *tls.Config) (*Server, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w; stop the process that uses it, or choose another address", address, err)
	}
	return &Server{p, &http.Server{
		Handler: p, TLSConfig: secure, ReadHeaderTimeout: headTimeout, IdleTimeout: restTimeout, MaxHeaderBytes: maxHead,
		ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelDebug), // what single clients do
	}, listener}, nil
}

// Addr is the bound address.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close stops listening, for a Server that was never Run.
func (s *Server) Close() { _ = s.listener.Close() }

// Run serves until ctx ends. From then on the proxy is not ready; for drain it still takes
// requests, so that a load balancer notices, then streams and web sockets have grace to end.
func (s *Server) Run(ctx context.Context, drain, grace time.Duration) error {
	failed := make(chan error, 1)
	go func() {
		if s.http.TLSConfig != nil {
			failed <- s.http.ServeTLS(s.listener, "", "")
		} else {
			failed <- s.http.Serve(s.listener)
		}
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	s.proxy.Drain()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", s.Addr(), err)
	case <-time.After(drain):
	}
	return s.close(grace)
}

func (s *Server) close(grace time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	err := s.http.Shutdown(ctx)
	tunnelled := make(chan struct{})
	go func() {
		defer close(tunnelled)
		s.proxy.tunnels.wait()
	}()
	select {
	case <-tunnelled:
	case <-ctx.Done():
		s.proxy.tunnels.close()
	}
	<-tunnelled
	if errors.Is(err, context.DeadlineExceeded) {
		s.proxy.log.Warn("exchanges were cut off, since they did not end within the grace", "address", s.Addr().String(), "grace", grace.String())
		err = nil // as asked
	}
	return errors.Join(err, s.http.Close())
}
