package timeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
)

// Client is the part of the DynamoDB client that a Model uses.
type Client interface {
	once.Client
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
}

// DefaultCap is how many entries a timeline keeps.
const DefaultCap = 800

const (
	defaultPage = 500
	// latest is how many of an author's posts an unfollow removes without
	// looking: those whose fan-out may be on its way.
	latest = 50
)

// Config says where a Model writes. Client is required.
type Config struct {
	Client Client
	Table  string // "": DefaultTable
	// Cap is how many entries a timeline keeps, and how many posts a follow
	// copies at most. 0: 800.
	Cap int
	// Page is how many followers are read at once; after each page but the last
	// the progress of the fan-out is kept. 0: 500.
	Page int
}

// Validate names what is wrong with c.
func (c Config) Validate() error {
	switch {
	case c.Client == nil:
		return errors.New("timeline: config: Client is nil")
	case c.Cap < 0 || c.Page < 0:
		return errors.New("timeline: config: Cap and Page cannot be negative")
	}
	return nil
}

// Model writes the table. Safe for concurrent use; see [consumers.Handler] for
// what may run at the same time.
type Model struct {
	cfg   Config
	group *once.Group
}

// New makes a model on a table that exists.
func New(cfg Config) (*Model, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Table == "" {
		cfg.Table = DefaultTable
	}
	if cfg.Cap == 0 {
		cfg.Cap = DefaultCap
	}
	if cfg.Page == 0 {
		cfg.Page = defaultPage
	}
	return &Model{cfg: cfg, group: once.NewGroup(once.Config{Client: cfg.Client, Table: cfg.Table})}, nil
}

// Handle applies one event; it is a [consumers.Handler]. Types that the model
// does not know only raise the watermark, so that a read after such a write
// need not wait for ever.
func (m *Model) Handle(ctx context.Context, msg consumers.Message) error {
	return consumers.DecodePayload(social.Registry(), m.handle)(ctx, msg)
}

func (m *Model) handle(ctx context.Context, msg consumers.Message, payload events.Payload) error {
	if err := m.apply(ctx, msg, payload); err != nil {
		if errors.Is(err, consumers.ErrStale) {
			return err
		}
		return once.Classify(fmt.Errorf("timeline: apply %s %s: %w", msg.Event.Type, msg.Event.ID, err))
	}
	return nil
}

func (m *Model) apply(ctx context.Context, msg consumers.Message, payload events.Payload) error {
	pos := msg.Position
	switch p := payload.(type) {
	case social.UserJoined:
		return m.rename(ctx, pos, p.UserID, p.Name, 0)
	case social.UserProfileUpdated:
		return m.rename(ctx, pos, p.UserID, p.Name, p.Version)
	case social.RelationshipFollowed:
		return m.follow(ctx, pos, p.FollowerID, p.FolloweeID)
	case social.RelationshipUnfollowed:
		return m.unfollow(ctx, pos, p.FollowerID, p.FolloweeID)
	case social.PostPublished:
		return m.publish(ctx, pos, p)
	}
	return m.raise(ctx, msg.Event.PartitionKey, pos)
}

// rename keeps the newest name of a user.
func (m *Model) rename(ctx context.Context, pos events.Position, user, name string, version int64) error {
	item := once.Put(nameKey(user), once.Attributes{
		attrName: once.S(name), attrVersion: once.N(version), once.AttrPosition: once.S(pos.String()),
	}, once.NewestVersion(version, pos))
	applied, err := m.group.Do(ctx, once.Step{Items: []once.Item{item}}, once.Watermark(user, pos))
	if err == nil && !applied[0] {
		return consumers.ErrStale
	}
	return err
}

// raise raises the watermark of a user, and nothing else.
func (m *Model) raise(ctx context.Context, user string, pos events.Position) error {
	applied, err := m.group.Do(ctx, once.Watermark(user, pos))
	if err == nil && !applied[0] {
		return consumers.ErrStale
	}
	return err
}
