// Command banyan-sandbox starts the sandbox alone: stand-ins for the AWS services
// and the MongoDB that Banyan uses, in one process. It prints the variables
// with which any SDK finds them and serves until SIGINT or SIGTERM, or runs a
// command with them and ends with it. It runs functions, too: for a stream, as an
// HTTP API, or for one event.
package main

import (
	"cmp"
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

const description = `Runs the sandbox: Kinesis, DynamoDB with its streams, SQS, Lambda with event source mappings, CloudWatch
(alarms, metrics, logs), Parameter Store, Secrets Manager and MongoDB, in memory, for the official clients. Without a command it
prints the environment variables by which any SDK finds it, and serves until SIGINT or SIGTERM.

A service for which AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_<SERVICE> or MONGODB_URI already names a server is not embedded.

A fault plan has one rule a line, or between semicolons: service.operation kind=probability ..., with * for any service or
operation. Services: %s. Kinds: throttle, partial, timeout-before, timeout-after, internal, duplicate, late, denied. The rule "delay 20ms"
sets how long a late call or a timeout takes. For example:
banyan-sandbox --faults "kinesis.PutRecords throttle=0.1" --stream events -- ./your-tests`

// streamShards is what on-demand streams begin with, too.
const streamShards = 4

type flags struct {
	Addr      string   `help:"Loopback address of the AWS services; default: 127.0.0.1:4566, with a command or --invoke a free port." env:"BANYAN_SANDBOX_ADDR"`
	MongoAddr string   `help:"Loopback address of MongoDB; default: 127.0.0.1:27017, with a command or --invoke a free port." env:"BANYAN_SANDBOX_MONGO_ADDR"`
	Faults    string   `help:"Fault plan, or @FILE with one." placeholder:"PLAN" env:"BANYAN_SANDBOX_FAULTS"`
	Seed      uint64   `help:"Seed that decides which calls the fault plan hits." default:"1" env:"SEED"`
	Stream    []string `help:"Create a stream of four shards; repeatable." placeholder:"NAME" env:"BANYAN_SANDBOX_STREAM"`
	Table     []string `help:"Create a table with the string keys pk and sk; repeatable." placeholder:"NAME" env:"BANYAN_SANDBOX_TABLE"`
	Unlimited bool     `help:"Lift the rate limits of Kinesis shards." env:"BANYAN_SANDBOX_UNLIMITED"`
	Function  []pair   `help:"Create a function from a program or a zip; its output goes to standard error; repeatable." placeholder:"NAME=FILE" sep:"none"`
	Env       []pair   `help:"Environment variable of these functions; repeatable." placeholder:"NAME=VALUE" sep:"none"`
	Map       []pair   `help:"Map a stream, from its beginning, to a function; repeatable." placeholder:"FUNCTION=STREAM" sep:"none"`
	HTTPAPI   []pair   `name:"http-api" help:"Serve a function as an HTTP API (payload 2.0) on loopback; repeatable." placeholder:"FUNCTION=HOST:PORT" sep:"none"`
	Invoke    *pair    `help:"Invoke a function with the event in a file (- for standard input), print its answer and exit." placeholder:"FUNCTION=FILE"`
	Command   []string `arg:"" optional:"" passthrough:"partial" help:"Command to run with the sandbox; its exit code becomes this one's."`
}

// pair is NAME=VALUE.
type pair struct{ name, value string }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *pair) UnmarshalText(text []byte) (err error) {
	var found bool
	if p.name, p.value, found = strings.Cut(string(text), "="); !found || p.name == "" {
		return fmt.Errorf("invalid pair %q: must be NAME=VALUE", text)
	}
	return nil
}

func main() { newCommand().Main() }

func newCommand() serving.Command {
	var f flags
	return serving.Command{
		Name: "banyan-sandbox", Description: fmt.Sprintf(description, strings.Join(sandbox.Services(), ", ")), Grammar: &f,
		Exits: []serving.Exit{{Code: serving.ExitFailure, Meaning: "the sandbox or the invoked function failed; with a command, the exit code is that command's"}},
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
		return sandbox.Config{}, errors.New("--invoke and a command exclude each other: give one of them")
	}
	plan, err := f.plan()
	cfg := sandbox.Config{Addr: f.Addr, MongoAddr: f.MongoAddr, Faults: plan, Seed: f.Seed, Unlimited: f.Unlimited, FunctionLog: os.Stderr}
	if len(f.command()) == 0 && f.Invoke == nil {
		cfg.Addr, cfg.MongoAddr = cmp.Or(cfg.Addr, "127.0.0.1:4566"), cmp.Or(cfg.MongoAddr, "127.0.0.1:27017")
	}
	if err == nil {
		err = cfg.Validate()
	}
	return cfg, err
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
		fmt.Fprintln(out, "# nothing is embedded: your environment names a server for every service (AWS_ENDPOINT_URL..., "+
			"MONGODB_URI; unset these if they are of a sandbox that ended)")
	} else {
		fmt.Fprintf(out, "# embedded: %s; ctrl-c ends it, and its data is gone\n", strings.Join(s.Embedded(), ", "))
		if len(theirs) > 0 {
			fmt.Fprintf(out, "# not embedded, since your environment names servers for them (AWS_ENDPOINT_URL..., MONGODB_URI; unset these if "+
				"they are of a sandbox that ended): %s\n", strings.Join(theirs, ", "))
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
