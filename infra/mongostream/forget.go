package mongostream

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

var (
	// ErrFollowed is returned by [Forget] while a process follows.
	ErrFollowed = errors.New("another process is following; stop it first")
	// ErrNoPosition is returned by [Forget] where none is stored under the name.
	ErrNoPosition = errors.New("no position is stored under this name")
)

// Forget removes the position stored in the document name of a collection, so that
// the next Run starts as the first did. Changes since the last run are then not
// handled, unless an Interleaver reads the documents. It fails with [ErrFollowed]
// while a follower holds the lease, and with [ErrNoPosition].
func Forget(ctx context.Context, rows *mongo.Collection, name string) error {
	if err := forget(ctx, rows, name); err != nil {
		return fmt.Errorf("mongostream: forget the position of %q in %s.%s: %w", name, rows.Database().Name(), rows.Name(), err)
	}
	return nil
}

func forget(ctx context.Context, rows *mongo.Collection, name string) error {
	err := rows.FindOne(ctx, bson.D{{Key: "_id", Value: name}}).Err()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return ErrNoPosition
	}
	if err != nil {
		return err
	}
	l := newMongoCheckpoint(rows, name, attemptTimeout)
	switch _, acquired, err := l.Acquire(ctx); {
	case err != nil:
		return err
	case !acquired:
		return ErrFollowed
	}
	position := bson.D{}
	for _, field := range []string{"token", "start", "clusterTime", "n", "after", "state"} {
		position = append(position, bson.E{Key: field, Value: ""})
	}
	ctx = context.WithoutCancel(ctx) // or the lease would stay until it runs out
	return l.updateFenced(ctx, func() any {
		return bson.D{{Key: "$set", Value: released}, {Key: "$unset", Value: position}}
	})
}
