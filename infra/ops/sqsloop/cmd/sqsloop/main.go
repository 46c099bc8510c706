// Command sqsloop is the Lambda function that polls queues in loops, has other
// functions handle the messages, and invokes itself with the next turn. Package
// sqsloop has its environment, permissions and wiring.
package main

import (
	"github.com/banyan-fig/banyan/infra/ops/function"
	"github.com/banyan-fig/banyan/infra/ops/sqsloop"
)

func main() {
	function.Main("sqsloop", func(p function.Parts) (any, error) { return sqsloop.Poll(p, nil) })
}
