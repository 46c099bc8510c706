package main

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/banyan-fig/banyan/publishers/spool"
)

// spoolCommand are the commands about a spool.
type spoolCommand struct {
	Inspect inspectCommand `cmd:"" help:"Show what is in a spool, also while a sidecar uses it."`
	Drain   drainCommand   `cmd:"" help:"Send what is in a spool that no process uses, until it is empty."`
	Redrive redriveCommand `cmd:"" help:"Put refused events behind those that wait, to be sent again."`
	Discard discardCommand `cmd:"" help:"Delete refused events for good."`
}

// spoolFile names the spool of a command.
type spoolFile struct {
	Spool string `help:"The file of the spool." env:"BANYAN_PUBLISH_SPOOL" required:"" placeholder:"FILE"`
}

// asJSON is for machines.
type asJSON struct {
	JSON bool `name:"json" help:"Print JSON." env:"BANYAN_PUBLISH_JSON"`
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// lockTimeout is how long a command waits for a sidecar that is just ending.
const lockTimeout = time.Second

// closeTimeout bounds closing a file or a database.
const closeTimeout = 5 * time.Second

// closeIn closes within closeTimeout.
func closeIn(closer func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return closer(ctx)
}

// openExisting opens a spool that exists; it does not create one.
func openExisting(ctx context.Context, cfg spool.Config) (*spool.Spool, error) {
	if err := checkExists(ctx, cfg.Path); err != nil {
		return nil, err
	}
	return openSpool(ctx, cfg)
}

// checkExists returns an error that says why there is no spool at path.
func checkExists(ctx context.Context, path string) error {
	_, err := spool.Inspect(ctx, path, spool.InspectOptions{Entries: -1, Refused: -1, Keys: -1})
	return err
}
