// Command banyan-migrate moves one entity from MongoDB to DynamoDB, one verb after
// another: init, plan, clients, encapsulate, run, verify, cutover; status shows the state of the migration.
// migrate/README.md is its quick start, migrate/RUNBOOK.md a runbook for a cut-over.
//
// It reads MONGODB_URI (the database in its path) and the variables every AWS
// SDK reads. Its exit codes, which --help lists, tell apart what failed, what was
// refused, what was undone, and what was found.
package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/infra/serving"
)

func main() { newCommand().Main() }

func newCommand() serving.Command {
	var cli commands
	return serving.Command{
		Name: "banyan-migrate", Description: "Move one entity from MongoDB to DynamoDB while traffic runs.", Grammar: &cli,
		Run: func(ctx context.Context, parsed *kong.Context, _ *slog.Logger) error {
			out := newOutput(parsed.Stdout, parsed.Stderr, cli.JSON)
			out.several = cli.isDirectory()
			defer out.endLine()
			out.hooks = newHooks(&cli.settings, out, parsed)
			err := out.hooks.around(ctx, func(ctx context.Context) error {
				open := &opener{settings: &cli.settings, ctx: ctx, out: out}
				defer open.close()
				parsed.BindTo(ctx, (*context.Context)(nil))
				// A verb that has one of these as a parameter is connected to the stores.
				if err := errors.Join(parsed.BindToProvider(open.engine), parsed.BindToProvider(open.engines)); err != nil {
					return err
				}
				return parsed.Run(&cli.settings, out, open)
			})
			code := exitCode(ctx, err)
			out.hooks.ended(ctx, err, code)
			return out.exit(err, code)
		},
		Exits: exits,
	}
}
