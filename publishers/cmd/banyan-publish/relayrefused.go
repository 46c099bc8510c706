package main

import (
	"context"

	"github.com/alecthomas/kong"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/publishers/outbox"
)

// relayName names a relay and its dead letters.
type relayName struct {
	Name    string `help:"Name of the relay and its stored position; one relay of a name is active at a time." default:"outbox" env:"BANYAN_PUBLISH_RELAY_NAME"`
	Refused string `help:"Collection for events that cannot be published. Default NAME_refused." env:"BANYAN_PUBLISH_REFUSED" placeholder:"COLLECTION"`
}

func (n *relayName) refused(db *mongo.Database) *mongo.Collection {
	if n.Refused != "" {
		return db.Collection(n.Refused)
	}
	return db.Collection(n.Name + "_refused")
}

func (n *relayName) deadLetters(db *mongoclient.Database) *deadLetters {
	return &deadLetters{
		db: db, command: "banyan-publish relay",
		each: func(ctx context.Context, db *mongo.Database, visit func(deadLetter)) error {
			return outbox.EachRefused(ctx, n.refused(db), func(r outbox.Refused) error {
				visit(deadLetter{r.ID, r.Collection, keyText(r.Document), r.Reason, r.At, r})
				return nil
			})
		},
	}
}

// relayRefusedCommand lists the events that a relay could not publish.
type relayRefusedCommand struct {
	databaseFlags
	relayName
	listFlags
}

// Run prints the list.
func (c *relayRefusedCommand) Run(ctx context.Context, parsed *kong.Context) error {
	return c.withDatabase(ctx, func(db *mongoclient.Database) error {
		return c.deadLetters(db).list(ctx, parsed.Stdout, &c.listFlags)
	})
}

// relayChoice are the flags of what is done with some of the list.
type relayChoice struct {
	databaseFlags
	relayName
	choice
}

// forEachSelected calls do for each that is chosen, oldest first.
func (c *relayChoice) forEachSelected(ctx context.Context, parsed *kong.Context, done string, do func(context.Context, *mongo.Collection, string) error) error {
	return c.withDatabase(ctx, func(db *mongoclient.Database) error {
		return c.deadLetters(db).forEachSelected(ctx, parsed.Stdout, &c.choice, done, outbox.ErrGone,
			func(ctx context.Context, db *mongo.Database, id string) error { return do(ctx, c.refused(db), id) })
	})
}

type relayRedriveCommand struct{ relayChoice }

// Run puts them back, where any relay finds them.
func (c *relayRedriveCommand) Run(ctx context.Context, parsed *kong.Context) error {
	return c.forEachSelected(ctx, parsed, "put back where it waited; the relay tries again", outbox.Redrive)
}

type relayDiscardCommand struct{ relayChoice }

// Run deletes them.
func (c *relayDiscardCommand) Run(ctx context.Context, parsed *kong.Context) error {
	return c.forEachSelected(ctx, parsed, "deleted", outbox.Discard)
}
