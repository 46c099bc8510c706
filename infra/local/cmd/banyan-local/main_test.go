package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"banyan-local": main,
		"streams":      streams,
		"occupied":     occupied,
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata"})
}

// exports collects what is printed and says when it is complete.
type exports struct {
	text  strings.Builder
	ready chan struct{}
}

func (e *exports) Write(b []byte) (int, error) {
	e.text.Write(b)
	if strings.Contains(string(b), "MONGODB_URI") {
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

// occupied runs banyan-local on a port where it listens itself.
func occupied() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		exit(err)
	}
	os.Args = append([]string{"banyan-local", "--addr=" + l.Addr().String(), "--mongo-addr=127.0.0.1:0"}, os.Args[1:]...)
	main()
}

func exit(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
