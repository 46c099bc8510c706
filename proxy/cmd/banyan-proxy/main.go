// Command banyan-proxy forwards the endpoints that a route file names to new APIs, and
// all other requests to the legacy app. See the README of the proxy.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/proxy"
)

type flags struct {
	Serve struct {
		Routes      string        `help:"Route file (YAML)." required:"" env:"BANYAN_ROUTES" type:"path"`
		Listen      string        `help:"Address for clients." default:"127.0.0.1:8080" env:"BANYAN_PROXY_LISTEN"`
		AdminListen string        `help:"Address for operators: routes, explain, reload. Keep it private." default:"127.0.0.1:8081" env:"BANYAN_PROXY_ADMIN_LISTEN"`
		Grace       time.Duration `help:"How long requests in flight may take at shutdown." default:"10s"`
	} `cmd:"" help:"Serve until SIGINT or SIGTERM. The route file is read again when it changes, and at SIGHUP."`
	Check struct {
		Routes string `arg:"" help:"Route file (YAML)." type:"path"`
	} `cmd:"" help:"Report the errors of a route file by line and column. It sends nothing."`
	Schema struct{} `cmd:"" help:"Print the JSON Schema of the route file, for editors."`
}

func main() {
	// SIGHUP reloads here, and does not stop.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(newCommand().Execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func newCommand() serving.Command {
	var f flags
	return serving.Command{
		Name: "banyan-proxy", Description: "Forwards old endpoints to new APIs, and all else to the legacy app, by a route file.", Grammar: &f,
		Run: func(ctx context.Context, parsed *kong.Context, log *slog.Logger) error {
			switch parsed.Command() {
			case "serve":
				return serve(ctx, f, log)
			case "schema":
				_, err := parsed.Stdout.Write(proxy.Schema)
				return err
			}
			return check(parsed.Stdout, f.Check.Routes)
		},
	}
}

func check(stdout io.Writer, path string) error {
	t, err := proxy.LoadFile(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: no errors, routes: %d\n", path, len(t.Stats()))
	return nil
}

func serve(ctx context.Context, f flags, log *slog.Logger) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	table, err := proxy.LoadFile(f.Serve.Routes)
	if err != nil {
		return err
	}
	p := proxy.New(table, log)
	defer p.Close()
	reloader := &proxy.Reloader{Proxy: p, Path: f.Serve.Routes, Log: log}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { reloader.Run(ctx) })
	wg.Go(func() { reloadAtHangup(ctx, reloader) })
	public, err := listen(f.Serve.Listen, p)
	if err != nil {
		stop()
		return err
	}
	admin, err := listen(f.Serve.AdminListen, proxy.Admin(p, reloader))
	if err != nil {
		stop()
		public.close(0)
		return err
	}
	log.Info("serving", "address", public.address, "admin", admin.address)
	select {
	case <-ctx.Done():
		err = nil
	case err = <-public.failed:
	case err = <-admin.failed:
	}
	stop()
	return errors.Join(err, public.close(f.Serve.Grace), admin.close(f.Serve.Grace))
}

func reloadAtHangup(ctx context.Context, r *proxy.Reloader) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			_ = r.Reload()
		}
	}
}

type server struct {
	http    *http.Server
	address string
	failed  chan error
}

// listen serves h. Slow headers, large headers and idle connections are cut off;
// bodies may take as long as they want, as they are streamed.
func listen(address string, h http.Handler) (*server, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w; stop the process that uses it, or choose another address by --listen or --admin-listen", address, err)
	}
	s := &server{
		http:    &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10},
		address: l.Addr().String(),
		failed:  make(chan error, 1),
	}
	go func() {
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("serve %s: %w", address, err)
		}
	}()
	return s, nil
}

func (s *server) close(grace time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil && grace > 0 {
		return fmt.Errorf("requests were still in flight after %s: %w", grace, err)
	}
	return s.http.Close()
}
