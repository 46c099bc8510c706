// Command testfunction is what the tests keep warm: a function that notes each
// event that reaches its handler, with the wrapper unless BARE is set. With EXIT it
// does not start.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/banyan-fig/banyan/infra/ops/warm"
)

func main() {
	if os.Getenv("EXIT") != "" {
		os.Exit(3)
	}
	var handler any = handle
	if os.Getenv("BARE") == "" {
		handler = warm.Handler(handle)
	}
	lambda.Start(handler)
}

func handle(_ context.Context, event json.RawMessage) (string, error) {
	fmt.Printf("handled %s\n", event)
	return "done", nil
}
