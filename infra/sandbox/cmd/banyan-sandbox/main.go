// Command banyan-sandbox starts the sandbox alone: stand-ins for the AWS services
// and the MongoDB that Banyan uses, in one process. It prints the variables
// with which any SDK finds them and serves until SIGINT or SIGTERM, or runs a
// command with them and ends with it. It runs functions, too: for a stream, as an
// HTTP API, or for one event.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/infra/sandbox"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	"github.com/banyan-fig/banyan/infra/serving"
)

const description = `The sandbox alone, or with functions in it: Kinesis, DynamoDB and its streams, SQS, Lambda with event source mappings, CloudWatch (alarms, metrics, logs), Parameter Store, Secrets Manager and MongoDB, in memory, over the wire.

A service for which AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_<SERVICE> or MONGODB_URI already names a server is not embedded.

A plan of faults has a rule a line (or between semicolons): service.operation kind=probability ..., with * for any; the services are %s; the kinds are throttle, partial, timeout-before, timeout-after, internal, duplicate, late and denied.`

// streamShards is what on-demand streams begin with, too.
const streamShards = 4

type flags struct {
	Addr      string   `help:"Where the AWS services listen, loopback only; default: 127.0.0.1:4566, or a free port for a command or --invoke." env:"BANYAN_SANDBOX_ADDR"`
	MongoAddr string   `help:"Where MongoDB listens, loopback only; default: 127.0.0.1:27017, or a free port for a command or --invoke." env:"BANYAN_SANDBOX_MONGO_ADDR"`
	Faults    string   `help:"A plan of faults, or @FILE with one." placeholder:"PLAN" env:"BANYAN_SANDBOX_FAULTS"`
	Seed      uint64   `help:"Which calls the plan hits." default:"1" env:"SEED"`
	Stream    []string `help:"Create a stream of this name, with four shards, before anything else; may be repeated." placeholder:"NAME" env:"BANYAN_SANDBOX_STREAM"`
	Table     []string `help:"Create a table of this name, with the string keys pk and sk as read models have; may be repeated." placeholder:"NAME" env:"BANYAN_SANDBOX_TABLE"`
	Unlimited bool     `help:"Lift the rates of Kinesis shards." env:"BANYAN_SANDBOX_UNLIMITED"`
	Function  []pair   `help:"Create a function of a program, or of a zip with one named bootstrap; may be repeated. What it prints goes to the standard error." placeholder:"NAME=FILE" sep:"none"`
	Env       []pair   `help:"A variable of these functions; may be repeated. How to find the sandbox they are told anyway." placeholder:"NAME=VALUE" sep:"none"`
	Map       []pair   `help:"Let a function read a stream from its beginning; may be repeated." placeholder:"FUNCTION=STREAM" sep:"none"`
	HTTPAPI   []pair   `name:"http-api" help:"Serve a function as an HTTP API (payload format 2.0) at an address on loopback; may be repeated." placeholder:"FUNCTION=HOST:PORT" sep:"none"`
	Invoke    *pair    `help:"Invoke a function with the event in a file (- is the standard input), write its answer to the standard output, and end: with 1 if the function failed." placeholder:"FUNCTION=FILE"`
	Command   []string `arg:"" optional:"" passthrough:"partial" help:"A command to run with the sandbox; its exit code becomes this one's."`
}

// pair is NAME=VALUE.
type pair struct{ name, value string }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *pair) UnmarshalText(text []byte) (err error) {
	var found bool
	if p.name, p.value, found = strings.Cut(string(text), "="); !found || p.name == "" {
		return fmt.Errorf("%q is not of the form NAME=VALUE", text)
	}
	return nil
}

func main() { newCommand().Main() }

func newCommand() serving.Command {
	var f flags
	return serving.Command{
		Name: "banyan-sandbox", Description: fmt.Sprintf(description, strings.Join(sandbox.Services(), ", ")), Grammar: &f,
		Exits: []serving.Exit{{Code: serving.ExitFailure, Meaning: "it failed, or the invoked function did; with a command, that command's exit code"}},
		Run: func(ctx context.Context, parsed *kong.Context, _ *slog.Logger) error {
			code, err := f.run(ctx, parsed.Stdout)
			if code == 0 {
				return err
			}
			return &serving.ExitError{Code: code, Err: err}
		},
	}
}

// run returns the exit code, and what to say about it.
func (f flags) run(ctx context.Context, out io.Writer) (code int, err error) {
	cfg, err := f.config()
	if err != nil {
		return 2, err
	}
	sandbox, err := sandbox.Start(ctx, cfg)
	if err != nil {
		return 1, err
	}
	defer func() {
		if closeErr := sandbox.Close(); closeErr != nil {
			code, err = max(code, 1), errors.Join(err, closeErr)
		}
	}()
	if err := f.furnish(ctx, sandbox); err != nil {
		return 1, err
	}
	urls, err := f.serve(ctx, sandbox)
	switch {
	case err != nil:
		return 1, err
	case f.Invoke != nil:
		return f.invoke(ctx, sandbox, out)
	case len(f.command()) > 0:
		return execute(ctx, f.command(), sandbox.Env())
	}
	announce(out, sandbox, urls)
	if len(sandbox.Embedded()) > 0 || len(urls) > 0 {
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

func (f flags) config() (sandbox.Config, error) {
	if f.Invoke != nil && len(f.command()) > 0 {
		return sandbox.Config{}, errors.New("--invoke ends after it, so there is no time for a command: give one of them")
	}
	plan, err := f.plan()
	cfg := sandbox.Config{Addr: f.Addr, MongoAddr: f.MongoAddr, Faults: plan, Seed: f.Seed, Unlimited: f.Unlimited, FunctionLog: os.Stderr}
	if len(f.command()) == 0 && f.Invoke == nil {
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
func announce(out io.Writer, s *sandbox.Sandbox, urls []string) {
	theirs := slices.DeleteFunc(sandbox.Services(), func(service string) bool { return slices.Contains(s.Embedded(), service) })
	if len(s.Embedded()) == 0 {
		fmt.Fprintln(out, "# nothing is embedded: your environment names a server for every service")
	} else {
		fmt.Fprintf(out, "# embedded: %s; ctrl-c ends it, and its data is gone\n", strings.Join(s.Embedded(), ", "))
		if len(theirs) > 0 {
			fmt.Fprintf(out, "# not embedded, since your environment names servers for them (AWS_ENDPOINT_URL..., MONGODB_URI; unset these if they are of a sandbox that ended): %s\n", strings.Join(theirs, ", "))
		}
	}
	for _, url := range urls {
		fmt.Fprintln(out, "# HTTP API:", url)
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
