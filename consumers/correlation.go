package consumers

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"

	"github.com/banyan-fig/banyan/events/correlation"
)

// SampleDebug turns on the debug flag of a part of all correlations, from 0 to 1. It decides by
// the correlation id, so every function with the same part decides alike, and what is
// published or called under it has the flag.
func SampleDebug(part float64) Middleware {
	return func(next Handler) Handler {
		if part <= 0 {
			return next
		}
		return func(ctx context.Context, m Message) error {
			id := m.Event.CorrelationID
			if m.Event.ID == "" {
				id = correlation.FromAttributes(m.Attributes).CorrelationID
			}
			h := fnv.New64a()
			h.Write([]byte(id))
			if id != "" && float64(h.Sum64()>>11)/(1<<53) < part {
				ids := correlation.From(ctx)
				ids.Debug = true
				ctx = correlation.With(ctx, ids)
			}
			return next(ctx, m)
		}
	}
}

// Correlation puts the ids of the message into the context, so that what the handler logs,
// calls or publishes has the message as its cause. They are those of the event, or, where
// there is none, of the attributes, or else what the context has; the debug flag is of any.
func Correlation() Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, m Message) error {
			ids := correlation.FromAttributes(m.Attributes)
			if m.Event.ID == "" {
				outer := correlation.From(ctx)
				ids.CorrelationID, ids.CausationID = cmp.Or(ids.CorrelationID, outer.CorrelationID), cmp.Or(ids.CausationID, outer.CausationID)
				ids.Debug = ids.Debug || outer.Debug
				ids.Chain++
				return next(correlation.With(ctx, ids), m)
			}
			if ids.Debug {
				ctx = correlation.With(ctx, ids)
			}
			return next(m.Event.Context(ctx), m)
		}
	}
}

// StopLoops gives up messages whose call chain is longer than most: a function that publishes
// what it is invoked by would go on for ever. It needs [Correlation] around it, which every
// consumer has; the error is [Permanent].
func StopLoops(most int) Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, m Message) error {
			if n := correlation.From(ctx).Chain; n > most {
				return Permanent(fmt.Errorf("%d functions handled what led to this message, at most %d may: look for one that causes itself", n, most))
			}
			return next(ctx, m)
		}
	}
}
