package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/sidecar"
	"github.com/banyan-fig/banyan/publishers/spool"
)

const defaultListen = "127.0.0.1:8090"

// serveCommand is the sidecar.
type serveCommand struct {
	Listen      string `help:"Address for events; loopback unless --allow-remote. 127.0.0.1:8090 unless there is a --socket." env:"BANYAN_PUBLISH_LISTEN"`
	Socket      string `help:"Unix socket for events." env:"BANYAN_PUBLISH_SOCKET" placeholder:"FILE"`
	SocketMode  string `help:"Permissions of the socket, octal." default:"0600" env:"BANYAN_PUBLISH_SOCKET_MODE"`
	AllowRemote bool   `help:"Allow other machines to reach --listen, and so to publish, unauthenticated." env:"BANYAN_PUBLISH_ALLOW_REMOTE"`
	AdminListen string `help:"Address of /healthz, /readyz and /metrics.json." default:"127.0.0.1:8091" env:"BANYAN_PUBLISH_ADMIN_LISTEN"`

	Timeout      time.Duration `help:"Longest that a request waits for its events to be kept, up to 5m." default:"10s" env:"BANYAN_PUBLISH_TIMEOUT"`
	ReadTimeout  time.Duration `help:"Longest that a request's body may take to arrive, up to 5m." default:"10s" env:"BANYAN_PUBLISH_READ_TIMEOUT"`
	DrainTimeout time.Duration `help:"Longest that sending the pending events may take at the end." default:"15s" env:"BANYAN_PUBLISH_DRAIN_TIMEOUT"`
	MaxBodyBytes int64         `help:"Most bytes of a request's body." default:"4194304" env:"BANYAN_PUBLISH_MAX_BODY_BYTES"`
	MaxBatch     int           `help:"Most events of a batch." default:"500" env:"BANYAN_PUBLISH_MAX_BATCH"`
	MaxRequests  int           `help:"Most requests at once." default:"1024" env:"BANYAN_PUBLISH_MAX_REQUESTS"`

	schemaFlags
	Stream streamFlags `embed:""`
	Spool  spoolFlags  `embed:""`
}

const longestWait = 5 * time.Minute

// Validate is called by kong.
func (c *serveCommand) Validate() error {
	for flag, d := range map[string]time.Duration{"timeout": c.Timeout, "read-timeout": c.ReadTimeout} {
		if d <= 0 || d > longestWait {
			return fmt.Errorf("--%s must be more than 0 and at most %s, not %s", flag, longestWait, d)
		}
	}
	if c.DrainTimeout < 0 {
		return fmt.Errorf("--drain-timeout %s is negative", c.DrainTimeout)
	}
	if _, err := c.mode(); err != nil {
		return err
	}
	return c.checkListen()
}

func (c *serveCommand) mode() (fs.FileMode, error) {
	n, err := strconv.ParseUint(c.SocketMode, 8, 32)
	if err != nil || n > 0o777 {
		return 0, fmt.Errorf("invalid --socket-mode %q: must be an octal file mode such as 0660", c.SocketMode)
	}
	return fs.FileMode(n), nil
}

func (c *serveCommand) checkListen() error {
	if c.Listen == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("invalid --listen %q: must be an address such as %s: %w", c.Listen, defaultListen, err)
	}
	if !c.AllowRemote && !isLoopback(host) {
		return fmt.Errorf("--listen %s can be reached from other machines, which could publish without authentication; "+
			"listen on 127.0.0.1 or on a --socket, or set --allow-remote", c.Listen)
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Run serves until ctx ends, then shuts down in order: no more requests are accepted,
// the last ones are answered, what is left is sent, and what could not be is reported.
func (c *serveCommand) Run(ctx context.Context, log *slog.Logger) error {
	check, err := c.check()
	if err != nil {
		return err
	}
	out, err := c.open(ctx, log)
	if err != nil {
		return err
	}
	handler, err := c.handler(out, check, log)
	if err == nil {
		err = c.serve(ctx, log, out, handler)
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.DrainTimeout)
	defer cancel()
	return errors.Join(err, out.close(end))
}

func (c *serveCommand) open(ctx context.Context, log *slog.Logger) (outlet, error) {
	if c.Spool.Spool != "" {
		return openSpooled(ctx, &c.Stream, &c.Spool, log)
	}
	p, err := c.Stream.open(ctx)
	if err != nil {
		return nil, err
	}
	return &direct{p, c.Timeout / 2}, nil
}

func (c *serveCommand) handler(out outlet, check func(events.Event) error, log *slog.Logger) (*sidecar.Handler, error) {
	h, err := sidecar.New(sidecar.Config{
		Check: check, Publisher: out, Timeout: c.Timeout, ReadTimeout: c.ReadTimeout, MaxBodyBytes: c.MaxBodyBytes,
		MaxEvents: c.MaxBatch, MaxEventBytes: c.Stream.MaxRecordBytes, MaxRequests: c.MaxRequests, Log: log,
		TooLarge: func(err error) bool { return errors.Is(err, kinesis.ErrTooLarge) || errors.Is(err, spool.ErrTooLarge) },
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", serving.ErrUsage, err)
	}
	return h, nil
}

// serve answers until ctx ends and the last request has its answer. The admin
// address answers on until then, so that it can tell of the end.
func (c *serveCommand) serve(ctx context.Context, log *slog.Logger, out outlet, handler *sidecar.Handler) error {
	servers, err := c.listen(handler)
	if err != nil {
		return err
	}
	report := func() any { return serveMetrics{sidecarMetrics(handler.Stats()), out.metrics()} }
	admin, err := serving.Listen("--admin-listen", c.AdminListen, serving.Admin(readiness(ctx, out), report))
	if err != nil {
		closeAll(servers)
		return err
	}
	log.InfoContext(ctx, "serving", "events", addresses(servers), "admin", admin.Addr().String(), "stream", c.Stream.Stream, "spool", c.Spool.Spool)
	if c.AllowRemote {
		log.WarnContext(ctx, "no authentication: whoever reaches this address can publish", "events", addresses(servers))
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer end()
		err := serving.Run(running, servers...)
		s := handler.Stats()
		log.InfoContext(ctx, "stopped accepting events", "requests", s.Requests, "kept", s.Kept, "unknown", s.Unknown, "not_kept", s.NotKept)
		return err
	})
	group.Go(func() error { return serving.Run(life, admin) })
	group.Go(func() error { return out.watch(running) })
	return group.Wait()
}

func (c *serveCommand) listen(handler *sidecar.Handler) (servers []*serving.Server, err error) {
	defer func() {
		if err != nil {
			closeAll(servers)
		}
		for _, s := range servers {
			s.Grace(c.Timeout + c.ReadTimeout)
		}
	}()
	if c.Socket != "" {
		mode, _ := c.mode() // validated
		s, err := serving.ListenUnix("--socket", c.Socket, mode, handler)
		if err != nil {
			return servers, err
		}
		servers = append(servers, s)
	}
	address := c.Listen
	if address == "" && c.Socket == "" {
		address = defaultListen
	}
	if address != "" {
		s, err := serving.Listen("--listen", address, handler)
		if err != nil {
			return servers, err
		}
		servers = append(servers, s)
	}
	return servers, nil
}

func closeAll(servers []*serving.Server) {
	for _, s := range servers {
		s.Close()
	}
}

func addresses(servers []*serving.Server) (all []string) {
	for _, s := range servers {
		all = append(all, s.Addr().String())
	}
	return all
}

// readiness is that of out while ctx lasts.
func readiness(ctx context.Context, out outlet) func() error {
	return func() error {
		if ctx.Err() != nil {
			return errors.New("stopping: no more events are accepted")
		}
		return out.ready()
	}
}
