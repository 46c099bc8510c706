// Package wiring makes the timeline service of its settings, which are the same for
// the server and the function.
package wiring

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	readmodel "github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/infra/token/keys"
	"github.com/banyan-fig/banyan/services/social/timeline"
)

// The environment variables.
const (
	tableVariable    = "TIMELINE_TABLE"
	rebuildsVariable = "REBUILD_TABLE"
	secretVariable   = keys.Variable
)

// Model is the name of the read model in the control table of rebuilds.
const Model = "timeline"

// Settings are flags of a command line, with variables that give them too.
type Settings struct {
	Table     string `help:"DynamoDB table of the read model." default:"banyan-timeline" env:"TIMELINE_TABLE"`
	Rebuilds  string `help:"Control table of rebuilds, whose pointer says which table is live; --table where there is none. Empty: always --table." env:"REBUILD_TABLE"`
	JwtSecret string `help:"Token secret, at least 32 bytes; or ssm:/name, secret:name." env:"BANYAN_JWT_SECRET" required:"" placeholder:"$BANYAN_JWT_SECRET"`
}

// FromEnvironment reads what has no command line.
func FromEnvironment(getenv func(string) string) (Settings, error) {
	s := Settings{Table: cmp.Or(getenv(tableVariable), readmodel.DefaultTable), JwtSecret: getenv(secretVariable), Rebuilds: getenv(rebuildsVariable)}
	if s.JwtSecret == "" {
		return s, fmt.Errorf("%s is not set: set it to the token secret or to a reference such as ssm:/banyan/prod/jwt-secret", secretVariable)
	}
	return s, s.Validate()
}

// Validate refuses a secret that cannot be one. Kong calls it too.
func (s *Settings) Validate() error { return keys.Validate(s.JwtSecret) }

// Handler makes the API. It makes sure that the table is there, so that a wrong
// name or endpoint shows at once.
func (s *Settings) Handler(ctx context.Context, sdk aws.Config, tokens timeline.Tokens, log *slog.Logger) (http.Handler, error) {
	client := dynamodb.NewFromConfig(sdk)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if s.Rebuilds != "" {
		return s.followLive(ctx, client, tokens, log)
	}
	if err := checkTable(ctx, client, s.Table); err != nil {
		return nil, err
	}
	return timeline.NewHandler(timeline.Config{Reader: readmodel.NewReader(client, s.Table), Tokens: tokens, Logger: log})
}

func checkTable(ctx context.Context, client *dynamodb.Client, table string) error {
	_, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	var missing *types.ResourceNotFoundException
	if errors.As(err, &missing) {
		return fmt.Errorf("there is no table %q: create it, or name another with %s", table, tableVariable)
	}
	if err != nil {
		return fmt.Errorf("DynamoDB does not respond for table %q (check AWS_ENDPOINT_URL, AWS_REGION and the credentials): %w", table, err)
	}
	return nil
}
