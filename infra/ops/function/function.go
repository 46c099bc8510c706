// Package function is what the operations functions have in common: how they
// start on Lambda, log, and count, and which errors they try again.
//
// They log JSON to the standard error at LOG_LEVEL (debug, info, warn or error;
// default info), and write metrics in the embedded format to the standard output.
package function

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

// Namespace of the metrics of operations functions.
const Namespace = "Banyan/Operations"

// Parts are what a function is made of.
type Parts struct {
	AWS     aws.Config
	Getenv  func(string) string
	Logger  *slog.Logger
	Metrics *emf.Writer
}

// Main runs a function until Lambda ends it. It exits with a sentence on the
// standard error when the environment does not allow that. handler is anything
// that lambda.Start takes.
func Main(name string, handler func(Parts) (any, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	parts, err := load(ctx, name, os.Getenv, os.Stdout, os.Stderr)
	cancel()
	var h any
	if err == nil {
		h, err = handler(parts)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: cannot start: %v\n", name, err)
		os.Exit(1)
	}
	lambda.Start(h)
}

func load(ctx context.Context, name string, getenv func(string) string, out, log io.Writer) (Parts, error) {
	level, err := Level(getenv)
	if err != nil {
		return Parts{}, err
	}
	cfg, err := awssdk.Load(ctx)
	if err != nil {
		return Parts{}, err
	}
	logger := slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: level})).With("function", name)
	return Parts{AWS: cfg, Getenv: getenv, Logger: logger, Metrics: emf.New(out, Namespace)}, nil
}

// Level reads LOG_LEVEL.
func Level(getenv func(string) string) (slog.Level, error) {
	var level slog.Level // info
	text := getenv("LOG_LEVEL")
	if text == "" {
		return level, nil
	}
	if err := level.UnmarshalText([]byte(text)); err != nil {
		return level, fmt.Errorf("invalid LOG_LEVEL %q: must be debug, info, warn or error", text)
	}
	return level, nil
}
