// Command recommendations-api is the API of recommendations as a Lambda function behind an HTTP
// API (see package lambdahttp), with the settings
//
//	RECOMMENDATIONS_TABLE  DynamoDB table of the read model, default banyan-recommendations
//	BANYAN_JWT_SECRET      token secret, or a reference to it (ssm:/name, secret:name, see
//	                       package config), whose changes are followed
//	LOG_LEVEL              debug, info (default), warn or error
//
// It wants 256 MB and a timeout of 10 s, and payload_format_version "2.0". IAM, besides the
// function's own log group and what package config asks for a reference:
//
//	dynamodb:GetItem, dynamodb:PutItem   the table
package main

import (
	"cmp"
	"context"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	readmodel "github.com/banyan-fig/banyan/consumers/social/recommendations"
	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/ops/function"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
	"github.com/banyan-fig/banyan/infra/token/keys"
	"github.com/banyan-fig/banyan/services/lambdahttp"
	"github.com/banyan-fig/banyan/services/social/recommendations"
)

// startTimeout is a little less than Lambda gives a function to start.
const startTimeout = 9 * time.Second

func main() {
	function.Main("recommendations-api", newAPI)
}

func newAPI(p function.Parts) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tokens, err := keys.OpenFunction(ctx, config.NewSettings(), p.Getenv(keys.Variable), p.Logger)
	if err != nil {
		return nil, err
	}
	table := cmp.Or(p.Getenv("RECOMMENDATIONS_TABLE"), readmodel.DefaultTable)
	model, err := readmodel.New(dynamodb.NewFromConfig(p.AWS), table)
	if err != nil {
		return nil, err
	}
	api, err := recommendations.NewHandler(recommendations.Config{Reader: model, Tokens: tokens, Logger: p.Logger})
	if err != nil {
		return nil, err
	}
	return lambdahttp.New(api, lambdahttp.Config{
		Service: cmp.Or(p.Getenv("AWS_LAMBDA_FUNCTION_NAME"), "recommendations-api"), Metrics: emf.New(os.Stdout, lambdahttp.Namespace), Logger: p.Logger,
	})
}
