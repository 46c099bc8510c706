// Package refused reads and deletes what relays have put into a collection of refused
// events or changes.
package refused

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// ErrGone is returned where no document has the id.
var ErrGone = errors.New("not found")

// Each decodes the documents of c in the order of sort and calls do with each, until
// it fails, whose error it returns.
func Each[T any](ctx context.Context, c *mongo.Collection, sort bson.D, do func(T) error) error {
	cursor, err := c.Find(ctx, bson.D{}, options.Find().SetSort(sort).SetAllowDiskUse(true))
	if err != nil {
		return fmt.Errorf("read %s: %w", c.Name(), err)
	}
	defer func() { _ = cursor.Close(context.WithoutCancel(ctx)) }()
	for cursor.Next(ctx) {
		var one T
		if err := cursor.Decode(&one); err != nil {
			return fmt.Errorf("decode a document of %s: %w", c.Name(), err)
		}
		if err := do(one); err != nil {
			return err
		}
	}
	if err := cursor.Err(); err != nil {
		return fmt.Errorf("read %s: %w", c.Name(), err)
	}
	return nil
}

// Discard deletes the document of an id for good, [ErrGone] if there is none.
func Discard(ctx context.Context, c *mongo.Collection, id string) error {
	out, err := c.DeleteOne(ctx, bson.D{{Key: "_id", Value: id}})
	if err == nil && out.DeletedCount == 0 {
		err = ErrGone
	}
	if err != nil {
		return fmt.Errorf("delete %s from %s: %w", id, c.Name(), err)
	}
	return nil
}
