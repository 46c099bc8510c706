// Command janitor is the Lambda function that deletes versions of functions and
// layers that nothing refers to. Package janitor has its environment, permissions
// and wiring.
package main

import (
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/banyan-fig/banyan/infra/ops/function"
	"github.com/banyan-fig/banyan/infra/ops/janitor"
	"github.com/banyan-fig/banyan/infra/ops/sweep"
)

func main() {
	function.Main("janitor", func(p function.Parts) (any, error) {
		cfg, err := janitor.ParseConfig(p.Getenv)
		if err != nil {
			return nil, err
		}
		cfg.Traffic = cloudwatch.NewFromConfig(p.AWS, func(o *cloudwatch.Options) { o.Retryer = sweep.Retryer() })
		j, err := janitor.New(lambda.NewFromConfig(p.AWS, janitor.Options), cfg)
		if err != nil {
			return nil, err
		}
		return janitor.Handler(j, p.Logger, p.Metrics), nil
	})
}
