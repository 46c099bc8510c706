package publishers

import (
	"bytes"
	"context"
	"fmt"

	"github.com/banyan-fig/banyan/events"
)

// Sealing returns a publisher that seals the personal members of each event, such as
// personal.Sealer.Seal does, before it hands the event to next: for events that their
// maker could not seal, since it is a program in another language, say, or a relay's
// mapping. Enqueue and EnqueueEncoded may have to wait for the key of a subject.
//
// Where seal fails, the event was not enqueued. An event that can never be sealed is
// events.ErrMalformed; after any other error, such as that of a table that is throttled, a
// later call may succeed.
func Sealing(next Publisher, seal func(context.Context, events.Event) (events.Event, error)) Publisher {
	return sealing{next, seal}
}

type sealing struct {
	next Publisher
	seal func(context.Context, events.Event) (events.Event, error)
}

func (s sealing) Enqueue(ctx context.Context, e events.Event) (Receipt, error) {
	sealed, err := s.seal(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("publishers: %w", err)
	}
	return s.next.Enqueue(ctx, sealed)
}

// EnqueueEncoded decodes the event, since only its type says what is personal.
func (s sealing) EnqueueEncoded(ctx context.Context, partitionKey string, data []byte) (Receipt, error) {
	e, err := events.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("publishers: seal an event: %w", err)
	}
	sealed, err := s.seal(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("publishers: %w", err)
	}
	if bytes.Equal(sealed.Data, e.Data) {
		return s.next.EnqueueEncoded(ctx, partitionKey, data)
	}
	return s.next.Enqueue(ctx, sealed)
}
