package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/publishers/internal/bsonjson"
)

// databaseFlags name the database of a command that looks into it.
type databaseFlags struct {
	MongodbURI string `name:"mongodb-uri" help:"The database, named in the path, or a reference to its URI (ssm:/name, secret:name), whose changes are followed." env:"MONGODB_URI" required:"" placeholder:"$MONGODB_URI"`
}

// open opens the database; end leaves it.
func (f *databaseFlags) open(ctx context.Context) (db *mongoclient.Database, end func() error, err error) {
	settings := config.NewSettings()
	if db, err = mongoclient.Connect(ctx, settings, f.MongodbURI, slog.Default()); err != nil {
		settings.Close()
		return nil, nil, err
	}
	return db, func() error {
		defer settings.Close()
		return closeIn(db.Close)
	}, nil
}

// within opens the database for as long as do takes.
func (f *databaseFlags) within(ctx context.Context, do func(*mongoclient.Database) error) error {
	db, end, err := f.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(db), end())
}

// once takes something out of the database. Where that is repeated, what is gone was
// taken out by the first time.
func once(ctx context.Context, db *mongoclient.Database, gone error, do func(context.Context, *mongo.Database) error) error {
	tries := 0
	return db.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
		tries++
		if err := do(ctx, db); tries == 1 || !errors.Is(err, gone) {
			return err
		}
		return nil
	})
}

// choice says which of what a collection of refused ones holds.
type choice struct {
	ID  []string `name:"id" help:"Those with these ids, as the list shows them."`
	All bool     `help:"All of them."`
}

// Validate is called by kong.
func (c *choice) Validate() error {
	if !c.All && len(c.ID) == 0 {
		return errors.New("say which: --id or --all")
	}
	return nil
}

func (c *choice) match(id string) bool { return c.All || slices.Contains(c.ID, id) }

// listFlags are those of a list.
type listFlags struct {
	asJSON
	Entries int `help:"Most to list; 0 for all." default:"20" env:"BANYAN_PUBLISH_ENTRIES"`
}

// aside is what was refused, as a list shows it.
type aside struct {
	id, collection, document, reason string
	at                               time.Time
	whole                            any // for machines
}

// asides collects what a list shows, and counts the rest.
type asides struct {
	list  []aside
	most  int
	total int
}

func (a *asides) add(one aside) {
	if a.total++; a.most <= 0 || len(a.list) < a.most {
		a.list = append(a.list, one)
	}
}

// print ends with how to go on, in the words of the command.
func (a *asides) print(w io.Writer, command string, machine bool) error {
	if machine {
		return a.printJSON(w)
	}
	if a.total == 0 {
		_, err := fmt.Fprintln(w, "nothing is refused")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "ID\tAT\tCOLLECTION\tDOCUMENT\tREASON\n")
	for _, one := range a.list {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", printable(one.id), one.at.UTC().Format(time.RFC3339), printable(one.collection), printable(one.document),
			printable(strings.ReplaceAll(one.reason, "\n", "; ")))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if more := a.total - len(a.list); more > 0 {
		fmt.Fprintf(w, "and %d more: --entries=0 lists all\n", more)
	}
	_, err := fmt.Fprintf(w, "when the cause is mended: %s redrive; to give them up: %s discard\n", command, command)
	return err
}

// printJSON writes them whole, as relaxed extended JSON.
func (a *asides) printJSON(w io.Writer) error {
	all := bson.A{}
	for _, one := range a.list {
		all = append(all, one.whole)
	}
	text, err := bson.MarshalExtJSONIndent(bson.D{{Key: "total", Value: a.total}, {Key: "refused", Value: all}}, false, false, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", text)
	return err
}

// keyText is a document key as people know it.
func keyText(key bson.Raw) string {
	if text, err := bsonjson.Text(key.Lookup("_id")); err == nil {
		return text
	}
	return key.String()
}

// chosen is what a command with a choice has to do something with.
func chosen(all []string, c *choice, list string) ([]string, error) {
	var some []string
	for _, id := range all {
		if c.match(id) {
			some = append(some, id)
		}
	}
	for _, id := range c.ID {
		if !slices.Contains(some, id) {
			return nil, fmt.Errorf("%q is not refused; %s lists what is", id, list)
		}
	}
	if len(some) == 0 {
		return nil, errors.New("nothing is refused")
	}
	return some, nil
}

// each does something with all of them and tells how many it was done with.
func each(w io.Writer, ids []string, what string, do func(id string) error) error {
	done := 0
	var failed error
	for _, id := range ids {
		if failed = do(id); failed != nil {
			break
		}
		done++
	}
	if done > 0 {
		fmt.Fprintf(w, "%s %s\n", count(uint64(done)), what)
	}
	return failed
}
