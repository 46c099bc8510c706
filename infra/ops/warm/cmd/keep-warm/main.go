// Command keep-warm is the Lambda function that keeps environments of others
// ready. Package warm has its environment, permissions and wiring.
package main

import (
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/banyan-fig/banyan/infra/ops/function"
	"github.com/banyan-fig/banyan/infra/ops/warm"
)

func main() {
	function.Main("keep-warm", func(p function.Parts) (any, error) {
		cfg, err := warm.ParseConfig(p.Getenv)
		if err != nil {
			return nil, err
		}
		pinger, err := warm.New(lambda.NewFromConfig(p.AWS, warm.Options), cfg)
		if err != nil {
			return nil, err
		}
		return pinger.Serve(p.Logger, p.Metrics), nil
	})
}
