// Command testfunction is the function behind the API of the tests, which does what
// the path of its event says.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func main() { lambda.Start(handle) }

func handle(ctx context.Context, raw json.RawMessage) (json.RawMessage, error) {
	var e awsevents.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, err
	}
	switch e.RawPath {
	case "/sleep":
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	case "/error":
		return nil, errors.New("asked to fail, with a secret")
	case "/answer": // with the body as it is
		if !e.IsBase64Encoded {
			return json.RawMessage(e.Body), nil
		}
		return base64.StdEncoding.DecodeString(e.Body)
	}
	return raw, nil // a body by itself
}
