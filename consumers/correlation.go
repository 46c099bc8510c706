package consumers

import "context"

// Correlation puts the ids of the event into the context, so that what the handler logs,
// calls or publishes has the event as its cause.
func Correlation() Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, m Message) error {
			return next(m.Event.Context(ctx), m)
		}
	}
}
