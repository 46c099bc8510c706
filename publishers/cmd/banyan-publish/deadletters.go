package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/publishers/internal/bsonjson"
)

// deadLetter is an event or a change that could not be published.
type deadLetter struct {
	id, collection, document, reason string
	at                               time.Time
	whole                            any // for --json
}

// deadLetters is a collection of dead letters in a database, with the operations on one.
// Each function may run twice, as [mongoclient.Database.Do] repeats it.
type deadLetters struct {
	db      *mongoclient.Database
	command string // such as "banyan-publish relay"
	each    func(ctx context.Context, db *mongo.Database, visit func(deadLetter)) error
}

// list prints the first of them, and which commands handle them.
func (d *deadLetters) list(ctx context.Context, w io.Writer, f *listFlags) error {
	var listed []deadLetter
	total := 0
	err := d.db.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
		listed, total = nil, 0
		return d.each(ctx, db, func(one deadLetter) {
			if total++; f.Entries <= 0 || total <= f.Entries {
				listed = append(listed, one)
			}
		})
	})
	switch {
	case err != nil:
		return err
	case f.JSON:
		return printDeadLettersJSON(w, listed, total)
	case total == 0:
		_, err := fmt.Fprintln(w, "nothing is refused")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "ID\tAT\tCOLLECTION\tDOCUMENT\tREASON\n")
	for _, one := range listed {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", printable(one.id), one.at.UTC().Format(time.RFC3339), printable(one.collection),
			printable(one.document), printable(strings.ReplaceAll(one.reason, "\n", "; ")))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if more := total - len(listed); more > 0 {
		fmt.Fprintf(w, "and %d more: --entries=0 lists all\n", more)
	}
	_, err = fmt.Fprintf(w, "once the cause is corrected: %s redrive; to delete them: %s discard\n", d.command, d.command)
	return err
}

// printDeadLettersJSON writes them whole, as relaxed extended JSON.
func printDeadLettersJSON(w io.Writer, listed []deadLetter, total int) error {
	all := bson.A{}
	for _, one := range listed {
		all = append(all, one.whole)
	}
	text, err := bson.MarshalExtJSONIndent(bson.D{{Key: "total", Value: total}, {Key: "refused", Value: all}}, false, false, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", text)
	return err
}

// selectIDs returns the ids that c selects, the oldest first. None is an error, and so is
// an id that does not exist.
func (d *deadLetters) selectIDs(ctx context.Context, c *choice) ([]string, error) {
	var ids []string
	err := d.db.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
		ids = nil
		return d.each(ctx, db, func(one deadLetter) {
			if c.match(one.id) {
				ids = append(ids, one.id)
			}
		})
	})
	if err != nil {
		return nil, err
	}
	for _, id := range c.ID {
		if !slices.Contains(ids, id) {
			return nil, fmt.Errorf("%q is not among the refused; %s refused lists them", id, d.command)
		}
	}
	if len(ids) == 0 {
		return nil, errors.New("nothing is refused")
	}
	return ids, nil
}

// forEachSelected calls do for each dead letter that c selects, and prints for how many.
// Where the database runs do twice, the error gone of the second run counts as success.
func (d *deadLetters) forEachSelected(
	ctx context.Context, w io.Writer, c *choice, done string, gone error, do func(context.Context, *mongo.Database, string) error,
) error {
	ids, err := d.selectIDs(ctx, c)
	if err != nil {
		return err
	}
	n := uint64(0)
	for _, id := range ids {
		attempts := 0
		err = d.db.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
			attempts++
			if err := do(ctx, db, id); attempts == 1 || !errors.Is(err, gone) {
				return err
			}
			return nil
		})
		if err != nil {
			break
		}
		n++
	}
	if n > 0 {
		fmt.Fprintf(w, "%s %s\n", count(n), done)
	}
	return err
}

// choice selects dead letters.
type choice struct {
	ID  []string `name:"id" help:"Those with these ids, as the list shows them."`
	All bool     `help:"All of them."`
}

// Validate is called by kong.
func (c *choice) Validate() error {
	if !c.All && len(c.ID) == 0 {
		return errors.New("missing --id or --all")
	}
	return nil
}

func (c *choice) match(id string) bool { return c.All || slices.Contains(c.ID, id) }

// listFlags are those of a list.
type listFlags struct {
	asJSON
	Entries int `help:"Most to list; 0 for all." default:"20" env:"BANYAN_PUBLISH_ENTRIES"`
}

// keyText writes a document key for people.
func keyText(key bson.Raw) string {
	if text, err := bsonjson.Text(key.Lookup("_id")); err == nil {
		return text
	}
	return key.String()
}
