// Command banyan-users runs the users service: its API on one address, health and
// metrics on another.
//
//	MONGODB_URI=mongodb://127.0.0.1:27017/legacy banyan-users --listen 127.0.0.1:8081
//
// It exits with 0 after SIGINT or SIGTERM, 1 when it cannot start or go on, and 2
// for a wrong command line.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	var cmd command
	parser := kong.Must(&cmd, kong.Name("banyan-users"),
		kong.Description("The users service: an HTTP API over whichever store owns the users."))
	if _, err := parser.Parse(os.Args[1:]); err != nil {
		parser.Errorf("%v; see --help", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := cmd.Run(ctx, slog.New(slog.NewTextHandler(os.Stderr, nil))); err != nil {
		fmt.Fprintf(os.Stderr, "banyan-users: %v\n", err)
		stop()
		os.Exit(1)
	}
}
