// Package streamtest makes streams for tests of publishers, and reads what these
// have put on them.
package streamtest

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// NewClient speaks to the sandbox at url.
func NewClient(url string, transport http.RoundTripper) *kinesis.Client {
	return kinesis.New(kinesis.Options{
		BaseEndpoint: &url, Region: "eu-west-1", HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
}

// Create makes a stream and returns when it is active.
func Create(ctx context.Context, client *kinesis.Client, stream string, shards int32) error {
	if _, err := client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: &stream, ShardCount: &shards}); err != nil {
		return err
	}
	return AwaitActive(ctx, client, stream)
}

// AwaitActive returns when a stream was created, split or merged.
func AwaitActive(ctx context.Context, client *kinesis.Client, stream string) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		out, err := client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String(stream)})
		switch {
		case err != nil:
			return err
		case out.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive:
			return nil
		}
	}
	return fmt.Errorf("stream %s does not become ACTIVE", stream)
}
