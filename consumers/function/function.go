package function

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/consumers/source"
	"github.com/banyan-fig/banyan/events/correlation"
	"github.com/banyan-fig/banyan/events/correlation/outgoing"
	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

// startTimeout is Lambda's for the start of a function.
const startTimeout = 10 * time.Second

// Main runs the function until Lambda ends it. When it cannot start it writes a line to
// the standard error and exits with 1.
func Main(spec Spec) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	f, err := New(ctx, spec, os.Getenv, os.Stdout, os.Stderr)
	cancel()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: cannot start: %v\n", cmp.Or(spec.Name, "function"), err)
		os.Exit(1)
	}
	limitMemory(os.Getenv)
	lambda.Start(func(ctx context.Context, payload json.RawMessage) (any, error) {
		out, err := f.Invoke(ctx, payload)
		if errors.Is(err, consumers.ErrWornOut) {
			fmt.Fprintf(os.Stderr, "%s: ending the process, the batch is delivered to another: %v\n", spec.Name, err)
			os.Exit(1)
		}
		return out, err
	})
}

// limitMemory lets the collector work harder before the function's memory ends.
func limitMemory(getenv func(string) string) {
	mib, err := strconv.ParseInt(getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), 10, 32)
	if err == nil && getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(mib << 20 / 10 * 9)
	}
}

// Function is a consumer with its environment.
type Function struct {
	*consumers.Consumer
	sources    []source.Source
	redriver   deadletter.Redriver
	warm       atomic.Bool
	checkOnce  sync.Once
	checkTimes func(timeout time.Duration)
}

// New makes a function from its environment. It makes sure that its tables exist. The
// metrics go to metrics and the log to log.
func New(ctx context.Context, spec Spec, getenv func(string) string, metrics, log io.Writer) (*Function, error) {
	if spec.Name == "" || spec.Handler == nil {
		return nil, errors.New("function: Spec.Name and Spec.Handler are required")
	}
	settings, err := ParseSettings(spec, getenv)
	if err != nil {
		return nil, err
	}
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return nil, err
	}
	outgoing.Add(&sdk)
	client := dynamodb.NewFromConfig(sdk)
	if err := settings.CheckTables(ctx, client); err != nil {
		return nil, err
	}
	logger := newLogger(log, settings.Level).With("consumer", spec.Name)
	handler, err := spec.Handler(Env{
		AWS: sdk, DynamoDB: client, Logger: logger, Metrics: emf.New(metrics, settings.Namespace), Getenv: getenv, tables: settings.Tables,
	})
	if err != nil {
		return nil, fmt.Errorf("make the handler: %w", err)
	}
	open, err := spec.openWith(ctx, sdk, getenv)
	if err != nil {
		return nil, err
	}
	store := deadletter.New(client, settings.DeadLetterTable)
	f := &Function{sources: spec.sources()}
	f.checkTimes = func(timeout time.Duration) {
		if err := settings.checkTimes(timeout); err != nil {
			logger.Error("a setting has no effect", "error", err)
		}
	}
	writeMetrics := consumers.EMF(metrics, settings.Namespace, cmp.Or(getenv("AWS_LAMBDA_FUNCTION_NAME"), spec.Name))
	f.Consumer, err = consumers.New(consumers.Config{
		Name:        spec.Name,
		Handler:     handler,
		Registry:    spec.Registry,
		Open:        open,
		Policy:      settings.Policy,
		Attempts:    settings.Attempts,
		Concurrency: settings.Concurrency,
		Timeout:     settings.Timeout,
		Share:       settings.Share,
		Margin:      settings.Margin,
		MaxChain:    settings.MaxChain,
		Middleware:  append([]consumers.Middleware{consumers.SampleDebug(settings.DebugSample), consumers.Logging(logger)}, spec.Middleware...),
		DeadLetters: store,
		Notes:       store,
		Observe: func(ctx context.Context, r consumers.Report) {
			writeMetrics(ctx, r)
			logReport(ctx, logger, r)
			observe(ctx, spec, logger, r)
		},
	})
	if err != nil {
		return nil, err
	}
	f.redriver = deadletter.Redriver{Store: store, Consumer: spec.Name, Handle: source.Redrive(f.Consumer)}
	return f, nil
}

// Invoke handles what Lambda invokes the function with: an invocation of one of its sources,
// or a redrive (see the package comment).
func (f *Function) Invoke(ctx context.Context, payload json.RawMessage) (any, error) {
	if !f.warm.Swap(true) {
		ctx = context.WithValue(ctx, coldKey{}, true)
	}
	if invocation, ok := lambdacontext.FromContext(ctx); ok { // for messages without ids
		ctx = correlation.With(ctx, correlation.IDs{CorrelationID: invocation.AwsRequestID, CausationID: invocation.AwsRequestID})
	}
	if deadline, ok := ctx.Deadline(); ok { // the one place where a function learns its timeout
		f.checkOnce.Do(func() { f.checkTimes(time.Until(deadline).Round(time.Second)) })
	}
	shape, err := source.ShapeOf(payload)
	if err != nil || !slices.Equal(shape.Keys, []string{"redrive"}) {
		return source.Handle(ctx, f.Consumer, f.sources, payload)
	}
	var request struct{ Redrive json.RawMessage }
	if err := json.Unmarshal(payload, &request); err != nil {
		return nil, fmt.Errorf("%w: %w", source.ErrInvocation, err)
	}
	result, err := f.redriver.Redrive(ctx, request.Redrive)
	if err != nil {
		return nil, err
	}
	return result, nil
}

// observe calls the program's own Observe. The batch is handled, whatever that does.
func observe(ctx context.Context, spec Spec, logger *slog.Logger, r consumers.Report) {
	if spec.Observe == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			logger.ErrorContext(ctx, "Spec.Observe panicked", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
	}()
	spec.Observe(ctx, r)
}

// logReport logs dead letters and failures.
func logReport(ctx context.Context, logger *slog.Logger, r consumers.Report) {
	if len(r.Errors) == 0 {
		return
	}
	reasons := make([]string, len(r.Errors))
	for i, err := range r.Errors {
		reasons[i] = err.Error()
	}
	logger.WarnContext(ctx, "the batch had trouble",
		"messages", r.Messages, "dead_letters", r.DeadLetters, "failed", r.Failed, "unhandled", r.Unhandled, "reasons", reasons)
}
