package main

import (
	"context"

	"github.com/alecthomas/kong"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/publishers/outbox"
)

// relayName names a relay and what it moved aside.
type relayName struct {
	Name    string `help:"Name of the relay, under which its position is stored; relays of one name take turns." default:"outbox" env:"BANYAN_PUBLISH_RELAY_NAME"`
	Refused string `help:"Collection for events that cannot be published; the name with _refused unless given." env:"BANYAN_PUBLISH_REFUSED" placeholder:"COLLECTION"`
}

func (n *relayName) refused(db *mongo.Database) *mongo.Collection {
	if n.Refused != "" {
		return db.Collection(n.Refused)
	}
	return db.Collection(n.Name + "_refused")
}

const relayList = "banyan-publish relay refused"

// relayRefusedCommand lists what a relay moved aside.
type relayRefusedCommand struct {
	databaseFlags
	relayName
	listFlags
}

// Run prints the list.
func (c *relayRefusedCommand) Run(ctx context.Context, parsed *kong.Context) error {
	return c.within(ctx, func(db *mongoclient.Database) error {
		var all asides
		err := db.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
			all = asides{most: c.Entries}
			return outbox.EachRefused(ctx, c.refused(db), func(r outbox.Refused) error {
				all.add(aside{r.ID, r.Collection, keyText(r.Document), r.Reason, r.At, r})
				return nil
			})
		})
		if err != nil {
			return err
		}
		return all.print(parsed.Stdout, "banyan-publish relay", c.JSON)
	})
}

// relayChoice is for what is done with some of the list.
type relayChoice struct {
	databaseFlags
	relayName
	choice
}

// do does it with each that is chosen, oldest first.
func (c *relayChoice) do(ctx context.Context, parsed *kong.Context, what string, do func(context.Context, *mongo.Collection, string) error) error {
	return c.within(ctx, func(db *mongoclient.Database) error {
		var all []string
		err := db.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
			all = nil
			return outbox.EachRefused(ctx, c.refused(db), func(r outbox.Refused) error {
				all = append(all, r.ID)
				return nil
			})
		})
		if err != nil {
			return err
		}
		ids, err := chosen(all, &c.choice, relayList)
		if err != nil {
			return err
		}
		return each(parsed.Stdout, ids, what, func(id string) error {
			return once(ctx, db, outbox.ErrGone, func(ctx context.Context, db *mongo.Database) error { return do(ctx, c.refused(db), id) })
		})
	})
}

type relayRedriveCommand struct{ relayChoice }

// Run puts them back, where any relay finds them.
func (c *relayRedriveCommand) Run(ctx context.Context, parsed *kong.Context) error {
	return c.do(ctx, parsed, "put back where it waited; the relay tries again", outbox.Redrive)
}

type relayDiscardCommand struct{ relayChoice }

// Run deletes them.
func (c *relayDiscardCommand) Run(ctx context.Context, parsed *kong.Context) error {
	return c.do(ctx, parsed, "deleted", outbox.Discard)
}
