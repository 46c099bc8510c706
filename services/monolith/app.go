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
	"github.com/banyan-fig/banyan/services/token"
	"github.com/banyan-fig/banyan/services/turns"
	"github.com/banyan-fig/banyan/services/users/client"
)

// Source names the monolith in its events.
const Source = "/monolith"

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

// Publisher puts an event on the stream and returns where, once it is kept.
type Publisher interface {
	Publish(ctx context.Context, e events.Event) (events.Position, error)
}

// Config configures New. All but Now are required.
type Config struct {
	// Database holds follows and posts.
	Database *mongo.Database
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
	cfg     Config
	follows *mongo.Collection
	posts   *mongo.Collection
	order   *turns.Turns
}

// New makes an App. It sends nothing; see EnsureIndexes.
func New(cfg Config) (*App, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	majority := options.Collection().SetWriteConcern(writeconcern.Majority())
	return &App{
		cfg:     cfg,
		follows: cfg.Database.Collection(followsCollection, majority),
		posts:   cfg.Database.Collection(postsCollection, majority),
		order:   turns.New(),
	}, nil
}

// EnsureIndexes makes the indexes of follows and posts.
func EnsureIndexes(ctx context.Context, db *mongo.Database) error {
	for name, keys := range map[string]bson.D{
		followsCollection: {{Key: "follower", Value: 1}},
		postsCollection:   {{Key: "author", Value: 1}, {Key: "_id", Value: -1}},
	} {
		if _, err := db.Collection(name).Indexes().CreateOne(ctx, mongo.IndexModel{Keys: keys}); err != nil {
			return fmt.Errorf("index the collection %s.%s: %w", db.Name(), name, err)
		}
	}
	return nil
}

// publish tells a fact after it was written.
func (a *App) publish(ctx context.Context, fact events.Payload) (events.Position, error) {
	e, err := events.New(ctx, Source, fact)
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
