// Command banyan-migrate moves one entity from MongoDB to DynamoDB, one verb after
// another: init, plan, run, verify, cutover; status shows the state of the migration.
// migrate/README.md is its quick start, migrate/RUNBOOK.md a runbook for a cut-over.
//
// It reads MONGODB_URI (the database in its path) and the variables every AWS
// SDK reads. It exits with 0 when the verb succeeded, 1 when it failed or found
// something, and 2 for a wrong command line.
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
			out := &output{stdout: parsed.Stdout, stderr: parsed.Stderr, json: cli.JSON, terminal: isTerminal(parsed.Stderr)}
			defer out.endLine()
			parsed.BindTo(ctx, (*context.Context)(nil))
			err := parsed.Run(&cli.settings, out)
			if _, shown := errors.AsType[shownError](err); shown {
				return &serving.ExitError{Code: serving.ExitFailure}
			}
			return err
		},
	}
}
