// Command banyan-timeline serves the timeline API over its read model, until
// SIGINT or SIGTERM; requests on their way are finished first.
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
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	readmodel "github.com/banyan-fig/banyan/consumers/readmodel/timeline"
	"github.com/banyan-fig/banyan/services/timeline"
)

const (
	exitFailure = 1
	exitUsage   = 2
)

type flags struct {
	Listen   string        `help:"Address to serve on." default:"127.0.0.1:8083" env:"LISTEN"`
	Table    string        `help:"DynamoDB table of the read model." default:"banyan-timeline" env:"TIMELINE_TABLE"`
	Secret   string        `help:"Secret that tokens are signed with, at least 32 bytes. Better set by the environment." env:"BANYAN_JWT_SECRET" placeholder:"SECRET"`
	Timeout  time.Duration `help:"Longest time for one request." default:"5s" env:"REQUEST_TIMEOUT"`
	Shutdown time.Duration `help:"Longest time to finish requests when asked to stop." default:"10s" env:"SHUTDOWN_TIMEOUT"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run parses the arguments, serves, and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var f flags
	exited := -1
	parser, err := kong.New(&f, kong.Name("banyan-timeline"), kong.Description("Serves timelines from their read model."),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { exited = code }))
	if err != nil {
		fmt.Fprintln(stderr, "banyan-timeline:", err)
		return exitFailure
	}
	_, err = parser.Parse(args)
	if exited >= 0 {
		return exited // --help
	}
	if err != nil {
		fmt.Fprintf(stderr, "banyan-timeline: %v (see --help)\n", err)
		return exitUsage
	}
	if len(f.Secret) < timeline.MinSecret {
		fmt.Fprintf(stderr, "banyan-timeline: BANYAN_JWT_SECRET has %d bytes, at least %d are needed\n", len(f.Secret), timeline.MinSecret)
		return exitUsage
	}
	logger := slog.New(slog.NewJSONHandler(stderr, nil))
	if err := f.serve(ctx, logger); err != nil {
		fmt.Fprintln(stderr, "banyan-timeline:", err)
		return exitFailure
	}
	return 0
}

func (f flags) serve(ctx context.Context, logger *slog.Logger) error {
	client, err := connect(ctx, f.Table)
	if err != nil {
		return err
	}
	handler, err := timeline.NewHandler(timeline.Config{
		Reader: readmodel.NewReader(client, f.Table), Secret: []byte(f.Secret), Timeout: f.Timeout, Logger: logger,
	})
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %s (choose another with --listen): %w", f.Listen, err)
	}
	logger.Info("serving timelines", "address", listener.Addr().String(), "table", f.Table)
	return f.until(ctx, &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      f.Timeout + 10*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}, listener)
}

// until serves as long as ctx lives, and finishes what is on its way.
func (f flags) until(ctx context.Context, server *http.Server, listener net.Listener) error {
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.Shutdown)
	defer cancel()
	err := server.Shutdown(grace)
	<-failed // http.ErrServerClosed, as told
	if err != nil {
		return fmt.Errorf("some requests were not finished within %v: %w", f.Shutdown, err)
	}
	return nil
}

// connect makes sure that the table is there, so that a wrong name or endpoint
// shows at once.
func connect(ctx context.Context, table string) (*dynamodb.Client, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRetryer(newRetryer))
	if err != nil {
		return nil, fmt.Errorf("load the AWS configuration: %w", err)
	}
	client := dynamodb.NewFromConfig(cfg)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err = client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	var missing *types.ResourceNotFoundException
	if errors.As(err, &missing) {
		return nil, fmt.Errorf("there is no table %q: create it, or name another with --table or TIMELINE_TABLE", table)
	}
	if err != nil {
		return nil, fmt.Errorf("DynamoDB does not answer for table %q (check AWS_ENDPOINT_URL, AWS_REGION and the credentials): %w", table, err)
	}
	return client, nil
}

// newRetryer comes back soon, since a person waits.
func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 4, 200*time.Millisecond })
}
