package figures

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes of a benchmark.
const (
	exitFailure = 1
	exitUsage   = 2
)

// Main is the main function of a benchmark: it parses the command line into flags, a struct
// as kong takes it, and calls run with a context that ends with SIGINT or SIGTERM. It exits
// with 1 where run fails, and with 2 for a wrong command line.
func Main(flags any, description string, vars kong.Vars, run func(context.Context) error) {
	parser := kong.Must(flags, kong.Name("bench"), kong.Description(description), vars)
	if _, err := parser.Parse(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err, "(see --help)")
		os.Exit(exitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(exitFailure)
	}
}
