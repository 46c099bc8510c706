package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/banyan-fig/banyan/infra/sandbox"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// quickExit spares commands built with the race detector their second of sleep.
const quickExit = "GORACE=atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"banyan-users": main})
}

// TestScripts runs testdata/*.txtar against a sandbox with a stream; a script whose
// name begins with "ready" finds the control table too.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"await": await},
		Setup: func(e *testscript.Env) error {
			sandbox, err := sandbox.Start(context.Background(), sandbox.Config{})
			if err != nil {
				return err
			}
			e.Defer(func() { _ = sandbox.Close() })
			e.Vars = append(e.Vars, sandbox.Env()...)
			taken, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			e.Defer(func() { _ = taken.Close() })
			free, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			e.Vars = append(e.Vars, "TAKEN="+taken.Addr().String(), "ADMIN="+free.Addr().String(), quickExit)
			if err := free.Close(); err != nil {
				return err
			}
			return prepareSandbox(e, strings.HasPrefix(filepath.Base(e.WorkDir), "script-ready"))
		},
	})
}

// await waits until a URL answers with 200, and shows the answer as stdout.
func await(ts *testscript.TestScript, _ bool, args []string) {
	for range 100 {
		res, err := http.Get(args[0])
		if err == nil {
			text, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				ts.Logf("%s", text)
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("%s is not ready", args[0])
}

func prepareSandbox(e *testscript.Env, withControl bool) error {
	ctx := context.Background()
	sdk, err := config.LoadDefaultConfig(ctx, config.WithRegion("us-east-1"), config.WithBaseEndpoint(e.Getenv("AWS_ENDPOINT_URL")),
		config.WithCredentialsProvider(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})))
	if err != nil {
		return err
	}
	_, err = awskinesis.NewFromConfig(sdk).CreateStream(ctx, &awskinesis.CreateStreamInput{StreamName: aws.String("banyan-events"), ShardCount: aws.Int32(1)})
	if err == nil && withControl {
		err = ownership.NewTable(awsdynamodb.NewFromConfig(sdk), "").Ensure(ctx)
	}
	return err
}
