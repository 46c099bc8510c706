package monolith

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/services/httpjson"
)

// followDoc is a document of the collection follows.
type followDoc struct {
	ID       string    `bson:"_id"` // "<follower>:<followee>"
	Follower string    `bson:"follower"`
	Followee string    `bson:"followee"`
	At       time.Time `bson:"at"`
}

func followID(follower, followee string) string { return follower + ":" + followee }

// Follow makes follower follow followee. Repeating it publishes the event again,
// since the first attempt may have ended before it was published.
func (a *App) Follow(ctx context.Context, follower, followee string) (events.Position, error) {
	if follower == followee {
		return events.Position{}, fmt.Errorf("%w: nobody can follow themselves", httpjson.ErrInvalid)
	}
	if _, err := a.cfg.Users.Get(ctx, followee); err != nil {
		return events.Position{}, err
	}
	release, err := a.locks.Acquire(ctx, follower)
	if err != nil {
		return events.Position{}, err
	}
	defer release()
	doc := followDoc{ID: followID(follower, followee), Follower: follower, Followee: followee, At: a.now()}
	err = a.write(ctx, followsCollection, func(ctx context.Context, follows *mongo.Collection) error {
		_, err := follows.InsertOne(ctx, doc)
		if mongo.IsDuplicateKeyError(err) {
			err = follows.FindOne(ctx, bson.D{{Key: "_id", Value: doc.ID}}).Decode(&doc)
		}
		return err
	})
	if err != nil {
		return events.Position{}, fmt.Errorf("let %s follow %s: %w", follower, followee, err)
	}
	return a.publish(ctx, social.RelationshipFollowed{FollowerID: follower, FolloweeID: followee, At: doc.At.UTC()})
}

// Unfollow ends it. It publishes the event also if there was nothing to end.
func (a *App) Unfollow(ctx context.Context, follower, followee string) (events.Position, error) {
	if !isObjectID(followee) {
		return events.Position{}, fmt.Errorf("%w: invalid user id %.40q", errNotFound, followee)
	}
	release, err := a.locks.Acquire(ctx, follower)
	if err != nil {
		return events.Position{}, err
	}
	defer release()
	err = a.write(ctx, followsCollection, func(ctx context.Context, follows *mongo.Collection) error {
		_, err := follows.DeleteOne(ctx, bson.D{{Key: "_id", Value: followID(follower, followee)}})
		return err
	})
	if err != nil {
		return events.Position{}, fmt.Errorf("let %s unfollow %s: %w", follower, followee, err)
	}
	return a.publish(ctx, social.RelationshipUnfollowed{FollowerID: follower, FolloweeID: followee, At: a.now()})
}

func isObjectID(s string) bool {
	_, err := bson.ObjectIDFromHex(s)
	return err == nil
}
