package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"

	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/plan"
)

// settings are the flags of every verb.
type settings struct {
	Plan     string `help:"The entity plan (YAML). init and schema need none." env:"BANYAN_PLAN" default:"plan.yaml" placeholder:"FILE"`
	MongoURI string `help:"The source, or a reference to its URI (ssm:/name, secret:name)." env:"MONGODB_URI" default:"mongodb://localhost:27017/legacy"`
	Control  string `help:"The control table." env:"BANYAN_CONTROL_TABLE" default:"banyan-control"`
	JSON     bool   `help:"Results and progress as JSON, one object a line." env:"BANYAN_JSON"`
	Throttle int    `help:"Documents a second that this process copies at most; 0 is unlimited." default:"0"`
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

func dynamoDB(ctx context.Context) (*dynamodb.Client, error) {
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return nil, err
	}
	return dynamodb.NewFromConfig(sdk), nil
}

// withEngine connects to both stores, runs fn, and disconnects.
func (s *settings) withEngine(ctx context.Context, out *output, fn func(*migrate.Engine) error) error {
	entity, err := plan.Read(s.Plan)
	if err != nil {
		return err
	}
	address, err := s.mongoURI(ctx)
	if err != nil {
		return err
	}
	uri, err := connstring.ParseAndValidate(address)
	if err != nil && address != s.MongoURI {
		return errors.New("the value to which MONGODB_URI refers is invalid; it must look like mongodb://host:port/database") // it is a secret
	}
	if err != nil {
		return fmt.Errorf("invalid MONGODB_URI: it must look like mongodb://host:port/database: %w", err)
	}
	client, err := mongo.Connect(options.Client().ApplyURI(address).SetServerSelectionTimeout(5 * time.Second).SetConnectTimeout(5 * time.Second))
	if err != nil {
		return fmt.Errorf("connect to MongoDB: %w", err)
	}
	defer func() {
		out, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = client.Disconnect(out) // the process ends
	}()
	db, err := dynamoDB(ctx)
	if err != nil {
		return err
	}
	engine, err := migrate.New(migrate.Config{
		Plan: entity, Mongo: client, Database: cmp.Or(uri.Database, defaultDatabase), DynamoDB: db, ControlTable: s.Control,
		Throttle: s.Throttle, Progress: out.writeProgress,
		Log: slog.New(slog.NewTextHandler(out.stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return err
	}
	return fn(engine)
}
