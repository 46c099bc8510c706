package timeline

import (
	"cmp"
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/consumers/social/readmodel"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// Client is the part of the DynamoDB client that a Model uses.
type Client interface {
	once.Client
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
}

// DefaultTable is the name of the table where the environment gives none.
const DefaultTable = "banyan-timeline"

// TableInput defines the table.
func TableInput(name string) *dynamodb.CreateTableInput { return dynamo.CompositeTable(name) }

// Defaults of [Config].
const (
	DefaultCap       = 800
	DefaultThreshold = 10_000

	defaultPage = 500
)

const (
	// latest is how many of an author's posts an unfollow removes without reading the
	// timeline: those whose fan-out may be in flight.
	latest = 50
)

// Config says where a Model writes. Client is required.
type Config struct {
	Client Client
	Table  string // "": DefaultTable
	// Cap is how many entries a timeline keeps, and how many posts a follow
	// copies at most. 0: 800.
	Cap int
	// Page is how many followers are read at once. After each page but the last the
	// progress of the fan-out is stored. 0: 500.
	Page int
	// Threshold is how many followers an author's posts are written to at most. The posts
	// of an author with more are mixed in when timelines are read. 0: 10,000.
	Threshold int
	// Enqueue sends body to a queue whose messages [Model.Continue] gets, at least once,
	// in any order. It must not return before the queue has it for good. With it the
	// handler of a post does one page of the followers, and the queue's consumer the
	// others. nil: the handler does all of them, and the author's later events wait.
	Enqueue func(ctx context.Context, body []byte) error
}

// Validate names what is wrong with c.
func (c Config) Validate() error {
	switch {
	case c.Client == nil:
		return errors.New("timeline: config: Client is nil")
	case c.Cap < 0 || c.Page < 0 || c.Threshold < 0:
		return errors.New("timeline: config: Cap, Page and Threshold cannot be negative")
	}
	return nil
}

// Model writes the table. Safe for concurrent use; see [consumers.Handler] for
// what may run at the same time.
type Model struct {
	cfg    Config
	writer *once.Writer
	handle consumers.Handler
}

// New makes a model on a table that exists.
func New(cfg Config) (*Model, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Table = cmp.Or(cfg.Table, DefaultTable)
	cfg.Cap = cmp.Or(cfg.Cap, DefaultCap)
	cfg.Page = cmp.Or(cfg.Page, defaultPage)
	cfg.Threshold = cmp.Or(cfg.Threshold, DefaultThreshold)
	m := &Model{cfg: cfg, writer: once.NewWriter(once.Config{Client: cfg.Client, Table: cfg.Table})}
	m.handle = readmodel.Handler("timeline", m.apply)
	return m, nil
}

// Handle applies one event; it is a [consumers.Handler].
func (m *Model) Handle(ctx context.Context, msg consumers.Message) error { return m.handle(ctx, msg) }

func (m *Model) apply(ctx context.Context, msg consumers.Message, payload events.Payload) error {
	pos := msg.Position
	switch p := payload.(type) {
	case social.UserJoined:
		return m.rename(ctx, pos, p.UserID, 0, p.Name)
	case social.UserProfileUpdated:
		return m.rename(ctx, pos, p.UserID, p.Version, p.Name)
	case social.UserLeft:
		return m.leave(ctx, pos, p.UserID)
	case social.RelationshipFollowed:
		return m.follow(ctx, pos, p.FollowerID, p.FolloweeID)
	case social.RelationshipUnfollowed:
		return m.unfollow(ctx, pos, p.FollowerID, p.FolloweeID)
	case social.PostPublished:
		return m.publish(ctx, pos, p)
	case social.PostDeleted:
		return m.deletePost(ctx, pos, p)
	}
	return m.writer.Apply(ctx, readmodel.Watermark(msg.Event.PartitionKey, pos))
}
