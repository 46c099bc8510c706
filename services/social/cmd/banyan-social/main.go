// Command banyan-social runs a service of the example whose entity is an entity store's: its API
// on one address, health and metrics on another.
//
//	MONGODB_URI=mongodb://127.0.0.1:27017/legacy banyan-social --service posts --listen 127.0.0.1:8086
//
// It exits with 0 after SIGINT or SIGTERM, 1 when it cannot start or go on, and 2
// for a wrong command line.
//
// As a Lambda function behind an HTTP API (see package lambdahttp) it is the API, with the same
// settings from the environment. A function sleeps between requests: each that wakes one reads
// the ownership record first, and a change of owner waits for the leases of those that sleep. So
// let functions serve while nothing is migrated, and at least one server beside them, which
// publishes what a function that was ended has left.
package main

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"os"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-lambda-go/lambda"

	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
	"github.com/banyan-fig/banyan/services/entity/backbone"
	"github.com/banyan-fig/banyan/services/lambdahttp"
	"github.com/banyan-fig/banyan/services/social/plans"
	"github.com/banyan-fig/banyan/services/social/posts"
	"github.com/banyan-fig/banyan/services/social/relationships"
)

// command is the command line.
type command struct {
	Service string `help:"What to serve: relationships or posts." enum:"relationships,posts" required:"" env:"SOCIAL_SERVICE"`
	backbone.Flags
}

func main() { newCommand().Main() }

func newCommand() serving.Command {
	var c command
	return serving.Command{
		Name: "banyan-social", Description: "A service of the example: an HTTP API over whichever store owns its entity.", Grammar: &c,
		Vars: kong.Vars{"listen": "127.0.0.1:8085", "admin": "127.0.0.1:8086"},
		Run:  func(ctx context.Context, _ *kong.Context, log *slog.Logger) error { return c.serve(ctx, log) },
	}
}

func (c *command) serve(ctx context.Context, log *slog.Logger) error {
	text := plans.Relationships
	api := func(b *backbone.Backbone) (http.Handler, error) {
		return relationships.NewHandler(relationships.New(relationships.Config{Store: b.Store, Publisher: b.Publisher}), log), nil
	}
	if c.Service == "posts" {
		text = plans.Posts
		api = func(b *backbone.Backbone) (http.Handler, error) {
			return posts.NewHandler(posts.New(b.Store, nil), log), nil
		}
	}
	name := "banyan-" + c.Service
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") == "" {
		return c.Serve(ctx, log, name, text, api)
	}
	b, err := c.Open(ctx, log, name, text)
	if err != nil {
		return err
	}
	handler, err := api(b)
	if err != nil {
		return err
	}
	function, err := lambdahttp.New(handler, lambdahttp.Config{
		Service: cmp.Or(os.Getenv("AWS_LAMBDA_FUNCTION_NAME"), name), Metrics: emf.New(os.Stdout, lambdahttp.Namespace), Logger: log,
	})
	if err != nil {
		return err
	}
	lambda.Start(function) // until Lambda ends the process
	return nil
}
