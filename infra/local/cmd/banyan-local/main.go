// Command banyan-local starts the sandbox alone: stand-ins for the AWS services
// and the MongoDB that Banyan uses, in one process. It prints the variables
// with which any SDK finds them and serves until SIGINT or SIGTERM, or runs a
// command with them and ends with it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/infra/local"
	"github.com/banyan-fig/banyan/infra/local/fault"
)

const description = `The sandbox alone: Kinesis, DynamoDB and its streams, SQS, Lambda with event source mappings, CloudWatch (alarms, metrics, logs), Parameter Store, Secrets Manager and MongoDB, in memory, over the wire.

A service for which AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_<SERVICE> or MONGODB_URI already names a server is not embedded.

A plan of faults has a rule a line (or between semicolons): service.operation kind=probability ..., with * for any; the services are %s; the kinds are throttle, partial, timeout-before, timeout-after, internal, duplicate, late and denied.`

// streamShards is what on-demand streams begin with, too.
const streamShards = 4

type flags struct {
	Addr      string   `help:"Where the AWS services listen, loopback only; default: 127.0.0.1:4566, or a free port for a command." env:"BANYAN_LOCAL_ADDR"`
	MongoAddr string   `help:"Where MongoDB listens, loopback only; default: 127.0.0.1:27017, or a free port for a command." env:"BANYAN_LOCAL_MONGO_ADDR"`
	Faults    string   `help:"A plan of faults, or @FILE with one." placeholder:"PLAN" env:"BANYAN_LOCAL_FAULTS"`
	Seed      uint64   `help:"Which calls the plan hits." default:"1" env:"SEED"`
	Stream    []string `help:"Create a stream of this name, with four shards, before anything else; may be repeated." placeholder:"NAME" env:"BANYAN_LOCAL_STREAM"`
	Unlimited bool     `help:"Lift the rates of Kinesis shards." env:"BANYAN_LOCAL_UNLIMITED"`
	Command   []string `arg:"" optional:"" passthrough:"partial" help:"A command to run with the sandbox; its exit code becomes this one's."`
}

func main() {
	var f flags
	parser, err := kong.New(&f, kong.Name("banyan-local"), kong.Description(fmt.Sprintf(description, strings.Join(local.Services(), ", "))))
	if err != nil {
		panic(err)
	}
	if _, err := parser.Parse(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "banyan-local:", err, "(see banyan-local --help)")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code, err := f.run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "banyan-local:", err)
	}
	os.Exit(code)
}

// run returns the exit code, and what to say about it.
func (f flags) run(ctx context.Context, out io.Writer) (code int, err error) {
	cfg, err := f.config()
	if err != nil {
		return 2, err
	}
	sandbox, err := local.Start(ctx, cfg)
	if err != nil {
		return 1, err
	}
	defer func() {
		if closeErr := sandbox.Close(); closeErr != nil {
			code, err = max(code, 1), errors.Join(err, closeErr)
		}
	}()
	for _, name := range f.Stream {
		if err := sandbox.CreateStream(ctx, name, streamShards); err != nil {
			return 1, err
		}
	}
	if len(f.command()) > 0 {
		return execute(ctx, f.command(), sandbox.Env())
	}
	announce(out, sandbox)
	if len(sandbox.Embedded()) > 0 {
		<-ctx.Done()
	}
	return 0, nil
}

// command is what follows the flags, with or without "--" before it.
func (f flags) command() []string {
	if len(f.Command) > 0 && f.Command[0] == "--" {
		return f.Command[1:]
	}
	return f.Command
}

func (f flags) config() (local.Config, error) {
	plan, err := f.plan()
	cfg := local.Config{Addr: f.Addr, MongoAddr: f.MongoAddr, Faults: plan, Seed: f.Seed, Unlimited: f.Unlimited, FunctionLog: os.Stderr}
	if len(f.command()) == 0 {
		cfg.Addr, cfg.MongoAddr = orElse(cfg.Addr, "127.0.0.1:4566"), orElse(cfg.MongoAddr, "127.0.0.1:27017")
	}
	if err == nil {
		err = cfg.Validate()
	}
	return cfg, err
}

func orElse(s, byDefault string) string {
	if s == "" {
		return byDefault
	}
	return s
}

func (f flags) plan() (fault.Plan, error) {
	text := f.Faults
	if name, ok := strings.CutPrefix(text, "@"); ok {
		b, err := os.ReadFile(name)
		if err != nil {
			return fault.Plan{}, fmt.Errorf("reading the fault plan: %w", err)
		}
		text = string(b)
	}
	return fault.Parse(text)
}

// announce prints what a shell can read: exports, and the rest as comments.
func announce(out io.Writer, s *local.Sandbox) {
	if len(s.Embedded()) == 0 {
		fmt.Fprintln(out, "# nothing is embedded: your environment names a server for every service")
	} else {
		fmt.Fprintf(out, "# embedded: %s; ctrl-c ends it, and its data is gone\n", strings.Join(s.Embedded(), ", "))
	}
	for _, export := range s.Exports() {
		fmt.Fprintln(out, export)
	}
}

// execute runs a command to its end; a signal is handed on to it.
func execute(ctx context.Context, args, env []string) (int, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return 1, fmt.Errorf("running %s: %w", args[0], err)
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), fmt.Errorf("%s was ended by a signal: %s", args[0], status.Signal())
	}
	return cmd.ProcessState.ExitCode(), nil // the command speaks for itself
}
