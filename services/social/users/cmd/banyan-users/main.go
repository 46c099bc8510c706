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
	"log/slog"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/infra/serving"
)

func main() { newCommand().Main() }

func newCommand() serving.Command {
	var c command
	return serving.Command{
		Name: "banyan-users", Description: "The users service: an HTTP API over whichever store owns the users.", Grammar: &c,
		Run: func(ctx context.Context, _ *kong.Context, log *slog.Logger) error { return c.serve(ctx, log) },
	}
}
