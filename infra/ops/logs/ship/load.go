package ship

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/opensearch"
	"github.com/banyan-fig/banyan/infra/ops/function"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

// Load makes the shipper of a function from its environment, as package logs lists
// it. It names every variable that is wrong.
func Load(p function.Parts) (*Shipper, error) {
	e := &environment{getenv: p.Getenv}
	cfg := Config{
		Function: p.Getenv("AWS_LAMBDA_FUNCTION_NAME"), Index: p.Getenv("LOG_INDEX"),
		MaxBytes: e.number("LOG_BULK_BYTES"), MaxDocuments: e.number("LOG_BULK_DOCUMENTS"),
		MaxFields: e.number("LOG_MAX_FIELDS"), MaxDepth: e.number("LOG_MAX_DEPTH"), MaxValue: e.number("LOG_MAX_VALUE"),
		DeadLetters: &Queue{Client: sqs.NewFromConfig(p.AWS), URL: e.required("LOG_DEAD_LETTER_URL")},
		Own:         ownGroups(p.Getenv), Metrics: p.Metrics, Logger: p.Logger,
	}
	if e.flag("LOG_PLATFORM_METRICS") {
		cfg.Functions = emf.New(os.Stdout, functionsNamespace)
	}
	cfg.Bulk = e.bulk(p, cmp.Or(cfg.Index, defaultIndex))
	if err := errors.Join(e.errs...); err != nil {
		return nil, err
	}
	return New(cfg)
}

// ownGroups are the log groups of this function.
func ownGroups(getenv func(string) string) (groups []string) {
	if group := getenv("AWS_LAMBDA_LOG_GROUP_NAME"); group != "" {
		groups = append(groups, group)
	}
	if name := getenv("AWS_LAMBDA_FUNCTION_NAME"); name != "" {
		groups = append(groups, "/aws/lambda/"+name)
	}
	return groups
}

// environment collects what is wrong with it.
type environment struct {
	getenv func(string) string
	errs   []error
}

func (e *environment) invalid(name, wanted string) {
	e.errs = append(e.errs, fmt.Errorf("invalid %s %q: must be %s", name, e.getenv(name), wanted))
}

func (e *environment) required(name string) string {
	if e.getenv(name) == "" {
		e.errs = append(e.errs, fmt.Errorf("%s must be set", name))
	}
	return e.getenv(name)
}

func (e *environment) number(name string) int {
	text := e.getenv(name)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		e.invalid(name, "a number of at least 1")
	}
	return n
}

func (e *environment) flag(name string) bool {
	on, err := strconv.ParseBool(cmp.Or(e.getenv(name), "true"))
	if err != nil {
		e.invalid(name, "true or false")
	}
	return on
}

// bulk makes the client of the domain.
func (e *environment) bulk(p function.Parts, prefix string) Bulk {
	client, err := opensearch.FromEnvironment(config.NewSettings(), p.Getenv, p.AWS) // for as long as the function lives
	if err != nil {
		e.errs = append(e.errs, err)
	}
	if !e.flag("OPENSEARCH_TEMPLATE") {
		return client
	}
	return &prepared{client: client, name: prefix + "-banyan", template: opensearch.Template(prefix)}
}

// prepared puts the index template before the first request.
type prepared struct {
	client   *opensearch.Client
	name     string
	template []byte

	mu   sync.Mutex
	done bool
}

// Bulk implements Bulk.
func (p *prepared) Bulk(ctx context.Context, items []opensearch.Item) ([]opensearch.Status, error) {
	if err := p.prepare(ctx); err != nil {
		return nil, err
	}
	return p.client.Bulk(ctx, items)
}

func (p *prepared) prepare(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return nil
	}
	if err := p.client.PutTemplate(ctx, p.name, p.template); err != nil {
		return fmt.Errorf("put the index template %s: %w", p.name, err)
	}
	p.done = true
	return nil
}
