package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"banyan-sandbox": main,
		"streams":        streams,
		"occupied":       occupied,
		"put":            put,
		"bootstrap":      greeter,
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", Setup: func(e *testscript.Env) error {
		e.Setenv("GORACE", "atexit_sleep_ms=0") // or each command that is done sleeps for a second under the race detector
		return nil
	}})
}

// exports collects what is printed and says when it is complete.
type exports struct {
	text  strings.Builder
	ready chan struct{}
}

func (e *exports) Write(b []byte) (int, error) {
	e.text.Write(b)
	if strings.HasPrefix(string(b), "export MONGODB_URI") {
		close(e.ready)
	}
	return len(b), nil
}

// TestServesUntilToldToStop: alone it prints the exports and waits.
func TestServesUntilToldToStop(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "")
	t.Setenv("MONGODB_URI", "")
	ctx, stop := context.WithCancel(t.Context())
	out, code := &exports{ready: make(chan struct{})}, make(chan int)
	go func() {
		c, err := flags{Addr: "127.0.0.1:0", MongoAddr: "127.0.0.1:0"}.run(ctx, out)
		if err != nil {
			t.Error(err)
		}
		code <- c
	}()
	<-out.ready
	stop()
	if c := <-code; c != 0 {
		t.Errorf("exit code %d", c)
	}
	for _, want := range []string{
		`(?m)^# embedded: cloudwatch, dynamodb, kinesis, lambda, logs, mongodb, secretsmanager, sqs, ssm;`,
		`(?m)^export AWS_ENDPOINT_URL=http://127\.0\.0\.1:\d+$`,
		`(?m)^export MONGODB_URI='mongodb://127\.0\.0\.1:\d+/legacy\?.*'$`,
	} {
		if !regexp.MustCompile(want).MatchString(out.text.String()) {
			t.Errorf("printed %q, want %s", out.text.String(), want)
		}
	}
}

// TestServesAFunctionOverHTTP, among other things.
func TestServesAFunctionOverHTTP(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "")
	t.Setenv("MONGODB_URI", "mongodb://theirs/db")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "greeter")
	err = errors.Join(os.Symlink(self, filepath.Join(dir, "bootstrap")), os.WriteFile(program, []byte("#!/bin/sh\nexec "+dir+"/bootstrap\n"), 0o755))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	out, code := &exports{ready: make(chan struct{})}, make(chan int)
	go func() {
		f := flags{Addr: "127.0.0.1:0", Function: []pair{{"greeter", program}}, Env: []pair{{"GREETING", "Ahoy"}},
			HTTPAPI: []pair{{"greeter", "127.0.0.1:0"}, {"absent", ""}}}
		c, err := f.run(ctx, out)
		if err != nil {
			t.Error(err)
		}
		code <- c
	}()
	<-out.ready
	if want := "(?m)^# not embedded, since .*: mongodb$"; !regexp.MustCompile(want).MatchString(out.text.String()) {
		t.Errorf("printed %q, want %s", out.text.String(), want)
	}
	for function, want := range map[string]string{"greeter": "200 Ahoy, GET /a", "absent": `500 {"message":"Internal Server Error"}`} {
		_, url, _ := strings.Cut(out.text.String(), "# HTTP API: "+function+" at ")
		url, _, _ = strings.Cut(url, "\n")
		resp, err := http.Get(url + "/a")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if got := fmt.Sprint(resp.StatusCode, " ", strings.TrimSpace(string(body))); err != nil || got != want || resp.Body.Close() != nil {
			t.Errorf("%s answers %s, %v, want %s", function, got, err, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	if c := <-code; c != 0 {
		t.Errorf("exit code %d", c)
	}
}

// greeter is a function of all that banyan-sandbox has for one.
func greeter() {
	lambda.Start(func(event struct {
		Name, RawPath  string
		RequestContext struct{ HTTP struct{ Method string } }
		Records        []any
	}) (any, error) {
		greeting := cmp.Or(os.Getenv("GREETING"), "Hello")
		switch {
		case event.RawPath != "":
			return map[string]any{"statusCode": 200, "body": greeting + ", " + event.RequestContext.HTTP.Method + " " + event.RawPath}, nil
		case event.Records != nil:
			fmt.Fprintf(os.Stderr, "%s, %d records\n", greeting, len(event.Records))
			return nil, os.WriteFile(os.Getenv("OUT"), nil, 0o600)
		case event.Name == "":
			return nil, errors.New("nobody is there")
		}
		return greeting + ", " + event.Name, nil
	})
}

// put puts a record into the stream s, looks into the table things, and waits for the
// file OUT.
func put() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		exit(err)
	}
	if _, err := kinesis.NewFromConfig(cfg).PutRecord(ctx,
		&kinesis.PutRecordInput{StreamName: aws.String("s"), PartitionKey: aws.String("k"), Data: []byte("x")}); err != nil {
		exit(err)
	}
	key := map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "a"}, "sk": &types.AttributeValueMemberS{Value: "b"}}
	if _, err := dynamodb.NewFromConfig(cfg).GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String("things"), Key: key}); err != nil {
		exit(err)
	}
	for _, err := os.Stat(os.Getenv("OUT")); err != nil; _, err = os.Stat(os.Getenv("OUT")) {
		if ctx.Err() != nil {
			exit(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// streams creates a stream with nothing but the environment and lists all.
func streams() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		exit(err)
	}
	client := kinesis.NewFromConfig(cfg)
	if _, err := client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String("made-by-a-child"), ShardCount: aws.Int32(1)}); err != nil {
		exit(err)
	}
	out, err := client.ListStreams(ctx, &kinesis.ListStreamsInput{})
	if err != nil {
		exit(err)
	}
	fmt.Println(strings.Join(out.StreamNames, " "), os.Getenv("MONGODB_URI"))
}

// occupied runs banyan-sandbox on a port where it listens itself.
func occupied() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		exit(err)
	}
	defer l.Close() // and until then it is not collected, which would free the port
	os.Args = append([]string{"banyan-sandbox", "--addr=" + l.Addr().String(), "--mongo-addr=127.0.0.1:0"}, os.Args[1:]...)
	main()
}

func exit(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
