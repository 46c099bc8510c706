// Command sqsloop-restart is the Lambda function that replaces loops that have died
// and starts those that are missing, once a minute. Package sqsloop has its
// environment, permissions and wiring.
package main

import (
	"github.com/banyan-fig/banyan/infra/ops/function"
	"github.com/banyan-fig/banyan/infra/ops/sqsloop"
)

func main() { function.Main("sqsloop-restart", sqsloop.Restart) }
