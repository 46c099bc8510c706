// Command archive is the Lambda function that archives every event of a stream, see package
// consumers/archive for the format:
//
//	ARCHIVE            where to: s3://bucket/prefix, or a folder. The stream's name is added
//	METRICS_NAMESPACE  of the metrics, default Banyan/Consumers
//
// It needs s3:PutObject there, and no table: there is nothing that it cannot archive. A batch is
// answered when it is durable; while S3 cannot be reached its shard waits, so let the mapping
// retry without limit, and report batch item failures.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/banyan-fig/banyan/infra/awssdk"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // Lambda's for a start
	f, err := start(ctx, os.Getenv, os.Stdout)
	cancel()
	if err != nil {
		fmt.Fprintf(os.Stderr, "archive: cannot start: %v\n", err)
		os.Exit(1)
	}
	lambda.Start(f.invoke)
}

func start(ctx context.Context, getenv func(string) string, metrics io.Writer) (*function, error) {
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return nil, err
	}
	return newFunction(sdk, getenv, metrics)
}

// invoke refuses what is not a batch of Kinesis: an empty answer to it would be success.
func (f *function) invoke(ctx context.Context, payload json.RawMessage) (any, error) {
	e, err := parse(payload)
	if err != nil {
		return nil, err
	}
	return f.archive(ctx, e)
}
