// Command greeter is the function that the tests deploy.
package main

import (
	"context"
	"encoding/json"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
)

// greeting is what the tests replace, to have versions.
const greeting = "one"

type event struct {
	Records []json.RawMessage // of a stream
}

func main() {
	lambda.Start(func(_ context.Context, e event) (string, error) {
		if len(e.Records) == 0 {
			return greeting, nil
		}
		f, err := os.OpenFile(os.Getenv("OUT"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return "", err
		}
		defer f.Close()
		_, err = f.WriteString(greeting + "\n")
		return greeting, err
	})
}
