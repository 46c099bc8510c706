package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/dynamostream"
	"github.com/banyan-fig/banyan/infra/mongoserver"
	"github.com/banyan-fig/banyan/migrate/backfill"
	"github.com/banyan-fig/banyan/migrate/binding"
	"github.com/banyan-fig/banyan/migrate/changes"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/fence"
	"github.com/banyan-fig/banyan/migrate/gate"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/internal/worker"
	"github.com/banyan-fig/banyan/migrate/names"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/preflight"
	"github.com/banyan-fig/banyan/migrate/reverse"
	"github.com/banyan-fig/banyan/migrate/source"
	"github.com/banyan-fig/banyan/migrate/target"
	"github.com/banyan-fig/banyan/migrate/verify"
)

// DynamoDBAPI is what a migration needs of *dynamodb.Client.
type DynamoDBAPI interface {
	ownership.DynamoDBAPI
	control.DynamoDBAPI
	preflight.DynamoDBAPI
}

// Config says what an Engine works on. Plan, Mongo, Dial, Database, DynamoDB and Streams are
// needed; all else has defaults.
type Config struct {
	Plan         *plan.Plan
	Mongo        *mongo.Client
	Dial         fence.Dial // connects to the same MongoDB once more, for the commands that rename
	Database     string     // used where the plan names none
	DynamoDB     DynamoDBAPI
	Streams      dynamostream.API // of the same account and region as DynamoDB
	ControlTable string           // default ownership.DefaultTable

	RangeSize int // documents in a range of _id; default by the size of the collection
	ChunkSize int // documents read at once; default 500
	Writers   int // concurrent writes of each range; default 4
	Appliers  int // changes applied at once; default 16
	// Limits bound what this process copies, and can be shared by several engines; default 4
	// ranges at once.
	Limits *backfill.Limits
	// MaxMisfits is how many documents that do not fit are set aside before a run stops;
	// default control.DefaultMaxMisfits.
	MaxMisfits int
	// WithoutMembers are servers of MongoDB that are down for good, as the replica set names
	// them: Abandon and Complete do not need their answer. One that answers is asked.
	WithoutMembers []string
	Lease          time.Duration // a process without a heartbeat for this long counts as dead; default 3s

	// Progress is called about once a second while copying and following, and
	// at each change of phase; it must not block.
	Progress func(Progress)
	Log      *slog.Logger // default: discards
}

// Validate reports the first setting that is missing or wrong.
func (c Config) Validate() error {
	switch {
	case c.Plan == nil || c.Plan.Codec() == nil:
		return errors.New("migrate: no plan; read one with plan.Read")
	case c.Mongo == nil || c.Dial == nil || c.DynamoDB == nil || c.Streams == nil:
		return errors.New("migrate: Config.Mongo, Config.Dial, Config.DynamoDB and Config.Streams are required")
	case c.Plan.Source.Database == "" && c.Database == "":
		return errors.New("migrate: no source database; name it in the plan or in the path of MONGODB_URI")
	case c.RangeSize < 0 || c.ChunkSize < 0 || c.Writers < 0 || c.Appliers < 0 || c.MaxMisfits < 0 || c.Lease < 0:
		return errors.New("migrate: sizes, rates and times must not be negative")
	}
	return nil
}

func (c *Config) defaults() {
	c.ControlTable = cmp.Or(c.ControlTable, ownership.DefaultTable)
	c.ChunkSize = cmp.Or(c.ChunkSize, 500)
	c.Writers = cmp.Or(c.Writers, 4)
	c.Appliers = cmp.Or(c.Appliers, 16)
	if c.Limits == nil {
		c.Limits = backfill.NewLimits(4, 0)
	}
	c.Lease = cmp.Or(c.Lease, 3*time.Second)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Progress == nil {
		c.Progress = func(Progress) {}
	}
}

// Engine performs the verbs of a migration for one plan. Its methods may be
// called concurrently and from any number of processes.
type Engine struct {
	Config
	control *control.Store
	owners  *ownership.Table
	target  *target.Tables
	db      *mongo.Database // of the primary
	binder  *binding.Binder
}

// New checks cfg; it sends nothing.
func New(cfg Config) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.defaults()
	e := &Engine{Config: cfg,
		control: control.New(cfg.DynamoDB, cfg.ControlTable, cfg.Plan.Entity),
		owners:  ownership.NewTable(cfg.DynamoDB, cfg.ControlTable),
		target:  (&target.Tables{Plan: cfg.Plan, Client: cfg.DynamoDB}).Checked(worker.CheckLease),
		db:      source.Primary(cfg.Mongo, cmp.Or(cfg.Plan.Source.Database, cfg.Database)),
	}
	e.control.MaxMisfits = cfg.MaxMisfits
	e.binder = &binding.Binder{Plan: cfg.Plan, Source: e.db, Control: e.control, Target: e.target, Tables: cfg.DynamoDB}
	return e, nil
}

// migration is the parts of a migration of one collection, known by its UUID.
type migration struct {
	source   *source.Collection
	backfill *backfill.Backfill
	changes  *changes.Follower
	reverse  *reverse.Reverse
	barriers changes.Barriers
	verifier *verify.Verifier
	// verifying is how far this process has come that verifies while it follows, nil otherwise.
	verifying atomic.Pointer[verify.Progress]
	cutover   *cutover.Cutover
	fence     *fence.Fence
}

// collection is the source with a UUID, or with "" before one is known.
func (e *Engine) collection(uuid string) *source.Collection {
	return &source.Collection{DB: e.db, Names: names.Names(e.Plan.Source.Collection), UUID: uuid, Entity: e.Plan.Entity, Codec: e.Plan.Codec()}
}

// assemble puts the parts together, for what is written in the present epoch. Close the
// fence's session at the end.
func (e *Engine) assemble(ctx context.Context, uuid string) (*migration, error) {
	rec, err := e.record(ctx)
	if err != nil {
		return nil, err
	}
	to := e.target.InEpoch(rec.Epoch)
	m := &migration{source: e.collection(uuid)}
	m.fence = &fence.Fence{Owners: e.owners, Entity: e.Plan.Entity, Names: m.source.Names, DB: e.db, UUID: uuid, Budget: e.Plan.Budgets.Hold,
		DDL: fence.NewSession(e.Dial, e.db.Name(), e.Plan.Entity), Log: e.Log}
	m.fence.DDL.Without = e.WithoutMembers
	process := worker.Config{Control: e.control, Lease: e.Lease}
	m.barriers = changes.Barriers{Source: m.source, Control: e.control}
	m.backfill = &backfill.Backfill{From: m.source, To: to, Control: e.control, Limits: e.Limits,
		Sizes: backfill.Sizes{Range: e.RangeSize, Chunk: e.ChunkSize, Writers: e.Writers}}
	m.changes = &changes.Follower{Plan: e.Plan, Source: m.source, Control: e.control, Owners: e.owners, Worker: process,
		Appliers: e.Appliers, WhileHeld: m.backfill.Plan, Log: e.Log,
		To: func(epoch int64) changes.To { return e.target.InEpoch(epoch) }}
	m.reverse = &reverse.Reverse{Plan: e.Plan, Tables: e.target, Streams: e.Streams, Source: m.source, Control: e.control, Owners: e.owners,
		Worker: process, Log: e.Log}
	m.verifier = &verify.Verifier{Epoch: rec.Epoch, Plan: e.Plan, UUID: m.source.UUID, From: m.source, To: to, Control: e.control,
		Changes: m.changes, Back: m.reverse, Barriers: m.barriers, RangeSize: e.RangeSize, ChunkSize: e.ChunkSize}
	m.cutover = &cutover.Cutover{Plan: e.Plan, Source: m.source, Control: e.control, Owners: e.owners, Fence: m.fence,
		Gate: e.gate("", gate.Service{}), Binder: e.binder,
		Changes: m.changes, Reverse: m.reverse, Barriers: m.barriers, Verifier: m.verifier, Outboxes: map[ownership.Store]cutover.Outbox{}, Log: e.Log}
	if field := e.Plan.Outbox.Field; field != "" {
		m.cutover.Outboxes[ownership.MongoDB] = func(ctx context.Context) ([]string, error) {
			return m.source.Waiting(ctx, field)
		}
	}
	if table := e.Plan.Outbox.Table; table != "" {
		m.cutover.Outboxes[ownership.DynamoDB] = func(ctx context.Context) ([]string, error) { return to.Waiting(ctx, table) }
	}
	m.fence.Conditional, err = e.acceptsUUID(ctx)
	m.reverse.Conditional = m.fence.Conditional
	return m, err
}

// acceptsUUID reports whether MongoDB makes commands conditional on a collectionUUID.
func (e *Engine) acceptsUUID(ctx context.Context) (accepts bool, err error) {
	err = retry.Do(ctx, "ask MongoDB", func(ctx context.Context) error {
		accepts, err = mongoserver.AcceptsCollectionUUID(ctx, e.db, source.Barriers)
		return err
	})
	return accepts, err
}

// ErrNotEncapsulated is returned for verbs that need an encapsulated collection.
var ErrNotEncapsulated = errors.New("the collection is not encapsulated: run `banyan-migrate encapsulate` first")

// open assembles the migration that is bound to this plan, or fails with
// [binding.ErrDiffers] where it is bound to anything else.
func (e *Engine) open(ctx context.Context) (*migration, error) {
	bound, err := e.binder.Check(ctx)
	if err != nil {
		return nil, retry.Reachable("DynamoDB or MongoDB", "AWS_ENDPOINT_URL, AWS_REGION and MONGODB_URI", err)
	}
	if bound.UUID == "" {
		return nil, fmt.Errorf("%s: %w", e.Plan.Entity, ErrNotEncapsulated)
	}
	return e.assemble(ctx, bound.UUID)
}

// bound assembles the migration of the collection that is bound, for verbs that give it up
// or begin again, whatever became of the plan and the tables.
func (e *Engine) bound(ctx context.Context) (*migration, error) {
	stored, err := e.binder.CheckSource(ctx)
	if err != nil {
		return nil, err
	}
	return e.assemble(ctx, stored.UUID)
}

// Init creates the control table, unless it exists; "" stands for
// ownership.DefaultTable.
func Init(ctx context.Context, client ownership.DynamoDBAPI, table string) error {
	if err := ownership.NewTable(client, table).Ensure(ctx); err != nil {
		return retry.Reachable("DynamoDB", "AWS_ENDPOINT_URL and AWS_REGION", err)
	}
	return nil
}

// Init creates the control table, unless it exists. It fails with [binding.ErrDiffers] where
// the source is migrated with another one: then this is not the region or account for it.
func (e *Engine) Init(ctx context.Context) error {
	if err := e.binder.CheckClaim(ctx); err != nil {
		return err
	}
	return Init(ctx, e.DynamoDB, e.ControlTable)
}

// record loads who owns the entity.
func (e *Engine) record(ctx context.Context) (ownership.Record, error) {
	r, err := e.owners.Load(ctx, e.Plan.Entity)
	if errors.Is(err, ownership.ErrNoTable) {
		if other := e.binder.CheckClaim(ctx); errors.Is(other, binding.ErrDiffers) {
			return r, other
		}
	}
	if err != nil {
		return r, retry.Reachable("DynamoDB", "AWS_ENDPOINT_URL and AWS_REGION", err)
	}
	return r, nil
}

// Verify compares all documents with all items, in both directions, and the unique
// tables too; after the switch the items are taken for right. What differs is compared again
// across barriers, so that changes in flight do not count. The result is stored, and a
// cut-over or a rollback accepts it until it expires, until the owner changes, or until
// something happens to the collection as a whole.
func (e *Engine) Verify(ctx context.Context, opts verify.Options) (control.Verification, error) {
	m, rec, err := e.openWithRecord(ctx)
	if err != nil {
		return control.Verification{}, err
	}
	return m.verifier.Run(ctx, rec, opts)
}

// Cutover makes DynamoDB the owner. It may be killed at any instant and called
// again: what was begun before the switch is undone first, what was begun after
// it is finished. Before the switch, an error or the hold's budget undoes
// everything ([cutover.ErrUndone]); from the switch on there is only forward, whatever
// becomes of ctx (vitess#19680).
func (e *Engine) Cutover(ctx context.Context, opts cutover.Options) (control.Switch, error) {
	m, rec, err := e.openWithRecord(ctx)
	if err != nil {
		return control.Switch{}, err
	}
	defer m.fence.DDL.Close()
	return m.cutover.Run(ctx, rec, opts)
}

// Rollback makes MongoDB the owner again, in the same way. Nothing is copied after it:
// [Engine.Run] follows the changes from there on, and [Engine.Cutover] is possible again
// once both sides were verified.
func (e *Engine) Rollback(ctx context.Context, opts cutover.Options) (control.Switch, error) {
	m, rec, err := e.openWithRecord(ctx)
	if err != nil {
		return control.Switch{}, err
	}
	defer m.fence.DDL.Close()
	return m.cutover.RollBack(ctx, rec, opts)
}

func (e *Engine) openWithRecord(ctx context.Context) (*migration, ownership.Record, error) {
	rec, err := e.record(ctx)
	if err != nil {
		return nil, rec, err
	}
	m, err := e.open(ctx)
	return m, rec, err
}
