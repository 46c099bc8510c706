// Command timeline-api is the timeline service as a Lambda function behind an HTTP
// API (see package lambdahttp), with the settings of banyan-timeline:
//
//	TIMELINE_TABLE      DynamoDB table of the read model, default banyan-timeline
//	REBUILD_TABLE       control table of rebuilds, whose pointer says which table is live
//	                    (see package livetable); none by default
//	BANYAN_JWT_SECRET   token secret, or a reference to it (ssm:/name,
//	                    secret:name, see package config), whose changes are followed
//	LOG_LEVEL           debug, info (default), warn or error
//
// It wants 256 MB, a timeout of 10 s, well below the 30 s of the API's integration,
// and payload_format_version "2.0". Metrics are those of package lambdahttp, with
// the function's name as the Service.
//
// IAM, besides the function's own log group and what package config asks for a
// reference:
//
//	dynamodb:DescribeTable, dynamodb:GetItem, dynamodb:BatchGetItem, dynamodb:Query   the table
//	dynamodb:GetItem                                                                  REBUILD_TABLE
package main

import (
	"cmp"
	"context"
	"os"
	"time"

	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/ops/function"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
	"github.com/banyan-fig/banyan/infra/token/keys"
	"github.com/banyan-fig/banyan/services/lambdahttp"
	"github.com/banyan-fig/banyan/services/social/timeline/cmd/internal/wiring"
)

// startTimeout is a little less than Lambda gives a function to start.
const startTimeout = 9 * time.Second

func main() {
	function.Main("timeline-api", func(p function.Parts) (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		settings, err := wiring.FromEnvironment(p.Getenv)
		if err != nil {
			return nil, err
		}
		tokens, err := keys.OpenFunction(ctx, config.NewSettings(), settings.JwtSecret, p.Logger)
		if err != nil {
			return nil, err
		}
		api, err := settings.Handler(ctx, p.AWS, tokens, p.Logger)
		if err != nil {
			return nil, err
		}
		return lambdahttp.New(api, lambdahttp.Config{
			Service: cmp.Or(p.Getenv("AWS_LAMBDA_FUNCTION_NAME"), "timeline-api"), Metrics: emf.New(os.Stdout, lambdahttp.Namespace), Logger: p.Logger,
		})
	})
}
