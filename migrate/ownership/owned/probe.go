package owned

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// harmless are the answers to a probe that is permitted: to one whose UUID nothing has,
// and to a write to a view, which stands under a name that is given back.
var harmless = []int{mongoerr.CollectionUUIDMismatch, mongoerr.CommandNotSupportedOnView}

// Probe reports, with the rights that are missing, whether the collection could be used
// under a name that it is about to get; it is what ownership.MemberConfig.Probe needs. It
// finds, updates and deletes what does not exist. The right to insert can be tried
// without effect only where the server takes a collectionUUID.
func (c *Collection) Probe(ctx context.Context, name string) error {
	var missing []string
	var database string
	err := c.db.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
		missing, database = nil, db.Name()
		insertable, err := c.takesUUID(ctx, db, c.name)
		if err != nil && !mongoerr.HasCode(err, mongoerr.Unauthorized) {
			return err
		}
		commented, err := c.takesComments(ctx, db)
		if err != nil {
			return err
		}
		for _, p := range probes(name, insertable) {
			if commented {
				p.command = append(p.command, bson.E{Key: "comment", Value: ownership.Comment(c.name)})
			}
			err := db.RunCommand(ctx, p.command).Err()
			switch {
			case mongoerr.HasCode(err, mongoerr.Unauthorized):
				missing = append(missing, p.action)
			case err != nil && !mongoerr.HasCode(err, harmless...):
				return fmt.Errorf("%s on %s: %w", p.action, name, err)
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return fmt.Errorf("try the rights on the collection %s: %w", name, err)
	case len(missing) > 0:
		return fmt.Errorf("the service's user lacks the privilege %s on %s.%s: grant it on that collection or on the whole database; "+
			"the names to come are %s%sg<number>", strings.Join(missing, ", "), database, name, c.name, movedInfix)
	}
	return nil
}

type probe struct {
	action  string // as privileges are named
	command bson.D
}

func probes(name string, insertable bool) []probe {
	random := uuid.New()
	nothing := bson.Binary{Subtype: bson.TypeBinaryUUID, Data: random[:]}
	filter := bson.D{{Key: "_id", Value: nothing}}
	update := bson.D{{Key: "q", Value: filter}, {Key: "u", Value: bson.D{{Key: "$set", Value: bson.D{{Key: "probed", Value: true}}}}}}
	remove := bson.D{{Key: "q", Value: filter}, {Key: "limit", Value: 1}}
	all := []probe{
		{"find", bson.D{{Key: "find", Value: name}, {Key: "filter", Value: filter}, {Key: "limit", Value: 1}, {Key: "singleBatch", Value: true}}},
		{"update", bson.D{{Key: "update", Value: name}, {Key: "updates", Value: bson.A{update}}}},
		{"remove", bson.D{{Key: "delete", Value: name}, {Key: "deletes", Value: bson.A{remove}}}},
	}
	if insertable {
		all = append(all, probe{"insert", bson.D{
			{Key: "insert", Value: name}, {Key: "documents", Value: bson.A{filter}}, {Key: "collectionUUID", Value: nothing},
		}})
	}
	return all
}
