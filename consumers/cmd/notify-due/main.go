// Command notify-due is the Lambda function that sends what was deferred, and prunes e-mail
// addresses that bounce. Invoke it by a schedule each minute, and subscribe it to the SNS
// topic to which SES publishes bounces and complaints.
//
// Its environment is that of package consumers/notify/setup, with LOG_LEVEL (debug, info,
// warn or error) and METRICS_NAMESPACE (default Banyan/Consumers), in which each sweep
// counts what it did: Sent, Suppressed, Deferred, Failed, Uncertain.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers/notify"
	"github.com/banyan-fig/banyan/consumers/notify/channel/ses"
	"github.com/banyan-fig/banyan/consumers/notify/setup"
	"github.com/banyan-fig/banyan/consumers/notify/store"
	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

// startTimeout is Lambda's for the start of a function, and margin the end of an
// invocation in which nothing is begun.
const (
	startTimeout = 10 * time.Second
	margin       = 10 * time.Second
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	f, err := newFunction(ctx)
	cancel()
	if err != nil {
		fmt.Fprintf(os.Stderr, "notify-due: cannot start: %v\n", err)
		os.Exit(1)
	}
	lambda.Start(f.invoke)
}

type function struct {
	engine  *notify.Engine
	store   *store.Store
	metrics *emf.Writer
}

func newFunction(ctx context.Context) (*function, error) {
	var level slog.Level
	if text := os.Getenv("LOG_LEVEL"); text != "" {
		if err := level.UnmarshalText([]byte(text)); err != nil {
			return nil, fmt.Errorf("invalid LOG_LEVEL %q: must be debug, info, warn or error", text)
		}
	}
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return nil, err
	}
	client, table := dynamodb.NewFromConfig(sdk), cmp.Or(os.Getenv(setup.TableVariable), store.DefaultTable)
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("function", "notify-due")
	engine, err := setup.Engine(ctx, setup.Environment{Getenv: os.Getenv, AWS: sdk, Client: client, Table: table, Logger: log}, nil)
	if err != nil {
		return nil, err
	}
	return &function{engine, store.New(client, table), emf.New(os.Stdout, cmp.Or(os.Getenv("METRICS_NAMESPACE"), "Banyan/Consumers"))}, nil
}

// invocation is what the function can be invoked with: an event of a schedule, which has
// no records, or messages of SNS.
type invocation struct {
	Source  string `json:"source"`
	Records []struct {
		SNS struct {
			Message string
		} `json:"Sns"`
	}
}

func (f *function) invoke(ctx context.Context, payload json.RawMessage) (any, error) {
	var in invocation
	err := json.Unmarshal(payload, &in)
	switch {
	case err != nil || in.Records == nil && in.Source != "aws.events" && in.Source != "aws.scheduler" && string(payload) != "{}":
		return nil, errors.Join(errors.New("invoked with neither an event of a schedule nor messages of SNS"), err)
	case in.Records == nil:
		return f.sweep(ctx)
	}
	pruned := 0
	for _, r := range in.Records {
		n, err := f.prune(ctx, r.SNS.Message)
		if pruned += n; err != nil {
			return nil, err
		}
	}
	return map[string]int{"pruned": pruned}, nil
}

func (f *function) sweep(ctx context.Context) (notify.Report, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-margin))
		defer cancel()
	}
	report, err := f.engine.Sweep(ctx)
	line := emf.Line{At: time.Now()}
	for _, s := range []store.State{store.Sent, store.Suppressed, store.Deferred, store.Failed, store.Uncertain} {
		name := strings.ToUpper(string(s[:1])) + string(s[1:])
		line.Metrics = append(line.Metrics, emf.Metric{Name: name, Unit: emf.Count, Value: float64(report[s])})
	}
	f.metrics.Write(line)
	return report, err
}

// prune removes the addresses that a message tells of, where it says whose they are.
func (f *function) prune(ctx context.Context, message string) (int, error) {
	bounces, err := ses.Bounces([]byte(message))
	if err != nil {
		return 0, err
	}
	pruned := 0
	for _, b := range bounces {
		if b.User == "" {
			continue
		}
		if err := f.store.Prune(ctx, b.User, b.Address, b.At); err != nil {
			return pruned, err
		}
		pruned++
	}
	return pruned, nil
}
