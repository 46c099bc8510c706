package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/banyan-fig/banyan/infra/sandbox"
	"github.com/banyan-fig/banyan/infra/sandbox/functiontest"
	"github.com/banyan-fig/banyan/infra/sandbox/httpapi"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/services/jsonclient"
	"github.com/banyan-fig/banyan/services/social/posts/client"
)

func TestMain(m *testing.M) { functiontest.Main(m) }

const ann, post = "59b99db4cfa9a34dcd7885b6", "59b99db4cfa9a34dcd7885b7"

// TestServerAndFunction: what is written through a function is read from a server, and the other way round.
func TestServerAndFunction(t *testing.T) {
	box, err := sandbox.Start(t.Context(), sandbox.Config{Environ: []string{}, Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(func() { must(t, box.Close()) })
	must(t, box.CreateStream(t.Context(), "banyan-events", 1))
	for _, kv := range box.Env() {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	cfg := aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(os.Getenv("AWS_ENDPOINT_URL")), HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	}
	must(t, ownership.NewTable(awsdynamodb.NewFromConfig(cfg), "").Ensure(t.Context()))
	functions := lambda.NewFromConfig(cfg)
	functiontest.Deploy(t, functions, "posts", functiontest.Small(t, functiontest.Build(t, ".")),
		map[string]string{"SOCIAL_SERVICE": "posts", "MONGODB_URI": os.Getenv("MONGODB_URI")})
	function := connect(t, functiontest.Serve(t, httpapi.Config{Lambda: functions, Function: "posts"}))
	server := connect(t, "http://"+startServer(t))

	p, at, err := function.Publish(t.Context(), post, ann, "hello", time.Now())
	if err != nil || at.Sequence == "" {
		t.Fatalf("publish by the function: %v at %v", err, at)
	}
	if got, err := server.Get(t.Context(), post); err != nil || got != p {
		t.Errorf("the server has %+v, %v, and the function wrote %+v", got, err, p)
	}
	if _, err := server.Delete(t.Context(), post); err != nil {
		t.Error(err)
	}
	if page, err := function.Newest(t.Context(), []string{ann}, "", 10); err != nil || len(page.Posts) > 0 {
		t.Errorf("the function lists %+v behind the delete, %v", page, err)
	}
}

func connect(t *testing.T, url string) *client.Client {
	t.Helper()
	c, err := client.New(jsonclient.Config{BaseURL: url, Timeout: time.Minute, AttemptTimeout: 30 * time.Second})
	must(t, err)
	t.Cleanup(c.Close)
	return c
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

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

var announced = regexp.MustCompile(`"api":"([^"]+)"`)

// startServer runs the command until the test ends, and returns where it serves.
func startServer(t *testing.T) string {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var log output
	code := make(chan int, 1)
	go func() {
		code <- newCommand().Execute(ctx, []string{"--service", "posts", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}, io.Discard, &log)
	}()
	t.Cleanup(func() {
		stop()
		if c := <-code; c != 0 {
			t.Errorf("exit code %d: %s", c, log.String())
		}
	})
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if m := announced.FindStringSubmatch(log.String()); m != nil {
			return m[1]
		}
	}
	t.Fatalf("it does not serve: %s", log.String())
	return ""
}

func TestServiceIsRequired(t *testing.T) {
	for args, want := range map[string]string{"--mongodb-uri x": "--service", "--mongodb-uri x --service users": `"users"`} {
		var log output
		if code := newCommand().Execute(t.Context(), strings.Fields(args), io.Discard, &log); code != 2 || !strings.Contains(log.String(), want) {
			t.Errorf("%q: exit code %d, %s", args, code, log.String())
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
