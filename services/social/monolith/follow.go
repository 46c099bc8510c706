package monolith

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/services/httpjson"
)

// Follow makes follower follow followee. Repeating it publishes the event again.
func (a *App) Follow(ctx context.Context, follower, followee string) (events.Position, error) {
	if follower == followee {
		return events.Position{}, fmt.Errorf("%w: nobody can follow themselves", httpjson.ErrInvalid)
	}
	if _, err := a.cfg.Users.Get(ctx, followee); err != nil {
		return events.Position{}, err
	}
	return a.cfg.Relationships.Follow(ctx, follower, followee)
}

// Unfollow ends it. It publishes the event also if there was nothing to end.
func (a *App) Unfollow(ctx context.Context, follower, followee string) (events.Position, error) {
	if _, err := bson.ObjectIDFromHex(followee); err != nil {
		return events.Position{}, fmt.Errorf("%w: invalid user id %.40q", errNotFound, followee)
	}
	return a.cfg.Relationships.Unfollow(ctx, follower, followee)
}
