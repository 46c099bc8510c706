// Command banyan-proxy forwards the endpoints that a route file names to new APIs, and
// all other requests to the legacy app. See the README of the proxy.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/proxy"
	"github.com/banyan-fig/banyan/proxy/follow"
	"github.com/banyan-fig/banyan/proxy/route"
	"github.com/banyan-fig/banyan/proxy/written"
)

type flags struct {
	Serve struct {
		Routes      string        `help:"Route file (YAML): its path, s3://BUCKET/KEY, or ssm:PARAMETER." required:"" env:"BANYAN_ROUTES"`
		Every       time.Duration `name:"routes-every" help:"How often it is looked at. Default: 500ms for a path, 5s for others." env:"BANYAN_ROUTES_EVERY"`
		Copy        string        `name:"routes-copy" help:"File that keeps what is in force, for a start while S3 or SSM is away or has an invalid file. Default: none." env:"BANYAN_ROUTES_COPY" type:"path"`
		Listen      string        `help:"Address for clients." default:"127.0.0.1:8080" env:"BANYAN_PROXY_LISTEN"`
		AdminListen string        `help:"Address for operators: routes, explain, reload. Keep it private." default:"127.0.0.1:8081" env:"BANYAN_PROXY_ADMIN_LISTEN"`
		TLSCert     string        `help:"File with the certificate for clients, in PEM; they then choose HTTP/1.1 or HTTP/2." env:"BANYAN_PROXY_TLS_CERT" type:"path"`
		TLSKey      string        `help:"File with the certificate's key, in PEM." env:"BANYAN_PROXY_TLS_KEY" type:"path"`
		Control     string        `name:"control-table" help:"DynamoDB table with the ownership records of the entities that routes follow." default:"banyan-control" env:"BANYAN_CONTROL_TABLE"`
		AdminToken  string        `help:"What operators must show as a bearer token, or a reference to it (ssm:, secret:). Without it, health checks alone are answered where --admin-listen is not a loopback address." env:"BANYAN_PROXY_ADMIN_TOKEN"`
		Overrides   string        `help:"Where the overrides of routes are kept: a file, for one process, or dynamodb:TABLE for a fleet." env:"BANYAN_PROXY_OVERRIDES" placeholder:"PLACE"`
		Fleet       string        `help:"The name under which the proxies of a fleet share overrides and counts." default:"banyan-proxy" env:"BANYAN_PROXY_FLEET"`
		AccessLog   float64       `help:"The share of exchanges, 0 to 1, that are logged on the standard output, beside all that failed. -1: none at all." default:"-1" env:"BANYAN_PROXY_ACCESS_LOG"`
		Samples     string        `help:"File for samples of answers that differ, as JSON lines without secrets." env:"BANYAN_PROXY_SAMPLES" type:"path"`
		Comparisons string        `help:"File that keeps what the routes with shadow compared, so that their gates count on after a restart; of one process at a time." env:"BANYAN_PROXY_COMPARISONS" type:"path"`
		Written     string        `name:"written-table" help:"DynamoDB table (keys pk, sk; time to live: expires) by which proxies tell each other how far a subject's writes are. Default: they do not." env:"BANYAN_PROXY_WRITTEN_TABLE"`
		Drain       time.Duration `help:"How long requests are still taken at shutdown, while readyz says 503." default:"0s" env:"BANYAN_PROXY_DRAIN"`
		Grace       time.Duration `help:"How long exchanges in flight, streams and web sockets among them, may take after that." default:"10s" env:"BANYAN_PROXY_GRACE"`
	} `cmd:"" help:"Serve until SIGINT or SIGTERM. The route file is read again when it changes, and at SIGHUP. Spans are sent where OTEL_EXPORTER_OTLP_ENDPOINT says; see the README."`
	Check    checkFlags    `cmd:"" help:"Report the errors of a route file by line and column. It sends nothing."`
	Test     testFlags     `cmd:"" help:"Play recorded exchanges to the routes of a file, with upstreams in this process, and say what differs."`
	Record   recordFlags   `cmd:"" help:"Take cases for test from a route's next exchanges with a running proxy, without secrets."`
	Explain  explainFlags  `cmd:"" help:"Say where a running proxy would send a request, and why."`
	Report   reportFlags   `cmd:"" help:"Say what is left to do: the endpoints that still reach the old API, what goes wrong, and whether a route may be moved on."`
	Override overrideFlags `cmd:"" help:"Turn a route of a running proxy another way than its route file says, or back."`
	Change   routesFlags   `cmd:"" name:"routes" help:"Read and change the route file of a running proxy, wherever it is kept."`
	Schema   schemaFlags   `cmd:"" help:"Print the JSON Schema of the route file, for editors."`
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
		Exits: []serving.Exit{{Code: exitClosed, Meaning: "the gate of --gate is closed"}},
		Run: func(ctx context.Context, parsed *kong.Context, log *slog.Logger) error {
			if parsed.Command() == "serve" {
				return serve(ctx, f, log)
			}
			parsed.BindTo(ctx, (*context.Context)(nil))
			parsed.BindTo(parsed.Stdout, (*io.Writer)(nil))
			return parsed.Run()
		},
	}
}

type checkFlags struct {
	Routes string `arg:"" help:"Route file (YAML)." type:"path"`
}

func (f checkFlags) Run(stdout io.Writer) error {
	t, err := route.LoadFile(f.Routes)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: no errors, routes: %d\n", f.Routes, len(t.Routes))
	return nil
}

type schemaFlags struct{}

func (schemaFlags) Run(stdout io.Writer) error {
	_, err := stdout.Write(route.Schema)
	return err
}

func serve(ctx context.Context, f flags, log *slog.Logger) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // what lives is little, what requests leave behind is much
	}
	secure, err := f.tls()
	if err != nil {
		return err
	}
	reloader, err := f.reloader(ctx, log)
	if err != nil {
		return err
	}
	table, err := reloader.First(ctx)
	if err != nil {
		return err
	}
	settings := config.NewSettings()
	token, err := f.adminToken(ctx, settings, log)
	if err != nil {
		return err
	}
	w, err := f.watchers(ctx, settings, log)
	if err != nil {
		return err
	}
	defer w.close()
	positions, err := f.written(ctx)
	if err != nil {
		return err
	}
	p, err := proxy.New(ctx, table, proxy.Config{
		Overrides: w.overrides, Guard: w.guard, Shadow: w.shadow, Sinks: w.sinks, Spans: w.spans, Figures: w.figures,
		Settings: settings, Follow: follow.Config{Open: f.control},
		Written: positions, Log: log,
	})
	if err != nil {
		return err
	}
	defer p.Close()
	if err := w.keep(f.Serve.Comparisons, log); err != nil {
		return err
	}
	reloader.Proxy = p
	public, err := p.Listen(f.Serve.Listen, secure)
	if err != nil {
		return err
	}
	admin, err := serving.Listen("--admin-listen", f.Serve.AdminListen, proxy.Admin(p, reloader, token))
	if err != nil {
		public.Close()
		return err
	}
	log.Info("serving", "address", public.Addr().String(), "admin", admin.Addr().String())
	var work errgroup.Group
	operators, closeAdmin := context.WithCancel(context.WithoutCancel(ctx)) // they are served while clients are drained
	work.Go(func() error { reloader.Run(ctx); return nil })
	work.Go(func() error { reloadAtHangup(ctx, reloader); return nil })
	work.Go(func() error { w.overrides.Run(ctx); return nil })
	work.Go(func() error { w.guard.Run(ctx); return nil })
	work.Go(func() error {
		defer stop()
		return serving.Run(operators, admin)
	})
	work.Go(func() error {
		defer closeAdmin()
		defer stop()
		return public.Run(ctx, f.Serve.Drain, f.Serve.Grace)
	})
	return work.Wait()
}

// tls is what clients are served with; nil for plain HTTP.
func (f flags) tls() (*tls.Config, error) {
	if f.Serve.TLSCert == "" && f.Serve.TLSKey == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(f.Serve.TLSCert, f.Serve.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("%w: --tls-cert and --tls-key: %w", serving.ErrUsage, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// control opens the control table, for route files that follow an entity.
func (f flags) control(ctx context.Context) (*ownership.Table, error) {
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return nil, err
	}
	return ownership.NewTable(dynamodb.NewFromConfig(sdk), f.Serve.Control), nil
}

// written is the table of positions, nil where none is asked for.
func (f flags) written(ctx context.Context) (*written.Table, error) {
	if f.Serve.Written == "" {
		return nil, nil
	}
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return nil, err
	}
	return written.NewTable(dynamodb.NewFromConfig(sdk), f.Serve.Written), nil
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
			_ = r.Reload(ctx)
		}
	}
}
