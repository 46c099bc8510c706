// Command banyan-timeline serves the timeline API over its read model, until
// SIGINT or SIGTERM; requests on their way are finished first.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	readmodel "github.com/banyan-fig/banyan/consumers/readmodel/timeline"
	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/services/timeline"
	"github.com/banyan-fig/banyan/services/token"
)

// command is the command line.
type command struct {
	Listen    string `help:"Address to serve on." default:"127.0.0.1:8083" env:"TIMELINE_LISTEN"`
	Table     string `help:"DynamoDB table of the read model." default:"banyan-timeline" env:"TIMELINE_TABLE"`
	JwtSecret string `help:"Secret of the tokens, at least 32 bytes, better given by the environment; or a reference to it (ssm:/name, secret:name), whose changes are followed." env:"BANYAN_JWT_SECRET" required:"" placeholder:"$BANYAN_JWT_SECRET"`
}

// Validate is called by kong.
func (c *command) Validate() error {
	return token.ValidateSetting(c.JwtSecret)
}

func main() { newCommand().Main() }

func newCommand() serving.Command {
	var c command
	return serving.Command{
		Name: "banyan-timeline", Description: "Serves timelines from their read model.", Grammar: &c,
		Run: func(ctx context.Context, _ *kong.Context, log *slog.Logger) error { return c.serve(ctx, log) },
	}
}

func (c *command) serve(ctx context.Context, log *slog.Logger) error {
	settings := config.NewSettings()
	defer settings.Close()
	tokens, stop, err := token.Open(ctx, settings, c.JwtSecret, 0, log)
	if err != nil {
		return err
	}
	defer stop()
	client, err := connect(ctx, c.Table)
	if err != nil {
		return err
	}
	handler, err := timeline.NewHandler(timeline.Config{Reader: readmodel.NewReader(client, c.Table), Tokens: tokens, Logger: log})
	if err != nil {
		return err
	}
	server, err := serving.Listen("--listen", c.Listen, handler)
	if err != nil {
		return err
	}
	log.InfoContext(ctx, "serving timelines", "address", server.Addr().String(), "table", c.Table)
	return serving.Run(ctx, server)
}

// connect makes sure that the table is there, so that a wrong name or endpoint
// shows at once.
func connect(ctx context.Context, table string) (*dynamodb.Client, error) {
	cfg, err := awssdk.Load(ctx)
	if err != nil {
		return nil, err
	}
	client := dynamodb.NewFromConfig(cfg)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err = client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	var missing *types.ResourceNotFoundException
	if errors.As(err, &missing) {
		return nil, fmt.Errorf("there is no table %q: create it, or name another with --table or TIMELINE_TABLE", table)
	}
	if err != nil {
		return nil, fmt.Errorf("DynamoDB does not answer for table %q (check AWS_ENDPOINT_URL, AWS_REGION and the credentials): %w", table, err)
	}
	return client, nil
}
