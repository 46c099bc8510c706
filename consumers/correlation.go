package consumers

import "context"

// Correlation puts the ids of the event into the context: what the handler does
// or publishes has the event as its cause.
func Correlation() Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, m Message) error {
			return next(m.Event.Context(ctx), m)
		}
	}
}
