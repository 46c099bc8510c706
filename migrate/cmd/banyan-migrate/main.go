// Command banyan-migrate moves one entity from MongoDB to DynamoDB, a verb at a
// time: plan, run, verify, cutover; status shows where it is.
//
// It reads MONGODB_URI (the database in its path) and the variables every AWS
// SDK reads. It exits with 0 when the verb did what it says, 1 when it did not,
// and 2 when it was not understood.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/infra/serving"
)

func main() {
	os.Exit(Main(serving.UntilStopped(), os.Args[1:], os.Stdout, os.Stderr))
}

// exit carries an exit code out of kong, which would end the process itself.
type exit int

// Main runs one command line and returns the exit code.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	defer func() {
		if r := recover(); r != nil {
			c, ok := r.(exit)
			if !ok {
				panic(r)
			}
			code = int(c)
		}
	}()
	var cli commands
	parser, err := kong.New(&cli, kong.Name("banyan-migrate"), kong.Description("Move one entity from MongoDB to DynamoDB while traffic runs."),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { panic(exit(code)) }), kong.UsageOnError(), kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		fmt.Fprintln(stderr, "banyan-migrate:", err)
		return 2
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "banyan-migrate: %v; see banyan-migrate --help\n", err)
		return 2
	}
	out := &output{stdout: stdout, stderr: stderr, json: cli.JSON, terminal: isTerminal(stderr)}
	defer out.end()
	if err := parsed.Run(&cli.settings, out); err != nil {
		return out.fail(err)
	}
	return 0
}

// fail tells an error in one sentence, once.
func (o *output) fail(err error) int {
	o.end()
	var told toldError
	if !errors.As(err, &told) {
		fmt.Fprintln(o.stderr, "banyan-migrate:", err)
	}
	return 1
}
