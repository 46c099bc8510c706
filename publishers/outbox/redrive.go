package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/publishers/internal/refused"
)

// ErrGone is returned by [Redrive] and [Discard] when there is nothing of that id,
// or its document was deleted.
var ErrGone = refused.ErrGone

// Refused is an event that cannot be published, whole and with the reason.
type Refused struct {
	ID         string        `bson:"_id"` // the same when it is refused again
	At         time.Time     `bson:"at"`
	Collection string        `bson:"collection"`      // where it waited
	Document   bson.Raw      `bson:"document"`        // the key of the document there
	Field      Field         `bson:"field,omitempty"` // the array in it; "" where the document was the event
	Entry      bson.RawValue `bson:"entry"`
	Reason     string        `bson:"reason"`
	Relay      string        `bson:"relay"`
}

// EachRefused calls do with the events in a collection of refused ones
// (Config.Refused), oldest first, until it fails.
func EachRefused(ctx context.Context, collection *mongo.Collection, do func(Refused) error) error {
	oldest := bson.D{{Key: "at", Value: 1}, {Key: "_id", Value: 1}}
	return withPackage(refused.Each(ctx, collection, oldest, do))
}

// withPackage names the package in errors; those of do keep their identity.
func withPackage(err error) error {
	if err != nil {
		return fmt.Errorf("publishers/outbox: %w", err)
	}
	return nil
}

// Redrive moves a refused event back to where it waited, by the id that it has in the
// collection of refused ones, in one transaction. The relay then tries it again,
// behind what was published meanwhile; if it is refused again, it is moved here
// again. Where the document was deleted it fails with [ErrGone].
func Redrive(ctx context.Context, collection *mongo.Collection, id string) error {
	for before := ""; ; {
		place, err := placeOfRefused(ctx, collection, id)
		if err == nil {
			err = InTransaction(ctx, collection.Database().Client(), func(ctx context.Context) error {
				var one Refused
				if err := collection.FindOneAndDelete(ctx, bson.D{{Key: "_id", Value: id}}).Decode(&one); err != nil {
					return orGone(err)
				}
				return one.restore(ctx, collection.Database().Collection(place))
			})
		}
		moved := place != before && (errors.Is(err, ErrGone) || mongoerr.HasCode(err, mongoerr.CommandNotSupportedOnView))
		switch {
		case err == nil:
			return nil
		case !moved:
			return fmt.Errorf("publishers/outbox: restore the refused event %s of %s: %w", id, collection.Name(), err)
		}
		before = place // migrate may have renamed the collection meanwhile: look again
	}
}

func orGone(err error) error {
	if errors.Is(err, mongo.ErrNoDocuments) {
		return ErrGone
	}
	return err
}

// placeOfRefused returns the present name of the collection that an event waited in.
func placeOfRefused(ctx context.Context, collection *mongo.Collection, id string) (string, error) {
	var one Refused
	if err := collection.FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Decode(&one); err != nil {
		return "", orGone(err)
	}
	places, err := mongostream.Locate(ctx, collection.Database(), one.Collection)
	if mongoerr.HasCode(err, mongoerr.Unauthorized) {
		err = nil
	}
	return cmp.Or(places[one.Collection].Name, one.Collection), err
}

func (r *Refused) restore(ctx context.Context, c *mongo.Collection) error {
	if r.Field == "" {
		_, err := c.InsertOne(ctx, r.Entry.Document())
		return err
	}
	push := bson.D{{Key: "$push", Value: bson.D{{Key: string(r.Field), Value: r.Entry}}}}
	out, err := c.UpdateOne(ctx, elementsOf(r.Document), push)
	if err == nil && out.MatchedCount == 0 {
		err = fmt.Errorf("the document %v in %s: %w", r.Document.Lookup("_id"), c.Name(), ErrGone)
	}
	return err
}

// Discard deletes a refused event for good; [ErrGone] if there is none of that id.
func Discard(ctx context.Context, collection *mongo.Collection, id string) error {
	return withPackage(refused.Discard(ctx, collection, id))
}
