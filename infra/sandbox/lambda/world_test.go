package lambda_test

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.uber.org/goleak"

	kinesissandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/lambda"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
	sqssandbox "github.com/banyan-fig/banyan/infra/sandbox/sqs"
)

const role = "arn:aws:iam::000000000000:role/function"

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if built != "" {
			_ = os.RemoveAll(built)
		}
		os.Exit(code)
	}))
}

var built string // directory of the test function, once it was built

// binary builds the test function once.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "banyan-testfunction-")
	if err != nil {
		return "", err
	}
	built = dir
	path := filepath.Join(dir, "bootstrap")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-tags=lambda.norpc", "-o", path, "./internal/testfunction")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the test function: %w\n%s", err, out)
	}
	return path, nil
})

// whole is the test function as it would be deployed.
func whole(t testing.TB) []byte {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return archive(t, "bootstrap", content, 0o755)
}

// small is an archive whose bootstrap turns into the test function; uploading
// megabytes again and again takes its time under the race detector.
func small(t testing.TB) []byte {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return archive(t, "bootstrap", []byte("#!/bin/sh\nexec "+path+"\n"), 0o755)
}

func archive(t testing.TB, name string, content []byte, mode fs.FileMode) []byte {
	t.Helper()
	out, err := zipped(name, content, mode)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func zipped(name string, content []byte, mode fs.FileMode) ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	header := &zip.FileHeader{Name: name, Method: zip.Store}
	header.SetMode(mode)
	f, err := w.CreateHeader(header)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(content); err != nil {
		return nil, err
	}
	err = w.Close() // writes the directory
	return b.Bytes(), err
}

// world is a sandbox with a Lambda, a Kinesis and an SQS, and their clients.
type world struct {
	t       testing.TB
	dir     string // outlives the host, so functions may write to the end
	host    *sandbox.Host
	base    aws.Config // for more clients
	lambda  *lambda.Client
	kinesis *kinesis.Client
	sqs     *sqs.Client
	clock   *clock // of the queues
}

// clock runs ahead of time by what it was advanced.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// newWorld starts one. Times are short unless the test says otherwise.
func newWorld(t testing.TB, cfg sandbox.Config) *world {
	t.Helper()
	dir := t.TempDir()
	streams, err := kinesissandbox.New(kinesissandbox.Config{Transition: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	clock := &clock{}
	queues, err := sqssandbox.New(sqssandbox.Config{Now: clock.now})
	if err != nil {
		t.Fatal(err)
	}
	kinesisURL, sqsURL := sandboxtest.Serve(t, streams), sandboxtest.Serve(t, queues)
	cfg.Env = append([]string{"AWS_ENDPOINT_URL_KINESIS=" + kinesisURL, "AWS_ENDPOINT_URL_SQS=" + sqsURL}, cfg.Env...)
	cfg.PollInterval = cmp.Or(cfg.PollInterval, 5*time.Millisecond)
	cfg.RetryBackoff = cmp.Or(cfg.RetryBackoff, 2*time.Millisecond)
	cfg.RetryBackoffMax = cmp.Or(cfg.RetryBackoffMax, 20*time.Millisecond)
	host, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	lambdaURL := sandboxtest.Serve(t, host)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if err := host.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	base := sandboxtest.Config(t, lambdaURL)
	base.RetryMaxAttempts = 1
	return &world{
		t: t, dir: dir, host: host, base: base, clock: clock,
		lambda:  lambda.NewFromConfig(base),
		kinesis: kinesis.NewFromConfig(base, func(o *kinesis.Options) { o.BaseEndpoint = &kinesisURL }),
		sqs:     sqs.NewFromConfig(base, func(o *sqs.Options) { o.BaseEndpoint = &sqsURL }),
	}
}

// function creates the test function with variables and returns the directory
// in which it notes what it sees.
func (w *world) function(name string, timeout int32, env map[string]string) string {
	w.t.Helper()
	out := filepath.Join(w.dir, name)
	if err := os.Mkdir(out, 0o755); err != nil {
		w.t.Fatal(err)
	}
	variables := map[string]string{"OUT": out}
	for k, v := range env {
		variables[k] = v
	}
	_, err := w.lambda.CreateFunction(w.t.Context(), &lambda.CreateFunctionInput{
		FunctionName: &name, Role: aws.String(role), Handler: aws.String("bootstrap"), Runtime: types.RuntimeProvidedal2023,
		Timeout: &timeout, Environment: &types.Environment{Variables: variables}, Code: &types.FunctionCode{ZipFile: small(w.t)},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) invoke(name string, request any) *lambda.InvokeOutput {
	w.t.Helper()
	out, err := w.lambda.Invoke(w.t.Context(), &lambda.InvokeInput{FunctionName: &name, Payload: encode(w.t, request)})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parse[T any](t testing.TB, b []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("decoding %s: %v", b, err)
	}
	return v
}

// lines reads what a function noted under a name; nothing where it did not.
func lines(t testing.TB, dir, name string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

type failure struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

type described struct {
	Echo       json.RawMessage
	Env        map[string]string
	PID        int
	RequestID  string
	ARN        string
	DeadlineMS int64
	Trace      string
	All        []string
}
