package serving

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/willabides/kongplete"

	"github.com/banyan-fig/banyan/infra/awssdk"
)

// Exit codes of a Command. 0 is success.
const (
	ExitFailure = 1 // it could not start, or not go on
	ExitUsage   = 2 // a wrong command line or environment
)

// ErrUsage is for errors of Command.Run that tell of a wrong command line or
// environment: they exit with ExitUsage.
var ErrUsage = errors.New("wrong usage")

// ExitError ends a Command with a code of its own. Where Err is nil nothing is
// printed, because the command has said what there is to say.
type ExitError struct {
	Code int
	Err  error
}

// Error implements error.
func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns Err.
func (e *ExitError) Unwrap() error { return e.Err }

// Command is the command line of a program. Grammar is a pointer to a struct for
// kong; a Validate method of it, or of its parts, refuses wrong values as wrong
// usage.
//
// Three flags are added: --help, --version, and --config, a YAML file that gives
// values to the other flags. A flag counts before its environment variable, and that
// before the file. The file may be named by a variable too, which is called after the
// command: BANYAN_PUBLISH_CONFIG for banyan-publish.
//
// A shell completes verbs, flags and the values of enumerations once it was told that the
// command itself does it: complete -C banyan-publish banyan-publish.
//
// In the tags of flags stands ${env} for the name of the command as a part of variables, without
// banyan-: USERS for banyan-users; beside what Vars adds.
type Command struct {
	Name, Description string
	Grammar           any
	Vars              kong.Vars
	// Run does the work until ctx ends. log writes JSON lines to the standard
	// error.
	Run func(ctx context.Context, parsed *kong.Context, log *slog.Logger) error
	// Exits are the exit codes besides 0, 1 and 2, or those of these that mean
	// something more special here.
	Exits []Exit
}

// Exit is an exit code with what it means.
type Exit struct {
	Code    int
	Meaning string
}

// ExitCodes are all exit codes of the command, ascending.
func (c Command) ExitCodes() []Exit {
	all := map[int]string{
		0:           "done, or stopped as asked",
		ExitFailure: "it failed; the reason is on the standard error",
		ExitUsage:   "a wrong command line, environment or file",
	}
	for _, e := range c.Exits {
		all[e.Code] = e.Meaning
	}
	var sorted []Exit
	for _, code := range slices.Sorted(maps.Keys(all)) {
		sorted = append(sorted, Exit{code, all[code]})
	}
	return sorted
}

// help is the description and the exit codes.
func (c Command) help() string {
	text := c.Description + "\n\nExit codes:"
	for _, e := range c.ExitCodes() {
		text += fmt.Sprintf(" %d %s;", e.Code, e.Meaning)
	}
	return strings.TrimSuffix(text, ";") + "."
}

// Main is the whole main function: it runs until done, or [UntilStopped], and exits.
func (c Command) Main() {
	os.Exit(c.Execute(UntilStopped(), os.Args[1:], os.Stdout, os.Stderr))
}

// UntilStopped is a context that ends with SIGINT, SIGTERM, or SIGHUP, which is
// what a closed terminal sends; a second signal ends the process at once. Under
// nohup SIGHUP stays ignored. Call it once, in main.
func UntilStopped() context.Context {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	context.AfterFunc(ctx, stop)
	return ctx
}

// Execute runs the command with args until ctx ends and returns its exit code.
// What went wrong is said in one line on stderr. slog's default logger is
// replaced.
func (c Command) Execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	exited := -1
	parser, err := c.parser(kong.Writers(stdout, stderr), kong.Exit(func(code int) { exited = code }))
	if err != nil {
		return c.complain(stderr, err, ExitFailure)
	}
	// A shell that completes a command line runs the command with the line in a variable.
	if kongplete.Complete(parser); exited >= 0 {
		return exited
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 {
		return exited // --help or --version
	}
	if err != nil {
		return c.complain(stderr, fmt.Errorf("%w; see %s --help", err, c.Name), ExitUsage)
	}
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	slog.SetDefault(log)
	err = c.Run(ctx, parsed, log)
	own, isOwn := errors.AsType[*ExitError](err)
	switch {
	case err == nil:
		return 0
	case isOwn && own.Err == nil:
		return own.Code
	case isOwn:
		return c.complain(stderr, err, own.Code)
	case errors.Is(err, ErrUsage), errors.Is(err, awssdk.ErrNoRegion):
		return c.complain(stderr, err, ExitUsage)
	}
	return c.complain(stderr, err, ExitFailure)
}

// Model describes the command line, for its reference.
func (c Command) Model() (*kong.Application, error) {
	parser, err := c.parser()
	if err != nil {
		return nil, err
	}
	return parser.Model, nil
}

func (c Command) parser(options ...kong.Option) (*kong.Kong, error) {
	var common struct {
		Config  configFile       `help:"YAML file with values of flags, each named as the flag is without its dashes." env:"${config}" placeholder:"FILE"`
		Version kong.VersionFlag `help:"Print the version and the commit it was built from."`
	}
	return kong.New(c.Grammar, append(options, kong.Name(c.Name), kong.Description(c.help()), kong.Embed(&common), c.Vars, kong.Vars{
		"version": c.Name + " " + Version(), "config": variable(c.Name) + "_CONFIG", "env": strings.TrimPrefix(variable(c.Name), "BANYAN_"),
	})...)
}

func (c Command) complain(stderr io.Writer, err error, code int) int {
	fmt.Fprintf(stderr, "%s: %v\n", c.Name, err)
	return code
}
