package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"

	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/backfill"
	"github.com/banyan-fig/banyan/migrate/fence"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/plan"
)

// settings are the flags of every verb.
type settings struct {
	events
	Plan     string `help:"The entity plan (YAML); for run and status also a directory of plans. init and schema need none." env:"BANYAN_PLAN" default:"plan.yaml" placeholder:"FILE"`
	MongoURI string `help:"The source, or a reference to its URI (ssm:/name, secret:name)." env:"MONGODB_URI" default:"mongodb://localhost:27017/legacy"`
	Control  string `help:"The control table." env:"BANYAN_CONTROL_TABLE" default:"banyan-control"`
	JSON     bool   `help:"Results and progress as JSON, one object a line." env:"BANYAN_JSON"`
	Throttle int    `help:"Documents a second that this process copies at most; 0 is unlimited." default:"0"`
	Workers  int    `help:"Ranges that this process copies at once, with 4 requests each." env:"BANYAN_WORKERS" default:"4"`
	Appliers int    `help:"Documents whose changes this process applies at once; those of one follow each other." env:"BANYAN_APPLIERS" default:"16"`
}

// Validate refuses numbers that mean nothing.
func (s *settings) Validate() error {
	if s.Workers < 1 || s.Appliers < 1 || s.Throttle < 0 || s.HookTimeout <= 0 {
		return errors.New("--workers, --appliers and --hook-timeout must be positive, and --throttle must not be negative")
	}
	return nil
}

// defaultDatabase is used where neither the plan nor the URI names one.
const defaultDatabase = "legacy"

// mongoURI is the URI, read from where the setting refers to.
func (s *settings) mongoURI(ctx context.Context) (string, error) {
	all := config.NewSettings()
	defer all.Close()
	setting, err := all.Secret(ctx, "MONGODB_URI", s.MongoURI)
	if err != nil {
		return "", err
	}
	uri, err := setting.Get(ctx)
	return uri.Reveal(), err
}

func dynamoDB(ctx context.Context) (*dynamodb.Client, *dynamodbstreams.Client, error) {
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return nil, nil, err
	}
	return dynamodb.NewFromConfig(sdk), dynamodbstreams.NewFromConfig(sdk), nil
}

// connections are a plan, and the clients to both sides.
type connections struct {
	plan     *plan.Plan
	mongo    *mongo.Client
	dial     fence.Dial // connects to the same MongoDB once more
	database string     // used where the plan names none
	dynamoDB *dynamodb.Client
	streams  *dynamodbstreams.Client
}

// isDirectory reports whether there are several plans.
func (s *settings) isDirectory() bool {
	info, err := os.Stat(s.Plan)
	return err == nil && info.IsDir()
}

// plans reads the plan, or those of a directory.
func (s *settings) plans(database string) ([]*plan.Plan, error) {
	if s.isDirectory() {
		return plan.ReadDirectory(s.Plan, database)
	}
	p, err := plan.Read(s.Plan)
	return []*plan.Plan{p}, err
}

// refuseDirectory fails where there are several plans.
func (s *settings) refuseDirectory() error {
	if s.isDirectory() {
		return fmt.Errorf("%w: --plan names the directory %s, which only run and status take: name one of its files", serving.ErrUsage, s.Plan)
	}
	return nil
}

// opener connects a verb to both stores.
type opener struct {
	*settings
	ctx    context.Context
	out    *output
	opened []connections
}

// close disconnects.
func (o *opener) close() {
	out, cancel := context.WithTimeout(context.WithoutCancel(o.ctx), 2*time.Second)
	defer cancel()
	for _, c := range o.opened {
		_ = c.mongo.Disconnect(out) // the process ends
	}
}

// one connects to both stores of one plan.
func (o *opener) one() (connections, error) {
	if err := o.refuseDirectory(); err != nil {
		return connections{}, err
	}
	if err := o.all(); err != nil {
		return connections{}, err
	}
	return o.opened[0], nil
}

// all connects to both stores of each plan.
func (o *opener) all() error {
	address, err := o.mongoURI(o.ctx)
	if err != nil {
		return err
	}
	uri, err := connstring.ParseAndValidate(address)
	if err != nil && address != o.MongoURI {
		return fmt.Errorf("%w: the value to which MONGODB_URI refers must look like mongodb://host:port/database", serving.ErrUsage) // it is a secret
	}
	if err != nil {
		return fmt.Errorf("%w: invalid MONGODB_URI: it must look like mongodb://host:port/database: %w", serving.ErrUsage, err)
	}
	database := cmp.Or(uri.Database, defaultDatabase)
	plans, err := o.plans(database)
	if err != nil {
		return err
	}
	db, streams, err := dynamoDB(o.ctx)
	if err != nil {
		return err
	}
	dial := func(application, host string, dialer options.ContextDialer) (*mongo.Client, error) {
		return dialMongo(address, application, host, dialer)
	}
	for _, p := range plans {
		client, err := dial("banyan-migrate "+p.Entity, "", nil)
		if err != nil {
			return fmt.Errorf("connect to MongoDB: %w", err)
		}
		o.opened = append(o.opened, connections{p, client, dial, database, db, streams})
	}
	// A wrong address is told at once: later, what cannot be reached is tried again for a minute.
	if err := o.opened[0].mongo.Ping(o.ctx, readpref.Primary()); retry.IsUnreachable(err) {
		return retry.Reachable("MongoDB", "MONGODB_URI", err)
	}
	return nil
}

// dialMongo connects to the deployment at a URI, or to one server of it: with the same
// credentials and encryption, which is all that counts for one server. The driver refuses
// the rest of a mongodb+srv URI for that.
func dialMongo(uri, application, host string, dialer options.ContextDialer) (*mongo.Client, error) {
	o := options.Client().ApplyURI(uri)
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if host != "" {
		one := options.Client().SetHosts([]string{host}).SetDirect(true)
		one.Auth, one.TLSConfig, one.ServerAPIOptions, one.Compressors = o.Auth, o.TLSConfig, o.ServerAPIOptions, o.Compressors
		o = one
	}
	if dialer != nil {
		o.SetDialer(dialer)
	}
	return mongo.Connect(o.SetAppName(application).SetServerSelectionTimeout(5 * time.Second).SetConnectTimeout(5 * time.Second))
}

// engine is the migration of one plan.
func (o *opener) engine() (*migrate.Engine, error) {
	if err := o.refuseDirectory(); err != nil {
		return nil, err
	}
	all, err := o.engines()
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// engines are the migrations of all plans, which share the limits of this process.
func (o *opener) engines() ([]*migrate.Engine, error) {
	if err := o.all(); err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(warnings{o.out}, &slog.HandlerOptions{Level: slog.LevelError}))
	limits := backfill.NewLimits(o.Workers, o.Throttle)
	var all []*migrate.Engine
	for _, c := range o.opened {
		engine, err := migrate.New(migrate.Config{
			Plan: c.plan, Mongo: c.mongo, Dial: c.dial, Database: c.database, DynamoDB: c.dynamoDB, Streams: c.streams, ControlTable: o.Control,
			Limits: limits, Appliers: o.Appliers, Progress: o.out.writeProgress, Log: log.With("entity", c.plan.Entity),
		})
		if err != nil {
			return nil, err
		}
		all = append(all, engine)
	}
	return all, nil
}
