// Command banyan-entity serves an entity over HTTP from its plan alone, for services that are
// not written in Go (see package gateway):
//
//	serve   answers requests; health, readiness and metrics are on another address
//	openapi writes what it serves as OpenAPI
//
//	MONGODB_URI=mongodb://127.0.0.1:27017/legacy banyan-entity serve --plan orders.yaml
//
// Beyond loopback it serves only clients that it knows: by a bearer token, or by their
// certificate. Tokens travel in the clear unless --tls-cert is given, or something before it
// ends TLS.
//
// It exits with 0 after SIGINT or SIGTERM, 1 when it cannot start or go on, and 2 for a wrong
// command line.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/services/entity/gateway"
)

func main() { newCommand().Main() }

type grammar struct {
	Serve   serveCommand   `cmd:"" help:"Serve an entity over HTTP."`
	OpenAPI openAPICommand `cmd:"" name:"openapi" help:"Write what is served for a plan as OpenAPI."`
}

func newCommand() serving.Command {
	var g grammar
	return serving.Command{
		Name: "banyan-entity", Description: "Serve an entity over HTTP, whichever database owns it.", Grammar: &g,
		Vars: kong.Vars{"listen": "127.0.0.1:8084", "admin": "127.0.0.1:8085"},
		Run: func(ctx context.Context, parsed *kong.Context, log *slog.Logger) error {
			parsed.BindTo(ctx, (*context.Context)(nil))
			return parsed.Run(log)
		},
	}
}

type openAPICommand struct {
	Plan string `help:"Entity plan." required:"" env:"BANYAN_PLAN" placeholder:"FILE"`
}

// Run is called by kong.
func (c *openAPICommand) Run(k *kong.Context) error {
	p, err := plan.Read(c.Plan)
	if err != nil {
		return fmt.Errorf("%w: %w", serving.ErrUsage, err)
	}
	return writeOpenAPI(k.Stdout, p)
}

func writeOpenAPI(w io.Writer, p *plan.Plan) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(gateway.OpenAPI(p))
}
