package outbox

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// ErrGone is returned by [Relay.Redrive] when there is nothing of that id, or no
// document any more to put it back into.
var ErrGone = errors.New("there is none")

// Redrive puts an event that was moved aside back where it waited, by the id that
// it has in the collection of refused ones, and takes it out of that, in one
// transaction. The relay, this one or any other, then tries it again, behind
// whatever was published meanwhile; if it is refused again, it is moved aside
// again. Where the document is gone it fails with [ErrGone].
func (r *Relay) Redrive(ctx context.Context, id string) error {
	err := InTransaction(ctx, r.cfg.Database.Client(), func(ctx context.Context) error {
		var refused struct {
			Collection string
			Document   bson.Raw
			Entry      bson.RawValue
		}
		err := r.refused.FindOneAndDelete(ctx, bson.D{{Key: "_id", Value: id}}).Decode(&refused)
		if errors.Is(err, mongo.ErrNoDocuments) {
			return fmt.Errorf("in %s: %w", r.refused.Name(), ErrGone)
		}
		if err != nil {
			return err
		}
		return r.putBack(ctx, r.cfg.Database.Collection(refused.Collection), refused.Document, refused.Entry)
	})
	if err != nil {
		return fmt.Errorf("publishers/outbox: put the refused event %s back: %w", id, err)
	}
	return nil
}

func (r *Relay) putBack(ctx context.Context, c *mongo.Collection, document bson.Raw, entry bson.RawValue) error {
	if r.isOutbox(c.Name()) {
		_, err := c.InsertOne(ctx, entry.Document())
		return err
	}
	push := bson.D{{Key: "$push", Value: bson.D{{Key: string(r.cfg.Field), Value: entry}}}}
	out, err := c.UpdateOne(ctx, elementsOf(document), push)
	if err == nil && out.MatchedCount == 0 {
		err = fmt.Errorf("the document %v in %s: %w", document.Lookup("_id"), c.Name(), ErrGone)
	}
	return err
}
