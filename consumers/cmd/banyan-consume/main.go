// Command banyan-consume is for who operates consumers:
//
//	deadletters  list, show, redrive, discard and count the events that they gave up on
//	erase        make what events say about a person unreadable for ever
//	recommend    derive the lists of whom users may want to connect with; export the graph
//	warehouse    make rows of an archive's events, and print the schemas of their tables
//	archive      verify and seal the archive of a stream
//	replay       invoke a function again with events of the past
//	rebuild      build a read model anew beside the live one, and switch to it and back
//
// Flags can also be environment variables, which --help names, or keys of the YAML file
// given with --config, named like the flag without its dashes; a flag counts before a
// variable, and that before the file.
//
//	AWS_REGION=eu-west-1 banyan-consume deadletters stats
package main

import (
	"context"
	"log/slog"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/consumers/rebuild/livetable"
	"github.com/banyan-fig/banyan/events/personal/keytable"
	"github.com/banyan-fig/banyan/infra/serving"
)

func main() { newCommand().Main() }

// grammar is the command line.
type grammar struct {
	Deadletters deadLettersCommand `cmd:"" help:"The events that consumers gave up on."`
	Erase       eraseCommand       `cmd:"" help:"Make what events say about a person unreadable, for ever, wherever a copy lies."`
	Recommend   recommendCommand   `cmd:"" help:"Whom users may want to connect with."`
	Warehouse   warehouseCommand   `cmd:"" help:"Events as rows of a data warehouse."`
	Archive     archiveCommand     `cmd:"" help:"The archive of a stream."`
	Replay      replayCommand      `cmd:"" help:"Invoke a function again with events of the past, from an archive and the stream."`
	Rebuild     rebuildCommand     `cmd:"" help:"A read model anew in a second table, beside the live one: go doc ./consumers/rebuild has the steps."`
}

// Exit codes besides those of serving.
const (
	exitFailed  = 3
	exitUnknown = 4
	exitStopped = 5
	exitDamaged = 6
	exitDiffers = 7
)

func newCommand() serving.Command {
	var g grammar
	return serving.Command{
		Name:        "banyan-consume",
		Description: "Operate consumers: their dead letters, read models and archives.",
		Grammar:     &g,
		Vars:        kong.Vars{"letters": deadletter.DefaultTable, "rebuilds": livetable.DefaultControl, "keys": keytable.DefaultTable},
		Run: func(ctx context.Context, parsed *kong.Context, log *slog.Logger) error {
			parsed.BindTo(ctx, (*context.Context)(nil))
			return parsed.Run(log)
		},
		Exits: []serving.Exit{
			{Code: exitFailed, Meaning: "done, but some failed; each reason is on the standard error"},
			{Code: exitUnknown, Meaning: "no dead letters of that consumer, not even redriven ones; the error says which consumers have some"},
			{Code: exitStopped, Meaning: "stopped before the end, by a signal; run it again to go on"},
			{Code: exitDamaged, Meaning: "the archive is not what was written; each problem is on the standard output"},
			{Code: exitDiffers, Meaning: "the new table of a rebuild is not what the live one is; each difference is on the standard output"},
		},
	}
}
