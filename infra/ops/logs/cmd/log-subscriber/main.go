// Command log-subscriber is the Lambda function that subscribes log groups to the
// stream of logs and sets their retention. Package logs has its environment,
// permissions and wiring.
package main

import (
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/banyan-fig/banyan/infra/ops/function"
	"github.com/banyan-fig/banyan/infra/ops/logs/subscribe"
)

func main() {
	function.Main("log-subscriber", func(p function.Parts) (any, error) {
		cfg, err := subscribe.ParseConfig(p.Getenv)
		if err != nil {
			return nil, err
		}
		s, err := subscribe.New(cloudwatchlogs.NewFromConfig(p.AWS, subscribe.Options), lambda.NewFromConfig(p.AWS), cfg)
		if err != nil {
			return nil, err
		}
		return subscribe.Handler(s, p.Logger, p.Metrics), nil
	})
}
