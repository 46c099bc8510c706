// Command sqsloop-scale-down is the Lambda function that takes back the loop of an
// alarm that is over, as SNS tells it. Package sqsloop has its environment,
// permissions and wiring.
package main

import (
	"github.com/banyan-fig/banyan/infra/ops/function"
	"github.com/banyan-fig/banyan/infra/ops/sqsloop"
)

func main() { function.Main("sqsloop-scale-down", sqsloop.ScaleDown) }
