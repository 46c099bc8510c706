// Command sqsloop-scale-up is the Lambda function that adds a loop for an alarm that
// went off, as SNS tells it. Package sqsloop has its environment, permissions and
// wiring.
package main

import (
	"github.com/banyan-fig/banyan/infra/ops/function"
	"github.com/banyan-fig/banyan/infra/ops/sqsloop"
)

func main() { function.Main("sqsloop-scale-up", sqsloop.ScaleUp) }
