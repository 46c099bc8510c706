// Package relationships is the service of who follows whom, on the entity store: its domain and
// its HTTP API, which runs as a server and as a function.
//
//	PUT    /v1/relationships/{follower}/{followee}   follow: 201, or 200 where that was so
//	GET    /v1/relationships/{follower}/{followee}
//	DELETE /v1/relationships/{follower}/{followee}   unfollow: 204, also where there is nothing
//	GET    /v1/relationships?follower=ID             whom somebody follows, in the order of ids
//	GET    /v1/relationships?followee=ID             who follows somebody
//
// Lists come in pages (limit, cursor); while DynamoDB owns the relationships, they are some
// milliseconds old. A write returns the position of its event in
// Banyan-Written; repeated ones publish it again. Whether users exist is not asked.
package relationships

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/keyedlock"
)

// source names the service in its events.
const source = "/services/relationships"

// Relationship says that one user follows another.
type Relationship struct {
	ID       string    `bson:"_id" json:"-"` // "<follower>:<followee>"
	Follower string    `bson:"follower" json:"follower"`
	Followee string    `bson:"followee" json:"followee"`
	At       time.Time `bson:"at" json:"at"` // in UTC, with milliseconds
}

// Config configures New. Store and Publisher are required.
type Config struct {
	Store *entity.Store
	// Publisher publishes the event of an unfollow again that has nothing to end any more.
	Publisher entity.Publisher
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Service is the domain of relationships. It is safe for concurrent use.
type Service struct {
	cfg   Config
	store entity.Typed[Relationship]
	locks *keyedlock.Lock // so that the events of a follower are in the order of the writes
}

// New makes a Service.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Service{cfg: cfg, store: entity.Of[Relationship](cfg.Store), locks: keyedlock.New()}
}

func pair(follower, followee string) (Relationship, error) {
	return Relationship{ID: follower + ":" + followee, Follower: follower, Followee: followee}, errors.Join(validate(follower), validate(followee))
}

func validate(id string) error {
	if is, err := bson.ObjectIDFromHex(id); err != nil || is.Hex() != id {
		return fmt.Errorf("%w: a user's id must be 24 lower-case hex digits, not %.40q", entity.ErrInvalid, id)
	}
	return nil
}

// Follow makes follower follow followee. Where that is so already, it is told again with the
// time of the first.
func (s *Service) Follow(ctx context.Context, follower, followee string) (entity.Outcome[Relationship], error) {
	r, err := pair(follower, followee)
	if err == nil && follower == followee {
		err = fmt.Errorf("%w: nobody can follow themselves", entity.ErrInvalid)
	}
	if err != nil {
		return entity.Outcome[Relationship]{}, err
	}
	release, err := s.locks.Acquire(ctx, follower)
	if err != nil {
		return entity.Outcome[Relationship]{}, err
	}
	defer release()
	r.At = s.now()
	tell := s.store.Telling(func(ctx context.Context, _, after *entity.Versioned[Relationship]) ([]events.Event, error) {
		e, err := events.New(ctx, source, social.RelationshipFollowed{FollowerID: follower, FolloweeID: followee, At: after.Value.At.UTC()})
		return []events.Event{e}, err
	})
	for {
		done, err := s.store.Create(ctx, r, tell)
		if !errors.Is(err, entity.ErrExists) {
			return done, err
		}
		done, err = s.store.Update(ctx, r.ID, func(*Relationship) error { return entity.ErrUnchanged }, tell)
		if !errors.Is(err, entity.ErrNotFound) { // as it was ended meanwhile
			return done, err
		}
	}
}

// Unfollow ends it. It is told also where there was nothing to end, as the first attempt's
// answer may have been lost.
func (s *Service) Unfollow(ctx context.Context, follower, followee string) (events.Position, error) {
	r, err := pair(follower, followee)
	if err != nil {
		return events.Position{}, err
	}
	release, err := s.locks.Acquire(ctx, follower)
	if err != nil {
		return events.Position{}, err
	}
	defer release()
	e, err := events.New(ctx, source, social.RelationshipUnfollowed{FollowerID: follower, FolloweeID: followee, At: s.now()})
	if err != nil {
		return events.Position{}, err
	}
	tell := func(o *entity.Options) {
		o.Tell = func(context.Context, bson.Raw, bson.Raw) ([]events.Event, error) { return []events.Event{e}, nil }
	}
	done, err := s.store.Delete(ctx, r.ID, tell)
	if !errors.Is(err, entity.ErrNotFound) {
		return done.Position, err
	}
	at, err := s.cfg.Publisher.Publish(ctx, e)
	if err != nil {
		err = fmt.Errorf("publish %s of %s again: %w: %w", e.Type, e.Subject, entity.ErrNotPublished, err)
	}
	return at, err
}

// Get returns the relationship of two users. entity.ErrNotFound.
func (s *Service) Get(ctx context.Context, follower, followee string) (entity.Versioned[Relationship], error) {
	r, err := pair(follower, followee)
	if err != nil {
		return entity.Versioned[Relationship]{}, err
	}
	return s.store.Get(ctx, r.ID)
}

// Indexes of the plan that List asks.
const (
	Following = "following" // whom a user follows
	Followers = "followers" // who follows a user
)

// List returns a page of a user's relationships, and the cursor of the next.
func (s *Service) List(ctx context.Context, index, user, cursor string, limit int) ([]entity.Versioned[Relationship], string, error) {
	if err := validate(user); err != nil {
		return nil, "", err
	}
	return s.store.Query(ctx, entity.Query{Index: index, Equal: user, Cursor: cursor, Limit: limit})
}

// now is the time with the milliseconds that MongoDB keeps.
func (s *Service) now() time.Time { return s.cfg.Now().UTC().Truncate(time.Millisecond) }
