package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/services/social/monolith"
	"github.com/banyan-fig/banyan/services/social/users/client"
)

// shownBad is how many bad documents are named; the rest is counted.
const shownBad = 20

type importUsers struct {
	Users string `help:"The file." type:"path" required:""`
	JSON  bool   `name:"json" help:"Has no effect: the summary is JSON already." hidden:""`
}

// Run imports what it can; it fails if any document was bad.
func (c *importUsers) Run(ctx context.Context, e *env) error {
	file, err := os.Open(c.Users)
	if err != nil {
		return fmt.Errorf("import users: %w", err)
	}
	defer func() { _ = file.Close() }()
	shown := 0
	sum, err := monolith.Import(ctx, e.db, c.Users, file, func(bad *monolith.BadDocument) {
		if shown++; shown <= shownBad {
			fmt.Fprintln(os.Stderr, bad)
		}
	})
	if shown > shownBad {
		fmt.Fprintf(os.Stderr, "and %d more\n", shown-shownBad)
	}
	if printErr := e.print(sum); err == nil {
		err = printErr
	}
	if err == nil && sum.Bad > 0 {
		err = fmt.Errorf("%d of %d documents were not imported, the others are; correct them and import the file again", sum.Bad, sum.Documents)
	}
	return err
}

type generate struct {
	Users          int     `help:"How many users." default:"10000"`
	FollowsPerUser float64 `help:"How many others each follows, on average." default:"5"`
	PostsPerUser   float64 `help:"How many posts each has, on average." default:"2"`
	Seed           uint64  `help:"The same seed makes the same data." default:"1"`
	JSON           bool    `name:"json" help:"Has no effect: the summary is JSON already." hidden:""`
}

func (c *generate) config() monolith.GenerateConfig {
	return monolith.GenerateConfig{Users: c.Users, FollowsPerUser: c.FollowsPerUser, PostsPerUser: c.PostsPerUser, Seed: c.Seed}
}

// Validate is called by kong.
func (c *generate) Validate() error { return c.config().Validate() }

// Run generates.
func (c *generate) Run(ctx context.Context, e *env) error {
	began, cfg := time.Now(), c.config()
	cfg.Progress = func(done, of int) { e.screen.show("%d of %d users", done, of) }
	made, err := monolith.Generate(ctx, e.db, cfg)
	e.screen.done()
	if err != nil {
		return err
	}
	return e.print(struct {
		monolith.Generated
		Seconds float64 `json:"seconds"`
	}{made, time.Since(began).Seconds()})
}

type snapshotting struct {
	UsersURL     string `name:"users-url" help:"The users service. Default: the monolith's own collection, out of date after a switch." env:"USERS_URL"`
	EventsStream string `help:"Kinesis stream to publish to." default:"banyan-events" env:"EVENTS_STREAM"`
	JSON         bool   `name:"json" help:"Has no effect: the summary is JSON already." hidden:""`
}

// Run publishes and returns when all events are kept.
func (c *snapshotting) Run(ctx context.Context, e *env) (err error) {
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return err
	}
	publisher, err := kinesis.New(ctx, kinesis.Config{Client: awskinesis.NewFromConfig(sdk), Stream: c.EventsStream})
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, publisher.Close(ctx))
	}()
	var people monolith.Lister = monolith.CollectionLister{Database: e.db}
	if c.UsersURL != "" {
		users, err := client.New(client.Config{BaseURL: c.UsersURL})
		if err != nil {
			return err
		}
		defer users.Close()
		people = users
	}
	published, err := monolith.Snapshot(ctx, monolith.SnapshotConfig{
		Database: e.db, Users: people,
		Enqueue: func(ctx context.Context, ev events.Event) (func(context.Context) error, error) {
			kept, err := publisher.Enqueue(ctx, ev)
			if err != nil {
				return nil, err
			}
			return func(ctx context.Context) error { _, err := kept.Wait(ctx); return err }, nil
		},
		Progress: func(users, events int64) { e.screen.show("%d users, %d events", users, events) },
	})
	e.screen.done()
	if err != nil {
		return err
	}
	return e.print(published)
}
