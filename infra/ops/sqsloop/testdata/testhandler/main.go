// Command testhandler is a Lambda function that handles messages of SQS for
// tests: it notes each in the file OUT, as its trace and its body, and fails on
// bodies that begin with poison. One that begins with deadly ends its process.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func main() { lambda.Start(handle) }

func handle(_ context.Context, batch events.SQSEvent) (out events.SQSEventResponse, err error) {
	f, err := os.OpenFile(os.Getenv("OUT"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return out, err
	}
	defer func() { _ = f.Close() }()
	for _, m := range batch.Records {
		if strings.HasPrefix(m.Body, "deadly") {
			os.Exit(1)
		}
		if strings.HasPrefix(m.Body, "poison") {
			out.BatchItemFailures = append(out.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: m.MessageId})
			continue
		}
		if _, err := fmt.Fprintln(f, os.Getenv("_X_AMZN_TRACE_ID"), m.Body); err != nil {
			return out, err
		}
	}
	return out, nil
}
