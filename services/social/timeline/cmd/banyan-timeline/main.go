// Command banyan-timeline serves the timeline API over its read model, until
// SIGINT or SIGTERM; requests on their way are finished first.
package main

import (
	"context"
	"log/slog"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/infra/token/keys"
	"github.com/banyan-fig/banyan/services/social/timeline/cmd/internal/wiring"
)

// command is the command line.
type command struct {
	Listen string `help:"Address to serve on." default:"127.0.0.1:8083" env:"TIMELINE_LISTEN"`
	wiring.Settings
}

func main() { newCommand().Main() }

func newCommand() serving.Command {
	var c command
	return serving.Command{
		Name: "banyan-timeline", Description: "Serves timelines from their read model.", Grammar: &c,
		Run: func(ctx context.Context, _ *kong.Context, log *slog.Logger) error { return c.serve(ctx, log) },
	}
}

func (c *command) serve(ctx context.Context, log *slog.Logger) error {
	settings := config.NewSettings()
	defer settings.Close()
	tokens, stop, err := keys.Open(ctx, settings, c.JwtSecret, 0, log)
	if err != nil {
		return err
	}
	defer stop()
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return err
	}
	handler, err := c.Handler(ctx, sdk, tokens, log)
	if err != nil {
		return err
	}
	server, err := serving.Listen("--listen", c.Listen, handler)
	if err != nil {
		return err
	}
	log.InfoContext(ctx, "serving timelines", "address", server.Addr().String(), "table", c.Table)
	return serving.Run(ctx, server)
}
