// Package function is what the Lambda functions of the consumers have in
// common: their environment, and how they log, count and park.
//
// The environment of every function, besides that of the AWS SDK:
//
//	DEAD_LETTER_TABLE   table of dead letters, default banyan-dead-letters
//	CONCURRENCY         messages handled at the same time, default 32
//	ATTEMPTS            at a message in one delivery, default 5
//	LOG_LEVEL           debug, info (default), warn or error
package function

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/infra/awssdk"
)

// Namespace of the functions' metrics.
const Namespace = "Banyan/Consumers"

// Spec is what sets one function apart.
type Spec struct {
	// Name of the consumer.
	Name string
	// TableVariable is the environment variable with the name of its table.
	TableVariable string
	// DefaultTable is the name without it.
	DefaultTable string
	// Handler makes the handler on a table.
	Handler func(client *dynamodb.Client, table string) (consumers.Handler, error)
}

// Settings are what a function takes from its environment.
type Settings struct {
	Table, DeadLetters    string
	Concurrency, Attempts int
	Level                 slog.Level
}

// ParseSettings reads an environment and names every variable that is wrong.
func ParseSettings(spec Spec, getenv func(string) string) (Settings, error) {
	s := Settings{
		Table:       or(getenv(spec.TableVariable), spec.DefaultTable),
		DeadLetters: or(getenv("DEAD_LETTER_TABLE"), deadletter.DefaultTable),
	}
	var errs []error
	number := func(name string, into *int) {
		text := getenv(name)
		if text == "" {
			return // the runtime has a default
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1000 {
			errs = append(errs, fmt.Errorf("%s is %q: a number from 1 to 1000 is wanted", name, text))
		}
		*into = n
	}
	number("CONCURRENCY", &s.Concurrency)
	number("ATTEMPTS", &s.Attempts)
	if err := s.Level.UnmarshalText([]byte(or(getenv("LOG_LEVEL"), "info"))); err != nil {
		errs = append(errs, fmt.Errorf("LOG_LEVEL is %q: debug, info, warn or error is wanted", getenv("LOG_LEVEL")))
	}
	return s, errors.Join(errs...)
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// Main runs the function until Lambda ends it, and exits with a sentence on the
// standard error when its environment does not allow that.
func Main(spec Spec) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	c, err := New(ctx, spec, os.Getenv)
	cancel()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: cannot start: %v\n", spec.Name, err)
		os.Exit(1)
	}
	lambda.Start(c.HandleKinesis)
}

// New makes the consumer of a function from its environment. It makes sure that
// both tables are there, so that a wrong name shows at once.
func New(ctx context.Context, spec Spec, getenv func(string) string) (*consumers.Consumer, error) {
	s, err := ParseSettings(spec, getenv)
	if err != nil {
		return nil, err
	}
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return nil, err
	}
	client := dynamodb.NewFromConfig(sdk)
	for variable, table := range map[string]string{spec.TableVariable: s.Table, "DEAD_LETTER_TABLE": s.DeadLetters} {
		if err := exists(ctx, client, variable, table); err != nil {
			return nil, err
		}
	}
	handler, err := spec.Handler(client, s.Table)
	if err != nil {
		return nil, err
	}
	logger := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: s.Level})).With("consumer", spec.Name)
	emf := consumers.EMF(os.Stdout, Namespace, cmp.Or(getenv("AWS_LAMBDA_FUNCTION_NAME"), spec.Name))
	return consumers.New(consumers.Config{
		Name:        spec.Name,
		Handler:     handler,
		Middleware:  []consumers.Middleware{consumers.Logging(logger)},
		DeadLetters: deadletter.New(client, s.DeadLetters),
		Concurrency: s.Concurrency,
		Attempts:    s.Attempts,
		Observe: func(ctx context.Context, r consumers.Report) {
			emf(ctx, r)
			logReport(ctx, logger, r)
		},
	})
}

func exists(ctx context.Context, client *dynamodb.Client, variable, table string) error {
	_, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	if err != nil {
		return fmt.Errorf("table %q cannot be used (create it, or set %s): %w", table, variable, err)
	}
	return nil
}

// logReport tells of what a person should know: dead letters and failures.
func logReport(ctx context.Context, logger *slog.Logger, r consumers.Report) {
	if len(r.Errors) == 0 {
		return
	}
	reasons := make([]string, len(r.Errors))
	for i, err := range r.Errors {
		reasons[i] = err.Error()
	}
	logger.WarnContext(ctx, "not everything in the batch was applied",
		"messages", r.Messages, "parked", r.Parked, "failed", r.Failed, "unhandled", r.Unhandled, "reasons", reasons)
}
