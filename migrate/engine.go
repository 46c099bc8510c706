package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/internal/state"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/source"
	"github.com/banyan-fig/banyan/migrate/target"
)

// DynamoDBAPI is what a migration needs of *dynamodb.Client.
type DynamoDBAPI interface {
	ownership.DynamoDBAPI
	state.DynamoDBAPI
	target.DynamoDBAPI
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
}

// Config says what an Engine works on. Plan, Mongo, Database and DynamoDB are
// needed; all else has defaults.
type Config struct {
	Plan         *plan.Plan
	Mongo        *mongo.Client
	Database     string // used where the plan names none
	DynamoDB     DynamoDBAPI
	ControlTable string // default ownership.DefaultTable

	RangeSize int           // documents in a range of _id; default by the size of the collection
	ChunkSize int           // documents read at once; default 500
	Workers   int           // ranges copied at once by this process; default 4
	Writers   int           // concurrent writes of each range; default 4
	Appliers  int           // changes applied at once; default 16
	Throttle  int           // documents a second that this process copies; default unlimited
	Lease     time.Duration // a process without a heartbeat for this long counts as dead; default 3s

	// Progress is called about once a second while copying and following, and
	// at each change of phase; it must not block.
	Progress func(Progress)
	Log      *slog.Logger // default: discards
	// Crash, if set, is called at named points of the protocol; an error ends the
	// process's work there as if it had been killed. For tests of invariant 7.
	Crash func(point string) error
}

// Validate reports the first setting that is missing or wrong.
func (c Config) Validate() error {
	switch {
	case c.Plan == nil || c.Plan.Codec() == nil:
		return errors.New("migrate: no plan; read one with plan.Read")
	case c.Mongo == nil || c.DynamoDB == nil:
		return errors.New("migrate: Config.Mongo and Config.DynamoDB are required")
	case c.Plan.Source.Database == "" && c.Database == "":
		return errors.New("migrate: no source database; name it in the plan or in the path of MONGODB_URI")
	case c.RangeSize < 0 || c.ChunkSize < 0 || c.Workers < 0 || c.Writers < 0 || c.Appliers < 0 || c.Throttle < 0 || c.Lease < 0:
		return errors.New("migrate: sizes, rates and times must not be negative")
	}
	return nil
}

func (c *Config) defaults() {
	c.ControlTable = cmp.Or(c.ControlTable, ownership.DefaultTable)
	c.ChunkSize = cmp.Or(c.ChunkSize, 500)
	c.Workers = cmp.Or(c.Workers, 4)
	c.Writers = cmp.Or(c.Writers, 4)
	c.Appliers = cmp.Or(c.Appliers, 16)
	c.Lease = cmp.Or(c.Lease, 3*time.Second)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Progress == nil {
		c.Progress = func(Progress) {}
	}
	if c.Crash == nil {
		c.Crash = func(string) error { return nil }
	}
}

// Engine performs the verbs of a migration for one plan. Its methods may be
// called concurrently and from any number of processes.
type Engine struct {
	Config
	codec  *codec.Codec
	source *source.Collection
	target *target.Tables
	state  *state.Store
	owners *ownership.Table
	worker string // this process's name among the workers

	crashed atomic.Bool
}

// errCrash ends the work of an engine at a point that Config.Crash chose.
var errCrash error = retry.Permanent("simulated crash")

// crash calls Config.Crash at a named point. After a simulated crash nothing is
// cleaned up, as if the process had been killed.
func (e *Engine) crash(point string) error {
	if err := e.Crash(point); err != nil {
		e.crashed.Store(true)
		return fmt.Errorf("%w at %q: %w", errCrash, point, err)
	}
	return nil
}

// New checks cfg; it sends nothing.
func New(cfg Config) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.defaults()
	database := cmp.Or(cfg.Plan.Source.Database, cfg.Database)
	e := &Engine{Config: cfg, codec: cfg.Plan.Codec(), worker: uuid.NewString()}
	e.owners = ownership.NewTable(cfg.DynamoDB, cfg.ControlTable)
	e.source = &source.Collection{DB: cfg.Mongo.Database(database), Name: cfg.Plan.Source.Collection, Entity: cfg.Plan.Entity}
	e.target = &target.Tables{Plan: cfg.Plan, Client: cfg.DynamoDB}
	e.state = &state.Store{Client: cfg.DynamoDB, Table: cfg.ControlTable, PK: "entity#" + cfg.Plan.Entity}
	return e, nil
}

// Init creates the control table, unless it exists; "" stands for
// ownership.DefaultTable.
func Init(ctx context.Context, client ownership.DynamoDBAPI, table string) error {
	if err := ownership.NewTable(client, table).Ensure(ctx); err != nil {
		return retry.Reachable("DynamoDB", "AWS_ENDPOINT_URL and AWS_REGION", err)
	}
	return nil
}

// Init creates the control table, unless it exists.
func (e *Engine) Init(ctx context.Context) error { return Init(ctx, e.DynamoDB, e.ControlTable) }

// record loads who owns the entity.
func (e *Engine) record(ctx context.Context) (ownership.Record, error) {
	r, err := e.owners.Load(ctx, e.Plan.Entity)
	if err != nil {
		return r, retry.Reachable("DynamoDB", "AWS_ENDPOINT_URL and AWS_REGION", err)
	}
	return r, nil
}
