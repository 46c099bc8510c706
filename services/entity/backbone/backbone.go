// Package backbone is the wiring of a process that has an entity store: the databases, the
// membership, the outbox and the stream, from flags and an entity plan. What a service adds is
// its API:
//
//	var c struct{ backbone.Flags }
//	serving.Command{
//		Name: "orders", Description: "Serves orders.", Grammar: &c,
//		Run: func(ctx context.Context, _ *kong.Context, log *slog.Logger) error {
//			return c.Serve(ctx, log, plan, func(b *backbone.Backbone) (http.Handler, error) { return newHandler(b.Store), nil })
//		},
//	}.Main()
//
// Caveats:
//
//   - The control table and the stream must exist, and whatever the plan's tables need is made by
//     the migration; only the table of the outbox is made here.
//   - Where the plan names no outbox.table nothing is published, and a write with events is refused.
//   - Indexes are made while MongoDB owns the entity, with the plan's names and keys.
package backbone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/owned"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/publishers/direct"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/entity/dynamodb"
	"github.com/banyan-fig/banyan/services/entity/mongodb"
)

// timeout bounds each of the steps at the start, and the end.
const timeout = 10 * time.Second

// Publisher is the stream's. *kinesis.Publisher is one.
type Publisher interface {
	entity.Publisher
	direct.Publisher
}

// Parts are what a backbone is made of.
type Parts struct {
	Plan     *plan.Plan
	MongoDB  owned.Database
	DynamoDB *awsdynamodb.Client
	// Publisher gets the events; unused where the plan names no outbox.
	Publisher Publisher
	// Service names the process for people. Default: the entity.
	Service string
	Log     *slog.Logger
	Settings
}

// Backbone is an entity store and what keeps it. Close it.
type Backbone struct {
	Store  *entity.Store
	Member *ownership.Member
	Outbox *direct.Outbox // nil where the plan names none
	// Publisher is the stream's; nil where the plan names no outbox.
	Publisher Publisher
	closes    []func(context.Context) error
	database  string // of MongoDB, for people
}

// New wires a backbone, and joins the owners of the entity.
func New(ctx context.Context, p Parts) (b *Backbone, err error) {
	b = &Backbone{}
	return b, b.orClose(ctx, b.wire(ctx, p))
}

// orClose closes what there is where it cannot be completed.
func (b *Backbone) orClose(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	return errors.Join(err, b.Close(ctx))
}

func (b *Backbone) wire(ctx context.Context, p Parts) (err error) {
	b.Member, err = ownership.Join(ctx, ownership.MemberConfig{
		Table: ownership.NewTable(p.DynamoDB, p.ControlTable), Entity: p.Plan.Entity, Service: p.Service,
		Probe: owned.New(p.MongoDB, p.Plan.Source.Collection).Probe,
	})
	if err != nil {
		return err
	}
	b.closes = append(b.closes, b.Member.Leave)
	documents, items := mongodb.New(p.MongoDB, p.Plan, b.Member), dynamodb.New(p.DynamoDB, p.Plan)
	cfg := entity.Config{Plan: p.Plan, Member: b.Member, MongoDB: documents, DynamoDB: items, Shadow: p.ShadowReads, Log: p.Log}
	if p.Plan.Outbox.Table != "" {
		if err := items.EnsureOutbox(ctx); err != nil {
			return err
		}
		b.Outbox, err = direct.New(direct.Config{
			Publisher: p.Publisher, Boxes: []direct.Box{documents.Box(), items.Box()}, SweepEvery: p.SweepEvery, Patience: p.SweepAge, Log: p.Log,
		})
		if err != nil {
			return err
		}
		b.closes = append(b.closes, b.Outbox.Close) // before the member leaves, whose grants it needs
		b.Publisher, cfg.Outbox, cfg.Publisher = p.Publisher, b.Outbox, p.Publisher
	}
	if b.Store, err = entity.New(cfg); err != nil {
		return err
	}
	b.closes = append(b.closes, func(context.Context) error { b.Store.Close(); return nil })
	return b.index(ctx, documents, p)
}

// index makes or checks the indexes while MongoDB owns the entity.
func (b *Backbone) index(ctx context.Context, documents *mongodb.Backend, p Parts) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return b.Member.Write(ctx, func(ctx context.Context, g ownership.Grant) error {
		if g.Owner != ownership.MongoDB {
			return nil
		}
		return documents.Prepare(ctx, g, !p.CheckIndexes)
	})
}

// Open connects to everything that the flags name, and wires a backbone for the entity of a
// plan, which a file or a reference in the flags replaces. serving.ErrUsage for a wrong plan or URI.
func (f *Flags) Open(ctx context.Context, log *slog.Logger, service string, builtIn []byte) (b *Backbone, err error) {
	b = &Backbone{}
	err = b.open(ctx, f, Parts{Service: service, Log: log, Settings: f.Settings}, builtIn)
	if errors.Is(err, plan.ErrInvalid) || errors.Is(err, mongoclient.ErrURI) {
		err = fmt.Errorf("%w: %w", serving.ErrUsage, err)
	}
	return b, b.orClose(ctx, err)
}

func (b *Backbone) open(ctx context.Context, f *Flags, p Parts, builtIn []byte) error {
	settings := config.NewSettings()
	b.closes = append(b.closes, func(context.Context) error { settings.Close(); return nil })
	var err error
	if p.Plan, err = readPlan(ctx, settings, f.Plan, builtIn); err != nil {
		return err
	}
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return err
	}
	p.DynamoDB = awsdynamodb.NewFromConfig(sdk)
	db, err := mongoclient.Connect(ctx, settings, f.MongodbURI, p.Log)
	if err != nil {
		return err
	}
	b.closes = append(b.closes, db.Close)
	if in := p.Plan.Source.Database; in != "" && in != db.Name() {
		return fmt.Errorf("%s is in the database %s by its plan, and MONGODB_URI names %s: let the URI name it", p.Plan.Entity, in, db.Name())
	}
	p.MongoDB, b.database = db, db.Name()
	if p.Plan.Outbox.Table != "" {
		finding, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		publisher, err := kinesis.New(finding, kinesis.Config{Client: awskinesis.NewFromConfig(sdk), Stream: f.EventsStream})
		if err != nil {
			return err
		}
		b.closes = append(b.closes, publisher.Close)
		p.Publisher = publisher
	}
	return b.wire(ctx, p)
}

func readPlan(ctx context.Context, settings *config.Settings, name string, builtIn []byte) (*plan.Plan, error) {
	switch {
	case config.IsReference(name):
		setting, err := settings.Secret(ctx, "--plan", name)
		if err != nil {
			return nil, err
		}
		secret, err := setting.Get(ctx)
		if err != nil {
			return nil, err
		}
		return plan.Parse(name, []byte(secret.Reveal()))
	case name == "" && len(builtIn) > 0:
		return plan.Parse("the built-in plan", builtIn)
	}
	return plan.Read(name)
}

// Close leaves the owners of the entity once its operations have ended, publishes what is on its
// way, and ends all else, within ten seconds, also where ctx has ended.
func (b *Backbone) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	var errs []error
	for _, end := range slices.Backward(b.closes) {
		errs = append(errs, end(ctx))
	}
	b.closes = nil
	return errors.Join(errs...)
}
