package function

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/source"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/personal"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

// DefaultNamespace of the metrics of consumers.
const DefaultNamespace = "Banyan/Consumers"

// Spec describes a function. Name and Handler are required; zero values of the rest are
// the defaults of the package comment.
type Spec struct {
	// Name of the consumer: in dead letters, logs and metrics.
	Name string
	// Handler makes the handler, once, when the function starts.
	Handler func(Env) (consumers.Handler, error)
	// Sources are what may invoke the function; other invocations fail. None: Kinesis.
	Sources []source.Source
	// Tables of the function. They must exist when it starts.
	Tables []Table
	// DeadLetterTable is the table of dead letters.
	DeadLetterTable string
	// Registry decodes payloads, see [consumers.Config]. May be nil.
	Registry *events.Registry
	// Keys opens personal members of events for the payloads, such as keytable.FromEnv. It is
	// called once, when the function starts. nil: they are withheld, see consumers.Message.
	Keys func(ctx context.Context, sdk aws.Config, getenv func(string) string) (personal.Keys, error)
	// Policy for events that cannot be decoded or handled.
	Policy consumers.Policy
	// Attempts, Concurrency, Timeout, Share and Margin are those of [consumers.Config].
	Attempts, Concurrency  int
	Timeout, Share, Margin time.Duration
	// MaxChain is that of [consumers.Config].
	MaxChain int
	// Middleware goes around the handler, inside of the function's logging; the first
	// is outermost.
	Middleware []consumers.Middleware
	// Namespace of the metrics.
	Namespace string
	// Observe is called with the figures of each batch after they were written as
	// metrics. May be nil.
	Observe func(context.Context, consumers.Report)
}

// openWith returns what opens personal members, nil without keys.
func (s Spec) openWith(ctx context.Context, sdk aws.Config, getenv func(string) string) (func(context.Context, events.Event) (events.Event, error), error) {
	if s.Keys == nil {
		return nil, nil
	}
	keys, err := s.Keys(ctx, sdk, getenv)
	if err != nil {
		return nil, fmt.Errorf("open the keys of personal members: %w", err)
	}
	return personal.Sealer{Members: s.Registry.Personal, Keys: keys}.Open, nil
}

func (s Spec) sources() []source.Source {
	if len(s.Sources) == 0 {
		return []source.Source{source.Kinesis()}
	}
	return s.Sources
}

// hasStream reports whether a source has positions, by which dead letters are kept.
func (s Spec) hasStream() bool { return slices.ContainsFunc(s.sources(), source.Source.IsStream) }

// Table is a table whose name is in an environment variable.
type Table struct {
	Variable string
	// Default is the name where the variable is not set. "": it must be set.
	Default string
}

// Env is what a handler is made of.
type Env struct {
	// AWS is for clients: what they send carries the ids of the message, see package outgoing.
	AWS      aws.Config
	DynamoDB *dynamodb.Client
	// Logger has the consumer's name, and with the context of a message its ids, the request
	// id of the invocation, the function's version, and cold_start in the first.
	Logger  *slog.Logger
	Metrics *emf.Writer // in the function's namespace
	Getenv  func(string) string

	tables map[string]string
}

// Table returns the name of the table of a variable in Spec.Tables, "" for others.
func (e Env) Table(variable string) string { return e.tables[variable] }
