package follow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

var (
	// ErrFollowed is returned by Forget while somebody follows.
	ErrFollowed = errors.New("another process is following; stop it first")
	// ErrNoPosition is returned by [Forget] where none is stored under the name.
	ErrNoPosition = errors.New("there is no such position")
)

// Forget removes the stored position, so that the next Run starts as if it was
// the first. Changes since the last run are then not handled, unless an
// Interleaver reads the documents. It fails with [ErrFollowed] while a follower
// holds the lease.
func (f *Follower) Forget(ctx context.Context) error { return f.cfg.forget(ctx) }

// Forget is [Follower.Forget] by the collection of positions and the name. It
// fails with [ErrNoPosition] where there is none.
func Forget(ctx context.Context, checkpoints *mongo.Collection, name string) error {
	cfg := Config{Name: name, Checkpoints: checkpoints}.withDefaults()
	switch err := checkpoints.FindOne(ctx, bson.D{{Key: "_id", Value: name}}).Err(); {
	case errors.Is(err, mongo.ErrNoDocuments):
		return fmt.Errorf("follow: forget the position of %q in %s.%s: %w", name, checkpoints.Database().Name(), checkpoints.Name(), ErrNoPosition)
	case err != nil:
		return fmt.Errorf("follow: forget the position of %q: %w", name, err)
	}
	return cfg.forget(ctx)
}

func (c *Config) forget(ctx context.Context) error {
	l := c.newLease()
	row, err := l.take(ctx)
	if err == nil && row == nil {
		err = ErrFollowed
	}
	if err == nil {
		err = l.update(ctx, func() any {
			return bson.D{
				{Key: "$set", Value: bson.D{{Key: "owner", Value: ""}, {Key: "expires", Value: time.Unix(0, 0)}}},
				{Key: "$unset", Value: bson.D{{Key: "token", Value: ""}, {Key: "start", Value: ""}, {Key: "clusterTime", Value: ""},
					{Key: "n", Value: ""}, {Key: "after", Value: ""}, {Key: "state", Value: ""}}},
			}
		})
	}
	if err != nil {
		return fmt.Errorf("follow: forget the position of %q: %w", c.Name, err)
	}
	return nil
}
