package main

import (
	"bytes"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/banyan-fig/banyan/consumers"
	readmodel "github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/sandbox"
	"github.com/banyan-fig/banyan/infra/sandbox/functiontest"
	"github.com/banyan-fig/banyan/infra/sandbox/httpapi"
	"github.com/banyan-fig/banyan/infra/token"
)

func TestMain(m *testing.M) { functiontest.Main(m) }

const (
	secretName = "/banyan/test/jwt-secret"
	table      = "timelines"
)

// world is the function in a sandbox, behind an HTTP API.
type world struct {
	t      *testing.T
	cfg    aws.Config
	lambda *lambda.Client
	ssm    *ssm.Client
	log    *output // of the functions
	url    string
}

// output is read while it is written.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) count(part string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Count(o.buf.String(), part)
}

// newWorld has a timeline with one post by ada, and the function with env.
func newWorld(t *testing.T, env map[string]string) *world {
	t.Helper()
	w := &world{t: t, log: &output{}}
	box, err := sandbox.Start(t.Context(), sandbox.Config{Environ: []string{}, Dir: t.TempDir(), FunctionLog: w.log})
	must(t, err)
	t.Cleanup(func() { must(t, box.Close()) })
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	w.cfg = aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(lookup(box.Env(), "AWS_ENDPOINT_URL")), HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	}
	w.lambda, w.ssm = lambda.NewFromConfig(w.cfg), ssm.NewFromConfig(w.cfg)
	w.fill(dynamodb.NewFromConfig(w.cfg))
	w.deploy("timeline-api", env)
	w.url = functiontest.Serve(t, httpapi.Config{Lambda: w.lambda, Function: "timeline-api"})
	return w
}

func (w *world) fill(client *dynamodb.Client) {
	w.t.Helper()
	_, err := client.CreateTable(w.t.Context(), readmodel.TableInput(table))
	must(w.t, err)
	model, err := readmodel.New(readmodel.Config{Client: client, Table: table})
	must(w.t, err)
	e, err := events.New(w.t.Context(), "/test", social.PostPublished{PostID: "p1", AuthorID: "ada", Text: "hello", PublishedAt: time.Unix(1479718800, 0)})
	must(w.t, err)
	must(w.t, model.Handle(w.t.Context(), consumers.Message{Event: e, Position: events.Position{Sequence: "42"}}))
}

func (w *world) deploy(name string, env map[string]string) {
	w.t.Helper()
	functiontest.Deploy(w.t, w.lambda, name, functiontest.Small(w.t, functiontest.Build(w.t, ".")), env)
}

// put changes the token secret.
func (w *world) put(secret string) {
	w.t.Helper()
	_, err := w.ssm.PutParameter(w.t.Context(), &ssm.PutParameterInput{
		Name: aws.String(secretName), Value: &secret, Type: ssmtypes.ParameterTypeSecureString, Overwrite: aws.Bool(true),
	})
	must(w.t, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func lookup(env []string, name string) string {
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}

func issue(t *testing.T, key string) string {
	t.Helper()
	tokens, err := token.New(token.Config{Secret: []byte(key)})
	must(t, err)
	issued, err := tokens.Issue("ada")
	must(t, err)
	return issued
}
