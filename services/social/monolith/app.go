package monolith

import (
	"context"
	"errors"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/token"
	posts "github.com/banyan-fig/banyan/services/social/posts/client"
	relationships "github.com/banyan-fig/banyan/services/social/relationships/client"
	"github.com/banyan-fig/banyan/services/social/users/client"
)

// Users is what the monolith needs of the users service. *client.Client is one.
type Users interface {
	Create(ctx context.Context, n client.NewUser) (client.Written, error)
	Update(ctx context.Context, id string, c client.Change) (client.Written, error)
	Get(ctx context.Context, id string) (client.User, error)
	GetMany(ctx context.Context, ids []string) (map[string]client.User, error)
	Authenticate(ctx context.Context, email, password string) (client.User, error)
}

// Relationships is what the monolith needs of the relationships service. *relationships.Client
// is one.
type Relationships interface {
	Follow(ctx context.Context, follower, followee string) (events.Position, error)
	Unfollow(ctx context.Context, follower, followee string) (events.Position, error)
	Following(ctx context.Context, follower, cursor string, limit int) (relationships.Page, error)
}

// Posts is what the monolith needs of the posts service. *posts.Client is one.
type Posts interface {
	Publish(ctx context.Context, id, author, text string, made time.Time) (posts.Post, events.Position, error)
	Get(ctx context.Context, id string) (posts.Post, error)
	Delete(ctx context.Context, id string) (events.Position, error)
	Newest(ctx context.Context, authors []string, before string, limit int) (posts.Page, error)
}

// Config configures New. All but Now are required.
type Config struct {
	Users         Users
	Relationships Relationships
	Posts         Posts
	// Tokens makes and checks bearer tokens.
	Tokens *token.Tokens
	// Now is replaced in tests.
	Now func() time.Time
}

// App is the application behind the API. It is safe for concurrent use.
type App struct{ cfg Config }

// New makes an App. It sends nothing.
func New(cfg Config) (*App, error) {
	if cfg.Users == nil || cfg.Relationships == nil || cfg.Posts == nil || cfg.Tokens == nil {
		return nil, errors.New("monolith: Users, Relationships, Posts and Tokens are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &App{cfg}, nil
}
