package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/alecthomas/kong"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/publishers/changestream"
)

// changesName names a publisher of changes, its checkpoint and its dead letters.
type changesName struct {
	Name string `help:"Name of the stored position; one process of a name is active at a time." default:"changes" env:"BANYAN_PUBLISH_CHANGES_NAME"`
}

func (n *changesName) refused(db *mongo.Database) *mongo.Collection {
	return db.Collection(n.Name + "_refused")
}

func (n *changesName) deadLetters(db *mongoclient.Database) *deadLetters {
	return &deadLetters{
		db: db, command: "banyan-publish changes",
		each: func(ctx context.Context, db *mongo.Database, visit func(deadLetter)) error {
			return changestream.EachRefused(ctx, n.refused(db), func(r changestream.Refused) error {
				visit(deadLetter{r.ID, r.Change.Collection, keyText(r.Change.Key), r.Reason, r.At, r})
				return nil
			})
		},
	}
}

// changesRefusedCommand lists the changes of which no event could be published.
type changesRefusedCommand struct {
	databaseFlags
	changesName
	listFlags
}

// Run prints the list.
func (c *changesRefusedCommand) Run(ctx context.Context, parsed *kong.Context) error {
	return c.withDatabase(ctx, func(db *mongoclient.Database) error {
		return c.deadLetters(db).list(ctx, parsed.Stdout, &c.listFlags)
	})
}

// changesDiscardCommand deletes refused changes.
type changesDiscardCommand struct {
	databaseFlags
	changesName
	choice
}

// Run deletes them.
func (c *changesDiscardCommand) Run(ctx context.Context, parsed *kong.Context) error {
	return c.withDatabase(ctx, func(db *mongoclient.Database) error {
		return c.deadLetters(db).forEachSelected(ctx, parsed.Stdout, &c.choice, "deleted", changestream.ErrGone,
			func(ctx context.Context, db *mongo.Database, id string) error {
				return changestream.Discard(ctx, c.refused(db), id)
			})
	})
}

// changesRedriveCommand maps and publishes refused changes again.
type changesRedriveCommand struct {
	databaseFlags
	mappingFlags
	choice
	Stream streamFlags `embed:""`
}

// Run publishes them.
func (c *changesRedriveCommand) Run(ctx context.Context, parsed *kong.Context, log *slog.Logger) error {
	cfg, err := c.read(log)
	if err != nil {
		return err
	}
	return c.withDatabase(ctx, func(db *mongoclient.Database) error {
		if _, err := c.deadLetters(db).selectIDs(ctx, &c.choice); err != nil {
			return err
		}
		to, err := c.Stream.open(ctx)
		if err != nil {
			return err
		}
		defer closeNow(to) // each was waited for
		var done changestream.Redriven
		err = db.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
			cfg.Database, cfg.To = db, &direct{to, patience}
			p, err := changestream.New(cfg)
			if err != nil {
				return fmt.Errorf("%w: %w", serving.ErrUsage, err)
			}
			now, err := p.Redrive(ctx, func(r *changestream.Refused) bool { return c.match(r.ID) })
			done.Published, done.Refused = done.Published+now.Published, now.Refused // these are refused still
			return err
		})
		return errors.Join(err, reportRedriven(parsed.Stdout, done))
	})
}

func reportRedriven(w io.Writer, done changestream.Redriven) error {
	if done.Published > 0 {
		fmt.Fprintf(w, "%s published\n", plural(done.Published, "refused change"))
	}
	if done.Refused > 0 {
		return fmt.Errorf("%s refused again; %s shows why", plural(done.Refused, "change"), "banyan-publish changes refused")
	}
	return nil
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// changesForgetCommand makes the next start like the first.
type changesForgetCommand struct {
	databaseFlags
	changesName
}

// Run removes the position.
func (c *changesForgetCommand) Run(ctx context.Context, parsed *kong.Context) error {
	return c.withDatabase(ctx, func(db *mongoclient.Database) error {
		err := db.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
			return mongostream.Forget(ctx, db.Collection(mongostream.Checkpoints), c.Name)
		})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(parsed.Stdout, "the position of %q is forgotten: start banyan-publish changes --snapshot next, "+
			"or changes until the next start are not published\n", c.Name)
		return err
	})
}
