package recommend

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/once"
)

// Client is the part of the DynamoDB client that a Model uses. A function needs the rights
// to GetItem, Query, BatchGetItem, PutItem, UpdateItem, DeleteItem and ConditionCheckItem on the
// table.
type Client interface {
	once.ModelClient
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
}

// Edge is a connection that came or went.
type Edge struct {
	From, To string // ids of users, at most 256 characters each
	Present  bool
}

// Config configures a Model. Client and Table are required.
type Config struct {
	Client Client
	Table  string // with the keys pk and sk, both texts
	// Edges are the connections that an event changes; nil if it changes none. A model
	// without it sweeps and reads, and handles no events.
	Edges func(consumers.Message) []Edge
	// Left is the user whom an event removes for ever; "" if it removes none. May be nil.
	Left func(consumers.Message) string
	// Breadth, Depth, Fanout and Keep are the bounds of the package comment. 0: 100, 200, 25
	// and 100, which is the most for Keep.
	Breadth, Depth, Fanout, Keep int
	// Concurrency is how many users Sweep works at, and for each how many requests it has
	// in flight. 0: 8.
	Concurrency int
	// Now is the clock. nil: time.Now.
	Now func() time.Time
}

// maxKeep candidates, twice, are what two requests can look up.
const maxKeep = 100

func (c Config) withDefaults() Config {
	c.Breadth, c.Depth = cmp.Or(c.Breadth, 100), cmp.Or(c.Depth, 200)
	c.Fanout, c.Keep = cmp.Or(c.Fanout, 25), cmp.Or(c.Keep, maxKeep)
	c.Concurrency = cmp.Or(c.Concurrency, 8)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Left == nil {
		c.Left = func(consumers.Message) string { return "" }
	}
	return c
}

// Model is the read model. Safe for concurrent use.
type Model struct {
	cfg    Config
	writer *once.Writer
}

// New makes a model on a table that exists.
func New(cfg Config) (*Model, error) {
	if cfg.Client == nil || cfg.Table == "" {
		return nil, errors.New("recommend: config: Client and Table are required")
	}
	cfg = cfg.withDefaults()
	if min(cfg.Breadth, cfg.Depth, cfg.Fanout, cfg.Keep, cfg.Concurrency) < 0 || cfg.Keep > maxKeep {
		return nil, errors.New("recommend: config: bounds must not be negative, and Keep at most 100")
	}
	return &Model{cfg: cfg, writer: once.NewWriter(once.Config{Client: cfg.Client, Table: cfg.Table})}, nil
}
