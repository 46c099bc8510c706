package sqsloop_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/ops/sqsloop"
	"github.com/banyan-fig/banyan/infra/sandbox"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil { // most of the time nothing happens
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if built != "" {
			_ = os.RemoveAll(built)
		}
		os.Exit(code)
	}))
}

var built string // directory of the functions, once they were built

// binaries builds the real functions, once.
var binaries = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "banyan-sqsloop-")
	if err != nil {
		return "", err
	}
	built = dir
	build := exec.Command("go", "build", "-tags=lambda.norpc", "-o", dir+"/", "./cmd/...", "./testdata/testhandler")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the functions: %w\n%s", err, out)
	}
	return dir, nil
})

// cloud is a sandbox with the functions deployed, as Terraform would.
type cloud struct {
	t           *testing.T
	sandbox     *sandbox.Sandbox
	log, out    string
	lambda      *lambda.Client
	sqs         *sqs.Client
	db          *dynamodb.Client
	queue, dead string
}

const role = "arn:aws:iam::000000000000:role/sqsloop"

func newCloud(t *testing.T, seed uint64) *cloud {
	t.Helper()
	t.Parallel() // most of the time nothing happens
	dir := t.TempDir()
	c := &cloud{t: t, log: filepath.Join(dir, "log"), out: filepath.Join(dir, "handled")}
	log, err := os.Create(c.log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	c.sandbox, err = sandbox.Start(t.Context(), sandbox.Config{Environ: []string{"HOME=" + dir}, FunctionLog: log, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.sandbox.Close(); err != nil {
			t.Error(err)
		}
	})
	c.connect()
	c.dead = c.createQueue("mail-dead", nil)
	c.queue = c.createQueue("mail", redrive("mail-dead"))
	if _, err := c.db.CreateTable(t.Context(), sqsloop.CreateTableInput(sqsloop.DefaultTable)); err != nil {
		t.Fatal(err)
	}
	c.deploy()
	return c
}

func (c *cloud) connect() {
	cfg := aws.Config{Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")}
	for _, kv := range c.sandbox.Env() {
		if url, ok := strings.CutPrefix(kv, "AWS_ENDPOINT_URL="); ok {
			cfg.BaseEndpoint = &url
		}
	}
	c.lambda, c.sqs, c.db = lambda.NewFromConfig(cfg), sqs.NewFromConfig(cfg), dynamodb.NewFromConfig(cfg)
}

func (c *cloud) createQueue(name string, attributes map[string]string) string {
	c.t.Helper()
	out, err := c.sqs.CreateQueue(c.t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		c.t.Fatal(err)
	}
	return *out.QueueUrl
}

// deploy creates the functions, and the alias under which the loops run.
func (c *cloud) deploy() {
	c.t.Helper()
	queues, err := json.Marshal([]map[string]any{{
		"queue": c.queue, "handler": "testhandler", "min": 1, "max": 3, "wait_seconds": 1, "visibility_seconds": 1,
		"stale_after_seconds": 3,
	}})
	if err != nil {
		c.t.Fatal(err)
	}
	env := map[string]string{"LOOP_QUEUES": string(queues), "RECURSE_AFTER": "0s"}
	c.create("testhandler", 5, map[string]string{"OUT": c.out})
	c.create("sqsloop", 10, env)
	alias, err := c.lambda.CreateAlias(c.t.Context(),
		&lambda.CreateAliasInput{FunctionName: aws.String("sqsloop"), Name: aws.String("live"), FunctionVersion: aws.String("1")})
	if err != nil {
		c.t.Fatal(err)
	}
	env["LOOP_FUNCTION"] = *alias.AliasArn
	for _, name := range []string{"sqsloop-restart", "sqsloop-scale-up", "sqsloop-scale-down"} {
		c.create(name, 10, env)
	}
}

func (c *cloud) create(name string, timeout int32, env map[string]string) {
	c.t.Helper()
	dir, err := binaries()
	if err != nil {
		c.t.Fatal(err)
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	header := &zip.FileHeader{Name: "bootstrap"}
	header.SetMode(0o755)
	if f, err := w.CreateHeader(header); err != nil {
		c.t.Fatal(err)
	} else if _, err := fmt.Fprintf(f, "#!/bin/sh\nexec %s\n", filepath.Join(dir, name)); err != nil {
		c.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		c.t.Fatal(err)
	}
	_, err = c.lambda.CreateFunction(c.t.Context(), &lambda.CreateFunctionInput{
		FunctionName: &name, Role: aws.String(role), Handler: aws.String("bootstrap"), Runtime: types.RuntimeProvidedal2023, Publish: true,
		Timeout: &timeout, Environment: &types.Environment{Variables: env}, Code: &types.FunctionCode{ZipFile: b.Bytes()},
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// call invokes a function and waits. The error is the function's.
func (c *cloud) call(name string, event any) error {
	payload, err := json.Marshal(event)
	if err != nil {
		return err
	}
	out, err := c.lambda.Invoke(context.Background(), &lambda.InvokeInput{FunctionName: &name, Payload: payload})
	if err == nil && out.FunctionError != nil {
		err = fmt.Errorf("%s: %s", *out.FunctionError, out.Payload)
	}
	return err
}

func (c *cloud) send(bodies ...string) {
	c.t.Helper()
	for _, body := range bodies {
		if _, err := c.sqs.SendMessage(c.t.Context(), &sqs.SendMessageInput{QueueUrl: &c.queue, MessageBody: &body}); err != nil {
			c.t.Fatal(err)
		}
	}
}

// handled are the bodies that the handler has noted, and the traces under which
// it did.
func (c *cloud) handled() (bodies, traces map[string]int) {
	bodies, traces = map[string]int{}, map[string]int{}
	content, err := os.ReadFile(c.out)
	if err != nil && !os.IsNotExist(err) {
		c.t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		trace, body, _ := strings.Cut(strings.TrimSpace(line), " ")
		bodies[body]++
		root, _, _ := strings.Cut(trace, ";")
		traces[root]++
	}
	return bodies, traces
}

// letters adds the bodies in the dead-letter queue.
func (c *cloud) letters(into map[string]bool) map[string]bool {
	c.t.Helper()
	for {
		out, err := c.sqs.ReceiveMessage(c.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &c.dead, MaxNumberOfMessages: 10})
		if err != nil {
			c.t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return into
		}
		for _, m := range out.Messages {
			into[*m.Body] = true
		}
	}
}

// left is how many messages the queue has, in flight or not.
func (c *cloud) left() string {
	c.t.Helper()
	out, err := c.sqs.GetQueueAttributes(c.t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &c.queue, AttributeNames: []sqstypes.QueueAttributeName{"All"}})
	if err != nil {
		c.t.Fatal(err)
	}
	return out.Attributes["ApproximateNumberOfMessages"] + "+" + out.Attributes["ApproximateNumberOfMessagesNotVisible"]
}

func (c *cloud) eventually(what string, f func() bool) {
	c.t.Helper()
	const limit = 2 * time.Minute
	for deadline := time.Now().Add(limit); !f(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(c.log)
			c.t.Fatalf("not within %s: %s\n%s", limit, what, log[max(0, len(log)-6000):])
		}
	}
}

func (c *cloud) plan(text string) {
	c.t.Helper()
	plan, err := fault.Parse(text)
	if err == nil {
		err = c.sandbox.Faults().SetPlan(plan)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cloud) trySend(body string) error {
	_, err := c.sqs.SendMessage(c.t.Context(), &sqs.SendMessageInput{QueueUrl: &c.queue, MessageBody: &body})
	return err
}
