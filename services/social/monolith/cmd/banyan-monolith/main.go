// Command banyan-monolith is the sample legacy application.
//
//	serve      serves the old mobile API
//	import     loads users from a mongoexport file
//	generate   makes up users, follows and posts
//	snapshot   publishes what is there, for read models that begin empty
//
// It exits with 0 when done or after SIGINT or SIGTERM, 1 on failure, and 2 for a
// wrong command line.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/infra/serving"
)

// commands is the command line.
type commands struct {
	MongodbURI string `help:"Legacy database: URI or reference, ssm:/name, secret:name." env:"MONGODB_URI" required:"" placeholder:"$MONGODB_URI"`

	Serve    serve        `cmd:"" help:"Serve the old mobile API."`
	Import   importUsers  `cmd:"" help:"Load users from a mongoexport file in extended JSON: one a line, or an array."`
	Generate generate     `cmd:"" help:"Make up users, follows and posts, the same for the same seed."`
	Snapshot snapshotting `cmd:"" help:"Publish the users, follows and posts that are there already."`
}

// env is what every command works with.
type env struct {
	settings *config.Settings
	db       *mongoclient.Database
	log      *slog.Logger
	out      io.Writer // results, for machines
	screen   *screen   // progress, for people
}

func main() { newCommand().Main() }

func newCommand() serving.Command {
	var cmd commands
	return serving.Command{
		Name: "banyan-monolith", Description: "The sample legacy application that Banyan strangles.", Grammar: &cmd,
		Run: func(ctx context.Context, parsed *kong.Context, log *slog.Logger) error {
			return run(ctx, parsed, cmd.MongodbURI, log)
		},
	}
}

func run(ctx context.Context, parsed *kong.Context, uri string, log *slog.Logger) (err error) {
	settings := config.NewSettings()
	defer settings.Close()
	db, err := mongoclient.Connect(ctx, settings, uri, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close(context.WithoutCancel(ctx))) }()
	e := &env{settings: settings, db: db, log: log, out: os.Stdout, screen: newScreen(os.Stderr)}
	parsed.BindTo(ctx, (*context.Context)(nil))
	return parsed.Run(e)
}

// print writes a summary as one line of JSON.
func (e *env) print(summary any) error {
	return json.NewEncoder(e.out).Encode(summary)
}
