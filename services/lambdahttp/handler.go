package lambdahttp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/banyan-fig/banyan/events/correlation"
	"github.com/banyan-fig/banyan/infra/ops/warm"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
	"github.com/banyan-fig/banyan/services/httpjson"
)

// Config configures New. The zero value works.
type Config struct {
	// Service is the value of the metrics' dimension, best the function's name,
	// which distinguishes stages. Required with Metrics.
	Service string
	// Metrics gets one line for each request; nil: none is written.
	Metrics *emf.Writer
	// Logger gets panics, invalid events, and responses that are too large; nil:
	// slog.Default().
	Logger *slog.Logger
	// Now is the clock of the metrics. Default time.Now.
	Now func() time.Time
}

// New makes a function of handler, for lambda.Start. It is safe for concurrent use
// if the handler is.
func New(handler http.Handler, cfg Config) (lambda.Handler, error) {
	if handler == nil {
		return nil, errors.New("lambdahttp: the handler is nil")
	}
	if cfg.Metrics != nil && cfg.Service == "" {
		return nil, errors.New("lambdahttp: config: Metrics needs a Service")
	}
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return warm.Wrap(&function{handler, cfg}), nil
}

type function struct {
	handler http.Handler
	cfg     Config
}

// Invoke implements lambda.Handler.
func (f *function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	begin := f.cfg.Now()
	ctx, cancel := withMargin(ctx)
	defer cancel()
	e, err := parse(payload)
	var r *http.Request
	if err == nil {
		r, err = parseRequest(ctx, e)
	}
	if err != nil {
		f.cfg.Logger.ErrorContext(ctx, "invalid event", "error", err.Error(), "bytes", len(payload))
		return nil, err
	}
	w := f.serve(r)
	text, err := w.encode(e.isFirst())
	if err != nil {
		f.logError(r, "the answer is too large to be sent", "error", err.Error())
		w = problemResponse(httpjson.Problem{
			Type: "/problems/response-too-large", Title: "The answer is too large; ask for less", Status: http.StatusInternalServerError,
		})
		if text, err = w.encode(e.isFirst()); err != nil {
			return nil, err
		}
	}
	f.writeMetrics(begin, r.Method, w.status)
	return text, nil
}

// margin is how long before the function's deadline a request's context ends.
const margin = 250 * time.Millisecond

// withMargin ends ctx early enough to send a response about the timeout.
func withMargin(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(margin, time.Until(deadline)/10)))
}

func (f *function) serve(r *http.Request) (w *response) {
	w = newResponse(r.Method)
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		f.logError(r, "panic in the handler", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		w = problemResponse(httpjson.Problems{}.Of(errPanic))
	}()
	f.handler.ServeHTTP(w, r)
	return w
}

var errPanic = errors.New("panic")

// problemResponse is the response when the handler's own cannot be sent.
func problemResponse(p httpjson.Problem) *response {
	w := newResponse(http.MethodGet)
	httpjson.WriteProblem(w, p)
	return w
}

func (f *function) logError(r *http.Request, message string, args ...any) {
	args = append(args, "method", r.Method, "path", r.URL.Path, "correlation_id", correlation.From(r.Context()).CorrelationID)
	f.cfg.Logger.ErrorContext(r.Context(), message, args...)
}
