package main

import (
	"context"
	"net"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/banyan-fig/banyan/infra/sandbox"
)

// quickExit spares commands built with the race detector their second of sleep.
const quickExit = "GORACE=atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"banyan-monolith": main})
}

// TestScripts runs testdata/*.txtar against a sandbox with a stream.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			sandbox, err := sandbox.Start(context.Background(), sandbox.Config{})
			if err != nil {
				return err
			}
			e.Defer(func() { _ = sandbox.Close() })
			taken, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			e.Defer(func() { _ = taken.Close() })
			e.Vars = append(append(e.Vars, sandbox.Env()...), "TAKEN="+taken.Addr().String(), quickExit)
			return makeStream(e)
		},
	})
}

func makeStream(e *testscript.Env) error {
	ctx := context.Background()
	sdk, err := config.LoadDefaultConfig(ctx, config.WithRegion("us-east-1"), config.WithBaseEndpoint(e.Getenv("AWS_ENDPOINT_URL")),
		config.WithCredentialsProvider(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})))
	if err != nil {
		return err
	}
	_, err = awskinesis.NewFromConfig(sdk).CreateStream(ctx, &awskinesis.CreateStreamInput{StreamName: aws.String("banyan-events"), ShardCount: aws.Int32(2)})
	return err
}
