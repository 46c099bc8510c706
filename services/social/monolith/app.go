package monolith

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/token"
	"github.com/banyan-fig/banyan/services/keyedlock"
	"github.com/banyan-fig/banyan/services/social/users/client"
)

// source names the monolith in its events.
const source = "/monolith"

// Collections of the monolith's database.
const (
	usersCollection   = "users" // written by Import and Generate alone
	followsCollection = "follows"
	postsCollection   = "posts"
)

// Users is what the monolith needs of the users service. *client.Client is one.
type Users interface {
	Create(ctx context.Context, n client.NewUser) (client.Written, error)
	Update(ctx context.Context, id string, c client.Change) (client.Written, error)
	Get(ctx context.Context, id string) (client.User, error)
	GetMany(ctx context.Context, ids []string) (map[string]client.User, error)
	Authenticate(ctx context.Context, email, password string) (client.User, error)
}

// Publisher publishes an event and returns its position, once it is kept.
type Publisher interface {
	Publish(ctx context.Context, e events.Event) (events.Position, error)
}

// Database runs an operation, and runs it again where it may have met a connection
// that broke, or refused credentials: *mongoclient.Database does.
type Database interface {
	Do(ctx context.Context, op func(ctx context.Context, db *mongo.Database) error) error
}

// Config configures New. All but Now are required.
type Config struct {
	// Database holds follows and posts.
	Database Database
	// Users is the users service.
	Users Users
	// Publisher gets an event for each write.
	Publisher Publisher
	// Tokens makes and checks bearer tokens.
	Tokens *token.Tokens
	// Now is replaced in tests.
	Now func() time.Time
}

// Validate reports what is missing.
func (c Config) Validate() error {
	switch {
	case c.Database == nil:
		return errors.New("monolith: Database is required")
	case c.Users == nil:
		return errors.New("monolith: Users is required")
	case c.Publisher == nil:
		return errors.New("monolith: Publisher is required")
	case c.Tokens == nil:
		return errors.New("monolith: Tokens is required")
	}
	return nil
}

// App is the application behind the API. It is safe for concurrent use.
type App struct {
	cfg   Config
	locks *keyedlock.Lock
}

// New makes an App. It sends nothing; see EnsureIndexes.
func New(cfg Config) (*App, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &App{cfg: cfg, locks: keyedlock.New()}, nil
}

// EnsureIndexes makes the indexes of follows and posts.
func EnsureIndexes(ctx context.Context, db Database) error {
	for name, keys := range map[string]bson.D{
		followsCollection: {{Key: "follower", Value: 1}},
		postsCollection:   {{Key: "author", Value: 1}, {Key: "_id", Value: -1}},
	} {
		if err := index(ctx, db, name, mongo.IndexModel{Keys: keys}); err != nil {
			return err
		}
	}
	return nil
}

func index(ctx context.Context, db Database, collection string, model mongo.IndexModel) error {
	err := db.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
		_, err := db.Collection(collection).Indexes().CreateOne(ctx, model)
		return err
	})
	if err != nil {
		return fmt.Errorf("index the collection %s: %w", collection, err)
	}
	return nil
}

// write changes a collection with write concern majority, so that acknowledged writes
// survive a fail-over. op may run twice.
func (a *App) write(ctx context.Context, collection string, op func(context.Context, *mongo.Collection) error) error {
	return a.cfg.Database.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
		return op(ctx, db.Collection(collection, options.Collection().SetWriteConcern(writeconcern.Majority())))
	})
}

// find reads the documents that match.
func find[D any](ctx context.Context, db Database, collection string, filter bson.D, o *options.FindOptionsBuilder) (docs []D, err error) {
	err = db.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
		cursor, err := db.Collection(collection).Find(ctx, filter, o)
		if err != nil {
			return err
		}
		return cursor.All(ctx, &docs)
	})
	return docs, err
}

// publish publishes a fact after it was written.
func (a *App) publish(ctx context.Context, fact events.Payload) (events.Position, error) {
	e, err := events.New(ctx, source, fact)
	if err != nil {
		return events.Position{}, fmt.Errorf("make the event %s: %w", fact.EventType(), err)
	}
	at, err := a.cfg.Publisher.Publish(ctx, e)
	if err != nil {
		return events.Position{}, fmt.Errorf("%w: publish %s of %s: %w", errUnavailable, e.Type, e.Subject, err)
	}
	return at, nil
}

// now is the time with the milliseconds that MongoDB keeps.
func (a *App) now() time.Time { return a.cfg.Now().UTC().Truncate(time.Millisecond) }
