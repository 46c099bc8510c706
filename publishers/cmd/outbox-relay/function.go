package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/consumers/function"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/schema"
	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/outboxtable"
)

// name is the relay's in metrics, logs and dead letters; outboxVariable has its table's.
const (
	name           = "outbox-relay"
	outboxVariable = "OUTBOX_TABLE"
)

// relay is the handler with what it does when time runs out.
type relay struct {
	*outboxtable.Relay
	redriver deadletter.Redriver
	log      *slog.Logger
	end      func() // the process
}

// errInvocation is what an invocation is that the relay does not handle.
var errInvocation = errors.New(`invalid invocation: either "Records" or "redrive" is required`)

// invoke handles what Lambda invokes the function with: records of the outbox table, or a
// redrive.
func (r *relay) invoke(ctx context.Context, payload json.RawMessage) (any, error) {
	var request struct {
		Redrive json.RawMessage
		awsevents.DynamoDBEvent
	}
	err := json.Unmarshal(payload, &request)
	if err == nil && (request.Redrive == nil) == (request.Records == nil) {
		err = errInvocation
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("invoked with neither records of a DynamoDB stream nor a redrive: %w", err)
	case request.Redrive == nil:
		return r.handle(ctx, request.DynamoDBEvent)
	}
	return r.redriver.Redrive(ctx, request.Redrive)
}

// redrive publishes a dead letter, and ends the process like handle where it is still on
// its way when the time is over.
func (r *relay) redrive(ctx context.Context, d consumers.DeadLetter) error {
	err := r.Redrive(ctx, d.Raw)
	if err != nil && ctx.Err() != nil {
		r.log.ErrorContext(ctx, "ending the process: its time is over, and an event that is redriven may be on its way to the stream", "error", err)
		r.end()
	}
	return err
}

// handle is outboxtable.Relay.Handle. It ends the process rather than let Lambda
// freeze it with events on their way to the stream: thawed, it would send them
// behind their successors. Lambda then delivers the batch again, to a new one.
func (r *relay) handle(ctx context.Context, e awsevents.DynamoDBEvent) (awsevents.DynamoDBEventResponse, error) {
	out, err := r.Handle(ctx, e)
	if errors.Is(err, outboxtable.ErrInFlight) {
		r.log.ErrorContext(ctx, "ending the process: its time is over, and events are still on their way to the stream", "error", err)
		r.end()
	}
	return out, err
}

// newFunction makes the relay from the environment, and makes sure that the
// stream and both tables are there.
func newFunction(ctx context.Context, getenv func(string) string) (*relay, error) {
	s, err := function.ParseSettings(function.Spec{
		Name: name, Tables: []function.Table{{Variable: outboxVariable, Default: outboxtable.DefaultTable}},
	}, getenv)
	claim, claimErr := parseClaim(getenv("CLAIM"))
	check, schemasErr := readSchemas(getenv("SCHEMAS"))
	if err := errors.Join(err, claimErr, schemasErr); err != nil {
		return nil, err
	}
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return nil, err
	}
	tables := dynamodb.NewFromConfig(sdk)
	if err := s.CheckTables(ctx, tables); err != nil {
		return nil, err
	}
	stream := cmp.Or(getenv("EVENTS_STREAM"), "banyan-events")
	publisher, err := kinesis.New(ctx, kinesis.Config{Client: awskinesis.NewFromConfig(sdk), Stream: stream, RetryRefused: true})
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: s.Level})).With("consumer", name)
	store := deadletter.New(tables, s.DeadLetterTable)
	handler, err := outboxtable.New(outboxtable.Config{
		Client: tables, Table: s.Tables[outboxVariable], Publisher: publisher, Permanent: permanent, Check: check,
		DeadLetters: letters{store, log}, Claim: claim, Concurrency: s.Concurrency, Observe: observe(log),
	})
	if err != nil {
		return nil, err
	}
	r := &relay{Relay: handler, log: log, end: func() { os.Exit(1) }}
	r.redriver = deadletter.Redriver{Store: store, Consumer: name, Handle: r.redrive}
	return r, nil
}

func parseClaim(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil // the relay has a default
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("CLAIM %q must be a duration such as 15s", text)
	}
	return d, nil
}

// readSchemas returns what events must fit, nil without a file.
func readSchemas(file string) (func(events.Event) error, error) {
	if file == "" {
		return nil, nil
	}
	document, err := schema.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("SCHEMAS must be an AsyncAPI document in JSON: %w", err)
	}
	return document.Check, nil
}

func permanent(err error) bool {
	return errors.Is(err, kinesis.ErrTooLarge) || errors.Is(err, events.ErrMalformed)
}

// letters keeps dead letters where the consumers do.
type letters struct {
	store *deadletter.Store
	log   *slog.Logger
}

// Put implements outboxtable.DeadLetters.
func (l letters) Put(ctx context.Context, d outboxtable.DeadLetter) error {
	err := l.store.Put(ctx, consumers.DeadLetter{
		Consumer: name, Shard: d.Table, Position: d.Position(), PartitionKey: d.PartitionKey,
		EventID: d.Event.ID, EventType: d.Event.Type, Raw: d.Raw,
		Reason: d.Reason, Arrived: d.Made, At: d.At,
	})
	if err == nil {
		l.log.ErrorContext(ctx, "an event can never be published, and is a dead letter now",
			"event_id", d.Event.ID, "event_type", d.Event.Type, "partition_key", d.PartitionKey, "item", d.SortKey,
			"correlation_id", d.Event.CorrelationID, "causation_id", d.Event.CausationID, "reason", d.Reason)
	}
	return err
}

// observe writes the figures of a batch as the consumers do: an event that was
// published is one that was applied, a key that comes again one that failed.
func observe(log *slog.Logger) func(context.Context, outboxtable.Report) {
	emf := consumers.EMF(os.Stdout, function.DefaultNamespace, cmp.Or(os.Getenv("AWS_LAMBDA_FUNCTION_NAME"), name))
	return func(ctx context.Context, r outboxtable.Report) {
		if r.Keys == 0 {
			return // claims and deletions only
		}
		emf(ctx, consumers.Report{
			Consumer: name, At: r.At, Records: r.Records, Messages: r.Published + r.DeadLetters,
			Applied: r.Published, DeadLetters: r.DeadLetters, Failed: r.Failed, Unhandled: r.Busy, Lags: r.Lags, Errors: r.Errors,
		})
		if len(r.Errors) > 0 || r.Busy > 0 {
			reasons := make([]string, len(r.Errors))
			for i, err := range r.Errors {
				reasons[i] = err.Error()
			}
			log.WarnContext(ctx, "not everything in the batch was published",
				"keys", r.Keys, "dead_letters", r.DeadLetters, "failed", r.Failed, "busy", r.Busy, "reasons", reasons)
		}
	}
}
