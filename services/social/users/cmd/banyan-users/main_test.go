package main

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/banyan-fig/banyan/infra/serving/servingtest"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/services/social/internal/scripttest"
)

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
			if err := scripttest.Prepare(e); err != nil {
				return err
			}
			e.Vars = append(e.Vars, "ADMIN="+servingtest.Address(t))
			if !strings.HasPrefix(filepath.Base(e.WorkDir), "script-ready") {
				return nil
			}
			tables := awsdynamodb.New(awsdynamodb.Options{
				Region: "us-east-1", BaseEndpoint: aws.String(e.Getenv("AWS_ENDPOINT_URL")),
				Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
			})
			return ownership.NewTable(tables, "").Ensure(context.Background())
		},
	})
}

// await waits until a URL answers with 200, and shows the answer as stdout.
func await(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		res, err := http.Get(args[0])
		if err != nil {
			continue
		}
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode == http.StatusOK {
			ts.Logf("%s", text)
			return
		}
	}
	ts.Fatalf("%s is not ready", args[0])
}
