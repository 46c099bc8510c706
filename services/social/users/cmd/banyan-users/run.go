package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"golang.org/x/crypto/bcrypt"

	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/services/eventstream"
	"github.com/banyan-fig/banyan/services/httpjson"
	"github.com/banyan-fig/banyan/services/social/users"
	"github.com/banyan-fig/banyan/services/social/users/dynamodb"
	"github.com/banyan-fig/banyan/services/social/users/mongodb"
)

// entity is what this service owns.
const entity = "users"

// leaveTimeout bounds the shutdown after the last request.
const leaveTimeout = 10 * time.Second

// command is the command line.
type command struct {
	Listen       string `help:"Address of the API." default:"127.0.0.1:8081" env:"USERS_LISTEN"`
	AdminListen  string `help:"Address of /healthz, /readyz and /metrics.json." default:"127.0.0.1:8082" env:"USERS_ADMIN_LISTEN"`
	MongodbURI   string `help:"Legacy database: URI or reference, ssm:/name, secret:name." env:"MONGODB_URI" required:"" placeholder:"$MONGODB_URI"`
	ControlTable string `help:"DynamoDB table with the ownership records." default:"banyan-control" env:"BANYAN_CONTROL_TABLE"`
	Table        string `help:"DynamoDB table of the users." default:"users" env:"USERS_TABLE"`
	UniqueTable  string `help:"DynamoDB table of the e-mails in use." default:"users-unique" env:"USERS_UNIQUE_TABLE"`
	EventsStream string `help:"Kinesis stream to publish to." default:"banyan-events" env:"EVENTS_STREAM"`
	OutboxTable  string `help:"DynamoDB table that keeps events until they are published; created if missing." default:"users-outbox" env:"USERS_OUTBOX_TABLE"`
	BcryptCost   int    `help:"Cost of new password hashes, 4 to 31." default:"10" env:"USERS_BCRYPT_COST"`

	SweepEvery time.Duration `help:"How often the outbox is searched for what was not published." default:"5s" env:"USERS_SWEEP_EVERY"`
	SweepAge   time.Duration `help:"How old that must be: more than a request may take." default:"10s" env:"USERS_SWEEP_AGE"`
}

// parts is what a running service is made of, in the order of its making.
type parts struct {
	settings  *config.Settings
	db        *mongoclient.Database
	publisher *kinesis.Publisher
	member    *ownership.Member
	outbox    *outbox
	service   *users.Service
	handler   *httpjson.Mux
}

// Validate is called by kong.
func (c *command) Validate() error {
	if c.BcryptCost < bcrypt.MinCost || c.BcryptCost > bcrypt.MaxCost {
		return fmt.Errorf("--bcrypt-cost must be %d to %d, not %d", bcrypt.MinCost, bcrypt.MaxCost, c.BcryptCost)
	}
	return c.validateSweep()
}

// serve serves until ctx ends, then shuts down in order: no more requests, out of the
// membership, the last events flushed.
func (c *command) serve(ctx context.Context, log *slog.Logger) (err error) {
	var p parts
	defer func() { err = errors.Join(err, p.close(context.WithoutCancel(ctx))) }()
	if err := c.assemble(ctx, log, &p); err != nil {
		return err
	}
	api, err := serving.Listen("--listen", c.Listen, p.handler)
	if err != nil {
		return err
	}
	admin, err := serving.Listen("--admin-listen", c.AdminListen, newAdmin(&p))
	if err != nil {
		api.Close()
		return err
	}
	s := p.member.Stats()
	log.InfoContext(ctx, "serving", "api", api.Addr().String(), "admin", admin.Addr().String(), "owner", s.Owner, "epoch", s.Epoch)
	return serving.Run(ctx, api, admin)
}

func (c *command) assemble(ctx context.Context, log *slog.Logger, p *parts) error {
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return err
	}
	tables := awsdynamodb.NewFromConfig(sdk)
	p.settings = config.NewSettings()
	if p.db, err = mongoclient.Connect(ctx, p.settings, c.MongodbURI, log); err != nil {
		return err
	}
	if p.publisher, err = eventstream.Open(ctx, sdk, c.EventsStream); err != nil {
		return err
	}
	control := ownership.NewTable(tables, c.ControlTable)
	if p.member, err = ownership.Join(ctx, ownership.MemberConfig{Table: control, Entity: entity, Service: "banyan-users"}); err != nil {
		return err
	}
	old := mongodb.New(p.db)
	if err := prepare(ctx, p.member, old); err != nil {
		return err
	}
	if p.outbox, err = openOutbox(ctx, tables, c, p.publisher, log); err != nil {
		return err
	}
	kept := dynamodb.Outbox{Table: c.OutboxTable, Forget: p.outbox.cleaner.Forget}
	p.service, err = users.New(users.Config{
		Ownership: p.member, Publisher: p.publisher, BcryptCost: c.BcryptCost,
		Stores: map[ownership.Store]users.Store{
			ownership.MongoDB:  old,
			ownership.DynamoDB: dynamodb.New(tables, c.Table, c.UniqueTable).WithOutbox(kept),
		},
	})
	if err != nil {
		return err
	}
	p.handler = users.NewHandler(p.service, users.HandlerConfig{Log: log})
	return nil
}

// prepare makes the indexes while MongoDB is the owner.
func prepare(ctx context.Context, m *ownership.Member, old *mongodb.Store) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return m.Write(ctx, func(ctx context.Context, g ownership.Grant) error {
		if g.Owner != ownership.MongoDB {
			return nil
		}
		return old.EnsureIndexes(ctx)
	})
}

// close ends what was made, the last first.
func (p *parts) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	var errs []error
	if p.member != nil {
		errs = append(errs, p.member.Leave(ctx))
	}
	if p.outbox != nil {
		p.outbox.close(ctx)
	}
	if p.publisher != nil {
		errs = append(errs, eventstream.Close(ctx, p.publisher))
	}
	if p.db != nil {
		errs = append(errs, p.db.Close(ctx))
	}
	p.settings.Close()
	return errors.Join(errs...)
}
