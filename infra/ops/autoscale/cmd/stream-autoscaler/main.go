// Command stream-autoscaler is the Lambda function that keeps the number of shards
// of Kinesis streams to what their load needs. Package autoscale has its
// environment, permissions and wiring.
package main

import (
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/infra/ops/autoscale"
	"github.com/banyan-fig/banyan/infra/ops/function"
)

func main() {
	function.Main("stream-autoscaler", func(p function.Parts) (any, error) {
		cfg, err := autoscale.ParseConfig(p.Getenv)
		if err != nil {
			return nil, err
		}
		a, err := autoscale.New(kinesis.NewFromConfig(p.AWS), cloudwatch.NewFromConfig(p.AWS), dynamodb.NewFromConfig(p.AWS), cfg)
		if err != nil {
			return nil, err
		}
		return a.Serve(p.Logger, p.Metrics), nil
	})
}
