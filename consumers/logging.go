package consumers

import (
	"context"
	"errors"
	"log/slog"

	"github.com/banyan-fig/banyan/events/correlation"
)

// Logging writes one line for each message: failures as errors, everything else
// at debug level, or at info level where the correlation asks for detail. It
// never writes the payload.
//
// In Config.Middleware it sees the outcome after all retries, and not whether the event
// became a dead letter, which is in the figures of the batch (see [Report]).
func Logging(logger *slog.Logger) Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, m Message) error {
			err := next(ctx, m)
			level, text := slog.LevelDebug, "applied"
			switch {
			case errors.Is(err, ErrStale):
				text = "stale"
			case err != nil:
				level, text = slog.LevelError, "failed"
			}
			if level == slog.LevelDebug && (m.Event.Debug || correlation.From(ctx).Debug || correlation.FromAttributes(m.Attributes).Debug) {
				level = slog.LevelInfo
			}
			if logger.Enabled(ctx, level) {
				logger.LogAttrs(ctx, level, text, messageAttrs(m, err)...)
			}
			return err
		}
	}
}

func messageAttrs(m Message, err error) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("event_id", m.Event.ID),
		slog.String("event_type", m.Event.Type),
		slog.String("partition_key", m.Event.PartitionKey),
		slog.String("position", m.Position.String()),
		slog.String("shard", m.Shard),
		slog.String("correlation_id", m.Event.CorrelationID),
		slog.String("causation_id", m.Event.CausationID),
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	return attrs
}
