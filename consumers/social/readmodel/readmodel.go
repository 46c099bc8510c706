// Package readmodel holds what the read models of the example share: how a handler
// decodes an event, and the watermark, which says how far a user's own events are
// applied.
//
// Both keep it in their tables as
//
//	pk      sk         what
//	user#U  watermark  pos: highest position applied for key U
package readmodel

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// PrefixUser begins the partition of a user.
const PrefixUser = "user#"

// AttrVersion is the attribute with the version of a user's profile.
const AttrVersion = "version"

// Apply applies an event. The payload is nil for a type that the registry of the example
// does not have: only the watermark is raised then, so that a read after such a write
// does not wait for ever.
type Apply func(ctx context.Context, m consumers.Message, payload events.Payload) error

// Handler decodes events for apply, unless the runtime did. Errors are classified for
// the runtime; name is the read model's.
func Handler(name string, apply Apply) consumers.Handler {
	return func(ctx context.Context, m consumers.Message) error {
		payload, err := decode(m)
		if err != nil {
			return consumers.Permanent(fmt.Errorf("%s: %w", name, err))
		}
		err = apply(ctx, m, payload)
		if err == nil || errors.Is(err, consumers.ErrStale) {
			return err
		}
		return once.Classify(fmt.Errorf("%s: apply %s %s: %w", name, m.Event.Type, m.Event.ID, err))
	}
}

func decode(m consumers.Message) (events.Payload, error) {
	if m.Payload != nil {
		return m.Payload, nil
	}
	payload, err := social.Registry().Decode(m.Event)
	if errors.Is(err, events.ErrUnknownType) {
		return nil, nil
	}
	return payload, err
}

// Watermark raises the highest position applied for a user's events. It never goes
// back.
func Watermark(user string, p events.Position) once.Change {
	return once.Change{Ops: []once.Op{once.Put(watermarkKey(user), once.At(p, nil), once.Newer(p))}}
}

func watermarkKey(user string) once.Key { return once.KeyOf(PrefixUser+user, "watermark") }

// ItemGetter is the part of the DynamoDB client that [Applied] uses.
type ItemGetter interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
}

// Applied reads the watermark of a user, zero when there is none.
func Applied(ctx context.Context, client ItemGetter, table, user string) (events.Position, error) {
	item, err := GetItem(ctx, client, table, watermarkKey(user))
	if err != nil {
		return events.Position{}, fmt.Errorf("read the watermark of %s: %w", user, err)
	}
	return once.PositionOf(item)
}

// GetItem reads an item, strongly consistent; empty when it does not exist.
func GetItem(ctx context.Context, client ItemGetter, table string, k once.Key) (dynamo.Item, error) {
	out, err := client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &table, Key: k.Item(), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, err
	}
	return out.Item, nil
}

// NewestVersion holds when the item has no version, a lower one, or the same from an
// earlier event.
func NewestVersion(version int64, p events.Position) once.Condition {
	return once.Condition{
		Text:   "attribute_not_exists(#version) OR #version < :version OR (#version = :version AND #pos < :pos)",
		Names:  map[string]string{"#version": AttrVersion, "#pos": once.AttrPosition},
		Values: dynamo.Item{":version": dynamo.Int(version), ":pos": dynamo.String(p.String())},
	}
}
