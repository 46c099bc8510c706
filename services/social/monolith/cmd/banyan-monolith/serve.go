package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/infra/token/keys"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/services/eventstream"
	"github.com/banyan-fig/banyan/services/social/monolith"
	"github.com/banyan-fig/banyan/services/social/users/client"
)

type serve struct {
	Listen       string `help:"Address of the API." default:"127.0.0.1:8080" env:"MONOLITH_LISTEN"`
	AdminListen  string `help:"Address of /healthz and /readyz." default:"127.0.0.1:8084" env:"MONOLITH_ADMIN_LISTEN"`
	UsersURL     string `name:"users-url" help:"The users service." env:"USERS_URL" required:"" placeholder:"$USERS_URL"`
	EventsStream string `help:"Kinesis stream to publish to." default:"banyan-events" env:"EVENTS_STREAM"`
	JwtSecret    string `help:"Token secret, at least 32 bytes; or ssm:/name, secret:name." env:"BANYAN_JWT_SECRET" required:"" placeholder:"$BANYAN_JWT_SECRET"`

	TokenLifetime time.Duration `name:"token-life" help:"How long a token is valid." default:"24h"`
}

// Validate is called by kong.
func (c *serve) Validate() error {
	if err := keys.Validate(c.JwtSecret); err != nil {
		return err
	}
	if err := (client.Config{BaseURL: c.UsersURL}).Validate(); err != nil {
		return fmt.Errorf("--users-url: %w", err)
	}
	return nil
}

// Run serves until ctx ends, then lets requests end and flushes the last events.
func (c *serve) Run(ctx context.Context, e *env) (err error) {
	tokens, stop, err := keys.Open(ctx, e.settings, c.JwtSecret, c.TokenLifetime, e.log)
	if err != nil {
		return err
	}
	defer stop()
	people, err := client.New(client.Config{BaseURL: c.UsersURL})
	if err != nil {
		return err
	}
	defer people.Close()
	publisher, err := openPublisher(ctx, c.EventsStream)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, eventstream.Close(ctx, publisher)) }()
	if err := monolith.EnsureIndexes(ctx, e.db); err != nil {
		return err
	}
	app, err := monolith.New(monolith.Config{Database: e.db, Users: people, Publisher: publisher, Tokens: tokens})
	if err != nil {
		return err
	}
	api, err := serving.Listen("--listen", c.Listen, monolith.NewHandler(app, e.log))
	if err != nil {
		return err
	}
	admin, err := serving.Listen("--admin-listen", c.AdminListen, adminHandler())
	if err != nil {
		api.Close()
		return err
	}
	e.log.InfoContext(ctx, "serving", "api", api.Addr().String(), "admin", admin.Addr().String(), "users", c.UsersURL)
	return serving.Run(ctx, api, admin)
}

func adminHandler() http.Handler {
	mux := http.NewServeMux()
	for _, path := range []string{"GET /healthz", "GET /readyz"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	}
	return mux
}

func openPublisher(ctx context.Context, name string) (*kinesis.Publisher, error) {
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return nil, err
	}
	return eventstream.Open(ctx, sdk, name)
}
