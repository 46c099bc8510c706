package function

import (
	"context"
	"io"
	"log/slog"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/banyan-fig/banyan/events/correlation"
)

// coldKey is of the context of an environment's first invocation.
type coldKey struct{}

// newLogger makes the function's logger. What is logged with the context of an invocation has
// its request id, whether it was a cold start, the function's version, and the ids of the
// message; below the level it is logged where the message asks for detail.
func newLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(contextHandler{slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}), level})
}

type contextHandler struct {
	slog.Handler
	level slog.Level
}

func (h contextHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.level || correlation.From(ctx).Debug
}

func (h contextHandler) Handle(ctx context.Context, r slog.Record) error {
	has := map[string]bool{}
	r.Attrs(func(a slog.Attr) bool { has[a.Key] = true; return true })
	add := func(name, value string) {
		if value != "" && !has[name] {
			r.AddAttrs(slog.String(name, value))
		}
	}
	if invocation, ok := lambdacontext.FromContext(ctx); ok {
		add("request_id", invocation.AwsRequestID)
		add("function_version", lambdacontext.FunctionVersion)
	}
	if cold, _ := ctx.Value(coldKey{}).(bool); cold {
		r.AddAttrs(slog.Bool("cold_start", true))
	}
	ids := correlation.From(ctx)
	add("correlation_id", ids.CorrelationID)
	add("causation_id", ids.CausationID)
	return h.Handler.Handle(ctx, r)
}

func (h contextHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return contextHandler{h.Handler.WithAttrs(attrs), h.level}
}

func (h contextHandler) WithGroup(name string) slog.Handler {
	return contextHandler{h.Handler.WithGroup(name), h.level}
}
