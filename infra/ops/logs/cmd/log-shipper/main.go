// Command log-shipper is the Lambda function that ships logs from the stream to
// OpenSearch. Package logs has its environment, permissions and wiring.
package main

import (
	"github.com/banyan-fig/banyan/infra/ops/function"
	"github.com/banyan-fig/banyan/infra/ops/logs/ship"
)

func main() {
	function.Main("log-shipper", func(p function.Parts) (any, error) {
		s, err := ship.Load(p)
		if err != nil {
			return nil, err
		}
		return s.HandleKinesis, nil
	})
}
