// Command orders is an adopter's function: it uses this module and none of its
// functions.
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/banyan-fig/banyan/infra/backoff"
)

type request struct {
	Order string `json:"order"`
}

func main() {
	lambda.Start(func(_ context.Context, r request) (string, error) {
		delay := backoff.Backoff{Min: time.Second, Random: func() float64 { return 1 }}.Delay(0)
		return fmt.Sprintf("%s in %s", r.Order, delay), nil
	})
}
