package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// ErrGone is returned by [Redrive] and [Discard] when there is nothing of that id,
// or no document any more to put it back into.
var ErrGone = errors.New("there is none")

// Refused is an event that was moved aside, whole and with the reason.
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
func EachRefused(ctx context.Context, refused *mongo.Collection, do func(Refused) error) error {
	oldest := options.Find().SetSort(bson.D{{Key: "at", Value: 1}, {Key: "_id", Value: 1}}).SetAllowDiskUse(true)
	cur, err := refused.Find(ctx, bson.D{}, oldest)
	if err != nil {
		return fmt.Errorf("publishers/outbox: read the refused events in %s: %w", refused.Name(), err)
	}
	defer func() { _ = cur.Close(context.WithoutCancel(ctx)) }()
	for cur.Next(ctx) {
		var one Refused
		if err := cur.Decode(&one); err != nil {
			return fmt.Errorf("publishers/outbox: read a refused event in %s: %w", refused.Name(), err)
		}
		if err := do(one); err != nil {
			return err
		}
	}
	if err := cur.Err(); err != nil {
		return fmt.Errorf("publishers/outbox: read the refused events in %s: %w", refused.Name(), err)
	}
	return nil
}

// Redrive puts an event that was moved aside back where it waited, by the id that
// it has in the collection of refused ones, and takes it out of that, in one
// transaction. Whatever relay is at work then tries it again, behind what was
// published meanwhile; if it is refused again, it is moved aside again. Where the
// document is gone it fails with [ErrGone].
func Redrive(ctx context.Context, refused *mongo.Collection, id string) error {
	err := InTransaction(ctx, refused.Database().Client(), func(ctx context.Context) error {
		var one Refused
		err := refused.FindOneAndDelete(ctx, bson.D{{Key: "_id", Value: id}}).Decode(&one)
		if errors.Is(err, mongo.ErrNoDocuments) {
			return fmt.Errorf("in %s: %w", refused.Name(), ErrGone)
		}
		if err != nil {
			return err
		}
		return one.putBack(ctx, refused.Database().Collection(one.Collection))
	})
	if err != nil {
		return fmt.Errorf("publishers/outbox: put the refused event %s back: %w", id, err)
	}
	return nil
}

func (r *Refused) putBack(ctx context.Context, c *mongo.Collection) error {
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
func Discard(ctx context.Context, refused *mongo.Collection, id string) error {
	out, err := refused.DeleteOne(ctx, bson.D{{Key: "_id", Value: id}})
	if err == nil && out.DeletedCount == 0 {
		err = fmt.Errorf("in %s: %w", refused.Name(), ErrGone)
	}
	if err != nil {
		return fmt.Errorf("publishers/outbox: delete the refused event %s: %w", id, err)
	}
	return nil
}
