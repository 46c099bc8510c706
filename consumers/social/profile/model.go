package profile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/consumers/social/readmodel"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// DefaultTable is the name of the table where the environment gives none.
const DefaultTable = "banyan-profile"

// TableInput defines the table.
func TableInput(name string) *dynamodb.CreateTableInput { return dynamo.CompositeTable(name) }

// Client is the part of the DynamoDB client that a Model uses.
type Client interface {
	once.Client
	dynamodb.QueryAPIClient
}

// Config says where a Model writes. Client is required.
type Config struct {
	Client Client
	Table  string // "": DefaultTable
}

// Model writes the table. Safe for concurrent use; see [consumers.Handler] for what may
// run at the same time.
type Model struct {
	cfg    Config
	writer *once.Writer
	handle consumers.Handler
}

// New makes a model on a table that exists.
func New(cfg Config) (*Model, error) {
	if cfg.Client == nil {
		return nil, errors.New("profile: config: Client is nil")
	}
	cfg.Table = cmp.Or(cfg.Table, DefaultTable)
	m := &Model{cfg: cfg, writer: once.NewWriter(once.Config{Client: cfg.Client, Table: cfg.Table})}
	m.handle = readmodel.Handler("profile", m.apply)
	return m, nil
}

// Handle applies one event; it is a [consumers.Handler].
func (m *Model) Handle(ctx context.Context, msg consumers.Message) error { return m.handle(ctx, msg) }

func (m *Model) apply(ctx context.Context, msg consumers.Message, payload events.Payload) error {
	watermark := readmodel.Watermark(msg.Event.PartitionKey, msg.Position)
	switch p := payload.(type) {
	case social.UserJoined:
		return m.join(ctx, msg.Position, p, watermark)
	case social.UserProfileUpdated:
		return m.writer.Apply(ctx, nameChange(p, msg.Position), watermark)
	case social.PostPublished:
		return m.writer.Apply(ctx, postChange(p, msg.Position), watermark)
	case social.PostDeleted:
		return m.deletePost(ctx, msg.Position, p, watermark)
	case social.UserLeft:
		return m.leave(ctx, msg.Position, p.UserID, watermark)
	case social.RelationshipFollowed:
		return m.setEdge(ctx, edge{p.FollowerID, p.FolloweeID}, true, msg.Position, watermark)
	case social.RelationshipUnfollowed:
		return m.setEdge(ctx, edge{p.FollowerID, p.FolloweeID}, false, msg.Position, watermark)
	}
	return m.writer.Apply(ctx, watermark)
}

// join writes the first name, and when the user joined; if a later event set the
// name already, only the latter.
func (m *Model) join(ctx context.Context, pos events.Position, p social.UserJoined, watermark once.Change) error {
	err := m.writer.Apply(ctx, joinChange(p, pos), watermark)
	if errors.Is(err, consumers.ErrStale) {
		return m.writer.Apply(ctx, joinedAtChange(p))
	}
	return err
}

// setEdge flips the edge and changes both counters with it. For an edge that is already in the
// event's state, only the position is raised.
func (m *Model) setEdge(ctx context.Context, e edge, following bool, pos events.Position, watermark once.Change) error {
	if e.follower == e.author {
		return m.writer.Apply(ctx, watermark)
	}
	err := m.writer.Apply(ctx, e.flip(following, pos), watermark)
	if errors.Is(err, consumers.ErrStale) {
		return m.writer.Apply(ctx, e.raisePosition(following, pos))
	}
	return err
}

// deletePost leaves a mark in the post's place, which refuses the post should it be
// delivered only now. A post that was counted, also in between by a delivery that was held
// up, no longer is.
func (m *Model) deletePost(ctx context.Context, pos events.Position, p social.PostDeleted, watermark once.Change) error {
	var err error
	for _, counted := range []bool{true, false, true} {
		if err = m.writer.Apply(ctx, deleteChange(p, counted, pos), watermark); !errors.Is(err, consumers.ErrStale) {
			break
		}
	}
	return err
}

// leave takes the profile away, then ends the follows of the user, so that whom they
// followed lose a follower. Cut short, it goes on with those that are left.
func (m *Model) leave(ctx context.Context, pos events.Position, user string, watermark once.Change) error {
	err := m.writer.Apply(ctx, leftChange(user, pos))
	stale := errors.Is(err, consumers.ErrStale)
	if err != nil && !stale {
		return err
	}
	pages := dynamodb.NewQueryPaginator(m.cfg.Client, followsQuery(m.cfg.Table, user))
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("read whom %s follows: %w", user, err)
		}
		ends := make([]once.Change, len(page.Items))
		for i, item := range page.Items {
			ends[i] = edge{user, strings.TrimPrefix(dynamo.StringOf(item, dynamo.AttrSK), prefixEdge)}.end(pos)
		}
		if _, err := m.writer.Write(ctx, ends...); err != nil {
			return fmt.Errorf("end the follows of %s: %w", user, err)
		}
	}
	err = m.writer.Apply(ctx, watermark)
	if stale && err == nil {
		return consumers.ErrStale
	}
	return err
}
