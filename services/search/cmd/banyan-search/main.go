// Command banyan-search searches a read model: with an index of its own, or in OpenSearch.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/consumers/search"
	"github.com/banyan-fig/banyan/consumers/search/embedded"
	"github.com/banyan-fig/banyan/consumers/search/projection"
	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/infra/token/keys"
	service "github.com/banyan-fig/banyan/services/search"
	"github.com/banyan-fig/banyan/services/search/cmd/internal/wiring"
)

// command is the command line.
type command struct {
	wiring.Settings
	Serve   serve   `cmd:"" help:"Serve the API. With an index of its own, keep that equal to the table."`
	Rebuild rebuild `cmd:"" help:"Build the index in OpenSearch anew from the table, beside the one that is searched, and put it in use."`
}

type serve struct {
	Listen    string `help:"Address to serve on." default:"127.0.0.1:8087" env:"SEARCH_LISTEN"`
	Dir       string `help:"Directory of an index of its own, for this process alone; empty: search in OPENSEARCH_URL." env:"SEARCH_DIR" placeholder:"DIR"`
	Follow    bool   `help:"With OpenSearch: build the index at the start, and follow the table, as search-indexer does." env:"SEARCH_FOLLOW"`
	Public    bool   `help:"Ask nobody for a token." env:"SEARCH_PUBLIC"`
	JwtSecret string `help:"Token secret, at least 32 bytes; or ssm:/name, secret:name." env:"BANYAN_JWT_SECRET" placeholder:"$BANYAN_JWT_SECRET"`
}

type rebuild struct{}

func main() { newCommand().Main() }

func newCommand() serving.Command {
	var c command
	return serving.Command{
		Name: "banyan-search", Description: "Searches a read model by its text, ranked by a number.", Grammar: &c,
		Run: func(ctx context.Context, parsed *kong.Context, log *slog.Logger) error {
			settings := config.NewSettings()
			defer settings.Close()
			sdk, err := awssdk.Load(ctx)
			if err != nil {
				return err
			}
			if parsed.Command() == "rebuild" {
				return c.rebuild(ctx, settings, sdk, log)
			}
			return c.serve(ctx, settings, sdk, log)
		},
	}
}

func (c *command) projection(index search.Index, sdk aws.Config, log *slog.Logger) (*projection.Projection, error) {
	return projection.New(projection.Config{
		Tables: dynamodb.NewFromConfig(sdk), Streams: dynamodbstreams.NewFromConfig(sdk),
		Table: c.Table, Fields: c.Fields(), Index: index, Logger: log,
	})
}

func (c *command) rebuild(ctx context.Context, settings *config.Settings, sdk aws.Config, log *slog.Logger) error {
	index, err := c.OpenSearch(settings, os.Getenv, sdk)
	if err != nil {
		return fmt.Errorf("%w: %w", serving.ErrUsage, err)
	}
	p, err := c.projection(index, sdk, log)
	if err != nil {
		return err
	}
	n, err := p.Rebuild(ctx)
	if err == nil {
		fmt.Printf("%d documents of %s are in the index %s\n", n, c.Table, c.Index)
	}
	return err
}

func (c *command) serve(ctx context.Context, settings *config.Settings, sdk aws.Config, log *slog.Logger) (err error) {
	cfg := service.Config{Public: c.Serve.Public, Logger: log}
	if !c.Serve.Public {
		if err := keys.Validate(c.Serve.JwtSecret); err != nil {
			return fmt.Errorf("%w: give a token secret, or say --public: %w", serving.ErrUsage, err)
		}
		tokens, stop, err := keys.Open(ctx, settings, c.Serve.JwtSecret, 0, log)
		if err != nil {
			return err
		}
		defer stop()
		cfg.Tokens = tokens
	}
	index, closeIndex, err := c.openIndex(settings, sdk)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeIndex()) }()
	cfg.Index = index
	follow, err := c.projection(index, sdk, log)
	if err != nil {
		return err
	}
	if follows := c.Serve.Dir != "" || c.Serve.Follow; !follows {
		follow = nil
	} else if _, err := follow.StreamARN(ctx); err != nil {
		return err
	}
	handler, err := service.NewHandler(cfg)
	if err != nil {
		return err
	}
	server, err := serving.Listen("--listen", c.Serve.Listen, handler)
	if err != nil {
		return err
	}
	log.InfoContext(ctx, "serving searches", "address", server.Addr().String(), "table", c.Table)
	group, ctx := errgroup.WithContext(ctx)
	if follow != nil {
		group.Go(func() error { return follow.Run(ctx) })
	}
	group.Go(func() error { return serving.Run(ctx, server) })
	return group.Wait()
}

// openIndex opens the index of this process, or that in OpenSearch.
func (c *command) openIndex(settings *config.Settings, sdk aws.Config) (search.Index, func() error, error) {
	if c.Serve.Dir != "" {
		index, err := embedded.Open(c.Serve.Dir)
		if err != nil {
			return nil, nil, err
		}
		return index, index.Close, nil
	}
	if os.Getenv("OPENSEARCH_URL") == "" {
		return nil, nil, fmt.Errorf("%w: name a directory for an index with --dir, or an OpenSearch in OPENSEARCH_URL", serving.ErrUsage)
	}
	index, err := c.OpenSearch(settings, os.Getenv, sdk)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", serving.ErrUsage, err)
	}
	return index, func() error { return nil }, nil
}
