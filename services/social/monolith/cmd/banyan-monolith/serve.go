package main

import (
	"context"
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/infra/token/keys"
	"github.com/banyan-fig/banyan/services/jsonclient"
	"github.com/banyan-fig/banyan/services/social/monolith"
	posts "github.com/banyan-fig/banyan/services/social/posts/client"
	relationships "github.com/banyan-fig/banyan/services/social/relationships/client"
	users "github.com/banyan-fig/banyan/services/social/users/client"
)

type serve struct {
	Listen           string `help:"Address of the API." default:"127.0.0.1:8080" env:"MONOLITH_LISTEN"`
	AdminListen      string `help:"Address of /healthz, /readyz and /metrics.json." default:"127.0.0.1:8084" env:"MONOLITH_ADMIN_LISTEN"`
	UsersURL         string `name:"users-url" help:"The users service, or its instances with commas in between." env:"USERS_URL" required:"" placeholder:"$USERS_URL"`
	RelationshipsURL string `name:"relationships-url" help:"The relationships service." env:"RELATIONSHIPS_URL" required:"" placeholder:"$RELATIONSHIPS_URL"`
	PostsURL         string `name:"posts-url" help:"The posts service." env:"POSTS_URL" required:"" placeholder:"$POSTS_URL"`
	JwtSecret        string `help:"Token secret, at least 32 bytes; or ssm:/name, secret:name." env:"BANYAN_JWT_SECRET" required:"" placeholder:"$BANYAN_JWT_SECRET"`

	TokenLifetime time.Duration `name:"token-life" help:"How long a token is valid." default:"24h"`
}

// Validate is called by kong.
func (c *serve) Validate() error {
	if err := keys.Validate(c.JwtSecret); err != nil {
		return err
	}
	for flag, address := range map[string]string{"--users-url": c.UsersURL, "--relationships-url": c.RelationshipsURL, "--posts-url": c.PostsURL} {
		if err := (jsonclient.Config{BaseURL: address}).Validate(); err != nil {
			return fmt.Errorf("%s: %w", flag, err)
		}
	}
	return nil
}

// Run serves until ctx ends, then lets requests end.
func (c *serve) Run(ctx context.Context, e *env) error {
	tokens, stop, err := keys.Open(ctx, e.settings, c.JwtSecret, c.TokenLifetime, e.log)
	if err != nil {
		return err
	}
	defer stop()
	people, err := users.New(jsonclient.Config{BaseURL: c.UsersURL})
	if err != nil {
		return err
	}
	defer people.Close()
	follows, err := relationships.New(jsonclient.Config{BaseURL: c.RelationshipsURL})
	if err != nil {
		return err
	}
	defer follows.Close()
	written, err := posts.New(jsonclient.Config{BaseURL: c.PostsURL})
	if err != nil {
		return err
	}
	defer written.Close()
	app, err := monolith.New(monolith.Config{Users: people, Relationships: follows, Posts: written, Tokens: tokens})
	if err != nil {
		return err
	}
	api, err := serving.Listen("--listen", c.Listen, monolith.NewHandler(app, e.log))
	if err != nil {
		return err
	}
	admin, err := serving.Listen("--admin-listen", c.AdminListen, serving.Admin(func() error { return nil }, func() any {
		var m metrics
		for _, s := range []jsonclient.Stats{people.Stats(), follows.Stats(), written.Stats()} {
			m.ServicesRetried += s.Retried
			m.ServicesUnknown += s.Unknown
		}
		return m
	}))
	if err != nil {
		api.Close()
		return err
	}
	e.log.InfoContext(ctx, "serving", "api", api.Addr().String(), "admin", admin.Addr().String(), "users", c.UsersURL)
	return serving.Run(ctx, api, admin)
}

// metrics is the answer of /metrics.json; counts are since the start.
type metrics struct {
	ServicesRetried int64 `json:"services_retried"` // requests to services
	ServicesUnknown int64 `json:"services_unknown"` // writes without an answer among them
}
