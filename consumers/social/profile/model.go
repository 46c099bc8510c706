package profile

import (
	"context"
	"errors"
	"fmt"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
)

// Client is the part of the DynamoDB client that a Model uses.
type Client = once.Client

// Config says where a Model writes. Client is required.
type Config struct {
	Client Client
	Table  string // "": DefaultTable
}

// Model writes the table. Safe for concurrent use; see [consumers.Handler] for
// what may run at the same time.
type Model struct{ group *once.Group }

// New makes a model on a table that exists.
func New(cfg Config) (*Model, error) {
	if cfg.Client == nil {
		return nil, errors.New("profile: config: Client is nil")
	}
	if cfg.Table == "" {
		cfg.Table = DefaultTable
	}
	return &Model{once.NewGroup(once.Config{Client: cfg.Client, Table: cfg.Table})}, nil
}

// Handle applies one event; it is a [consumers.Handler]. Types that the model
// does not know only raise the watermark.
func (m *Model) Handle(ctx context.Context, msg consumers.Message) error {
	return consumers.DecodePayload(social.Registry(), m.handle)(ctx, msg)
}

func (m *Model) handle(ctx context.Context, msg consumers.Message, payload events.Payload) error {
	fresh, err := m.apply(ctx, msg, payload)
	switch {
	case err != nil:
		return once.Classify(fmt.Errorf("profile: apply %s %s: %w", msg.Event.Type, msg.Event.ID, err))
	case !fresh:
		return consumers.ErrStale
	}
	return nil
}

// apply tells whether the event changed anything.
func (m *Model) apply(ctx context.Context, msg consumers.Message, payload events.Payload) (bool, error) {
	mark := once.Watermark(msg.Event.PartitionKey, msg.Position)
	switch p := payload.(type) {
	case social.UserJoined:
		return m.join(ctx, msg.Position, p, mark)
	case social.UserProfileUpdated:
		return m.one(ctx, nameStep(p.UserID, p.Name, p.Bio, p.Version, msg.Position), mark)
	case social.PostPublished:
		return m.one(ctx, postStep(p, msg.Position), mark)
	case social.RelationshipFollowed:
		return m.relate(ctx, edge{p.FollowerID, p.FolloweeID}, true, msg.Position)
	case social.RelationshipUnfollowed:
		return m.relate(ctx, edge{p.FollowerID, p.FolloweeID}, false, msg.Position)
	}
	return m.one(ctx, mark)
}

// one carries out the steps, and tells of the first whether it took effect.
func (m *Model) one(ctx context.Context, steps ...once.Step) (bool, error) {
	applied, err := m.group.Do(ctx, steps...)
	return err == nil && applied[0], err
}

// join writes the first name, and when the user joined; where a later event gave
// the name already, only the latter.
func (m *Model) join(ctx context.Context, pos events.Position, p social.UserJoined, mark once.Step) (bool, error) {
	fresh, err := m.one(ctx, joinStep(p, pos), mark)
	if err != nil || fresh {
		return fresh, err
	}
	return m.one(ctx, joinedStep(p))
}
