package consumers

import (
	"context"
	"errors"

	"github.com/banyan-fig/banyan/events"
)

// DecodePayload makes a handler of one that is given the payload of each message,
// decoded by the registry: in its newest version, and of the Go type that was
// defined, for a type switch. The payload is nil where the registry does not have
// the type of the event, which is then somebody else's.
//
// An event that breaks the promise of its type, or has a version that the registry
// does not have, is a [Permanent] error: it becomes a dead letter.
func DecodePayload(registry *events.Registry, handle func(context.Context, Message, events.Payload) error) Handler {
	return func(ctx context.Context, m Message) error {
		payload, err := registry.Decode(m.Event)
		if err != nil && !errors.Is(err, events.ErrUnknownType) {
			return Permanent(err)
		}
		return handle(ctx, m, payload)
	}
}
