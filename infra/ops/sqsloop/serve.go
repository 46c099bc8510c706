package sqsloop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/banyan-fig/banyan/infra/ops/function"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

// poller is the polling function.
type poller struct {
	Settings
	parts  function.Parts
	tokens *Tokens
	sqs    *sqs.Client
	lambda *lambda.Client
	own    map[string]Handler
}

// Poll makes the polling function from its environment. A queue whose handler is
// one of own is handled in this process; for the others the function of that
// name is invoked with each batch. own may be nil.
func Poll(p function.Parts, own map[string]Handler) (any, error) {
	s, err := ParseSettings(p.Getenv)
	if err != nil {
		return nil, err
	}
	f := poller{
		Settings: s, parts: p, own: own, sqs: sqs.NewFromConfig(p.AWS), lambda: lambda.NewFromConfig(p.AWS),
		tokens: &Tokens{Client: dynamodb.NewFromConfig(p.AWS), Table: s.Table},
	}
	return f.handleTurn, nil
}

func (f poller) handleTurn(ctx context.Context, turn Turn) error {
	loop, err := f.newLoop(ctx, turn)
	if err != nil {
		f.parts.Logger.ErrorContext(ctx, "invalid turn", "error", err.Error())
		return err
	}
	report, err := loop.Run(ctx, turn)
	f.writeMetrics(report)
	f.logReport(ctx, report, err)
	return err
}

func (f poller) newLoop(ctx context.Context, turn Turn) (*Loop, error) {
	if err := turn.Validate(); err != nil {
		return nil, err
	}
	q, known := findQueue(f.Queues, turn.Queue)
	if !known {
		return nil, fmt.Errorf("sqsloop: queue %s is not in LOOP_QUEUES", turn.Queue)
	}
	handler := f.own[q.Handler]
	if handler == nil {
		handler = Forward(f.lambda, q.Handler)
	}
	return &Loop{
		Queue: q, Tokens: f.tokens, SQS: f.sqs, Next: Function{Client: f.lambda, Name: invokedAlias(ctx)},
		Handler: handler, RecurseAfter: f.RecurseAfter, Region: f.parts.AWS.Region,
	}, nil
}

// invokedAlias is the alias by which the function was invoked, so that a loop moves to
// the deployed version.
func invokedAlias(ctx context.Context) string {
	if c, ok := lambdacontext.FromContext(ctx); ok && c.InvokedFunctionArn != "" {
		return c.InvokedFunctionArn
	}
	return lambdacontext.FunctionName
}

// writeMetrics writes metrics of turns that had something to do: an idle loop costs
// nothing here.
func (f poller) writeMetrics(r Report) {
	if r.Received == 0 && len(r.Problems) == 0 {
		return
	}
	metric := func(name string, n int) emf.Metric { return emf.Metric{Name: name, Unit: emf.Count, Value: float64(n)} }
	f.parts.Metrics.Write(emf.Line{
		At: time.Now(), Dimensions: dimensions(r.Turn.Queue),
		Metrics: []emf.Metric{
			metric("Received", r.Received), metric("Deleted", r.Deleted), metric("Failed", r.Failed),
			metric("Undeleted", r.Undeleted), metric("Problems", len(r.Problems)),
		},
	})
}

func (f poller) logReport(ctx context.Context, r Report, err error) {
	level := slog.LevelDebug
	switch {
	case err != nil:
		level = slog.LevelError
	case len(r.Problems) > 0 || r.Undeleted > 0:
		level = slog.LevelWarn
	case r.Over != nil:
		level = slog.LevelInfo
	}
	f.parts.Logger.Log(ctx, level, "turn",
		"queue", r.Turn.Queue, "token", r.Turn.Token, "loop", r.Turn.Loop, "iteration", r.Turn.Iteration,
		"turns", r.Turns, "polls", r.Polls, "received", r.Received, "deleted", r.Deleted, "failed", r.Failed,
		"undeleted", r.Undeleted, "over", errorText(r.Over), "error", errorText(err), "problems", errorTexts(r.Problems))
}

// ScaleUp makes the function that adds loops, ScaleDown the one that removes them,
// Restart the one that replaces stale ones. Their names are those of the
// methods of [Fleet].
func ScaleUp(p function.Parts) (any, error) {
	f, err := newFleet(p)
	return func(ctx context.Context, e events.SNSEvent) error { return reportChanges(ctx, p)(f.ScaleUp(ctx, e)) }, err
}

// ScaleDown is described at [ScaleUp].
func ScaleDown(p function.Parts) (any, error) {
	f, err := newFleet(p)
	return func(ctx context.Context, e events.SNSEvent) error { return reportChanges(ctx, p)(f.ScaleDown(ctx, e)) }, err
}

// Restart is described at [ScaleUp]. The function's event is not read.
func Restart(p function.Parts) (any, error) {
	f, err := newFleet(p)
	return func(ctx context.Context) error { return reportChanges(ctx, p)(f.Restart(ctx)) }, err
}

func newFleet(p function.Parts) (*Fleet, error) {
	s, err := ParseSettings(p.Getenv)
	if s.Function == "" {
		err = errors.Join(err, errors.New("LOOP_FUNCTION must be set to the polling function"))
	}
	return &Fleet{
		Queues: s.Queues,
		Tokens: &Tokens{Client: dynamodb.NewFromConfig(p.AWS), Table: s.Table},
		Next:   Function{Client: lambda.NewFromConfig(p.AWS), Name: s.Function},
	}, err
}

// reportChanges logs what was done, and counts it.
func reportChanges(ctx context.Context, p function.Parts) func([]Change, error) error {
	return func(changes []Change, err error) error {
		for _, c := range changes {
			level := slog.LevelInfo
			if c.Action == misdirected {
				level = slog.LevelWarn
			}
			p.Logger.Log(ctx, level, c.Action, "queue", c.Queue, "token", c.Token, "why", c.Why)
		}
		countChanges(p.Metrics, changes)
		if err != nil {
			p.Logger.ErrorContext(ctx, "changes failed", "error", err.Error())
		}
		return err
	}
}

// countChanges writes how many loops were added, deleted and restarted, for queues with
// any.
func countChanges(metrics *emf.Writer, changes []Change) {
	names := map[string]string{"added": "LoopsAdded", "deleted": "LoopsDeleted", "restarted": "LoopsRestarted"}
	queues := map[string]map[string]int{}
	for _, c := range changes {
		if names[c.Action] == "" {
			continue
		}
		if queues[c.Queue] == nil {
			queues[c.Queue] = map[string]int{}
		}
		queues[c.Queue][names[c.Action]]++
	}
	for url, counts := range queues {
		line := emf.Line{At: time.Now(), Dimensions: dimensions(url)}
		for name, n := range counts {
			line.Metrics = append(line.Metrics, emf.Metric{Name: name, Unit: emf.Count, Value: float64(n)})
		}
		metrics.Write(line)
	}
}

// dimensions of a queue's metrics.
func dimensions(url string) map[string]string {
	name, _ := parseQueueURL(url)
	return map[string]string{"Queue": name.name}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func errorTexts(errs []error) []string {
	out := make([]string, len(errs))
	for i, err := range errs {
		out[i] = err.Error()
	}
	return out
}
