// Command banyan-publish publishes on behalf of programs that cannot do it by
// themselves:
//
//	serve   accepts CloudEvents over HTTP from an app in any language (the sidecar)
//	spool   lists the events kept on disk (inspect), and sends them (drain)
//	relay   publishes what was written to an outbox in MongoDB (run)
//	changes publishes document changes of MongoDB as events, by a mapping (run);
//	        forget makes its next start like the first
//
// The last three keep what cannot be published: spool inspect, relay refused and
// changes refused show it with the reason, redrive retries it once the cause is
// corrected, and discard deletes it.
//
// Every flag can also be an environment variable, which --help names, or a key of
// the YAML file given with --config, named like the flag without its dashes; a flag
// counts before a variable, and that before the file.
//
//	AWS_REGION=eu-west-1 banyan-publish serve --stream banyan-events --spool /var/lib/banyan/spool
//
// It exits with 0 when it did its work, or was stopped with nothing
// unsent, 1 when it failed or left something unsent, and 2 for
// an invalid command line, environment or file.
package main

import (
	"context"
	"log/slog"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/infra/serving"
)

func main() { newCommand().Main() }

// grammar is the command line.
type grammar struct {
	Serve   serveCommand   `cmd:"" help:"Accept CloudEvents over HTTP, as a sidecar."`
	Spool   spoolCommand   `cmd:"" help:"Inspect a spool, and drain it."`
	Relay   relayCommand   `cmd:"" help:"Publish what was written to an outbox in MongoDB."`
	Changes changesCommand `cmd:"" help:"Publish document changes of MongoDB as events, by a mapping."`
}

func newCommand() serving.Command {
	var g grammar
	return serving.Command{
		Name:        "banyan-publish",
		Description: "Publish events on behalf of programs that cannot do it by themselves.",
		Grammar:     &g,
		Run: func(ctx context.Context, parsed *kong.Context, log *slog.Logger) error {
			parsed.BindTo(ctx, (*context.Context)(nil))
			return parsed.Run(log)
		},
	}
}
