package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/consumers/function"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	"github.com/banyan-fig/banyan/infra/sandbox/functiontest"
	kinesissandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/infra/sandbox/lambda"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
	sqssandbox "github.com/banyan-fig/banyan/infra/sandbox/sqs"
)

// asFunction makes this very program the function.
const asFunction = "BANYAN_CONSUME_TEST_FUNCTION"

func TestMain(m *testing.M) {
	if os.Getenv(ordersVariable) != "" {
		function.Main(ordersSpec)
		return
	}
	if os.Getenv(asFunction) != "" {
		function.Main(function.Spec{Name: os.Getenv("NAME"), Attempts: 1, Handler: newHandler})
		return
	}
	functiontest.Main(m)
}

// newHandler fails for the keys that are in the file BROKEN, and logs the others.
func newHandler(e function.Env) (consumers.Handler, error) {
	return func(_ context.Context, m consumers.Message) error {
		broken, _ := os.ReadFile(os.Getenv("BROKEN"))
		if slices.Contains(strings.Fields(string(broken)), m.Event.PartitionKey) {
			return errors.New("the mailbox is full")
		}
		e.Logger.Info("handled", "key", m.Event.PartitionKey, "bytes", len(m.Raw))
		return nil
	}, nil
}

// placed is the event of these tests; its customer is the key.
type placed struct {
	Customer string `json:"customer"`
	Note     string `json:"note,omitempty"`
}

func (placed) EventType() string      { return "order.placed" }
func (placed) EventVersion() int      { return 1 }
func (p placed) Subject() string      { return "customer/" + p.Customer }
func (p placed) PartitionKey() string { return p.Customer }

// world is letters with the functions that handle them, a stream, and a queue.
type world struct {
	letters
	host          functiontest.Host
	kinesis       *awskinesis.Client
	sqs           *awssqs.Client
	stream, queue string // an ARN, a URL
	log           lockedBuffer
	broken        string
	age           func(time.Duration) // of the stream
	mu            sync.Mutex
	fault         func() fault.Fault
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{letters: newLetters(t), broken: filepath.Join(t.TempDir(), "broken"), fault: func() fault.Fault { return fault.Fault{} }}
	dynamo := os.Getenv("AWS_ENDPOINT_URL_DYNAMODB")
	kinesisURL, sqsURL := w.serveKinesis(), w.serveSQS()
	w.host = functiontest.Start(t, lambda.Config{
		Env: []string{"AWS_ENDPOINT_URL_DYNAMODB=" + dynamo, "AWS_ENDPOINT_URL_KINESIS=" + kinesisURL, "AWS_ENDPOINT_URL_SQS=" + sqsURL},
		Log: &w.log, PollInterval: 5 * time.Millisecond, RetryBackoff: time.Millisecond, RetryBackoffMax: 10 * time.Millisecond,
		Fault: func(string) fault.Fault {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.fault()
		},
	})
	t.Setenv("AWS_ENDPOINT_URL_LAMBDA", w.host.URL)
	t.Setenv("AWS_ENDPOINT_URL_KINESIS", kinesisURL)
	t.Setenv("AWS_ENDPOINT_URL_SQS", sqsURL)
	return w
}

func (w *world) serveKinesis() string {
	var offset time.Duration
	var mu sync.Mutex
	w.age = func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		offset += d
	}
	server, err := kinesissandbox.New(kinesissandbox.Config{Transition: time.Millisecond, Unlimited: true, Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(offset)
	}})
	sandboxtest.Must(w.T, err)
	url := sandboxtest.Serve(w.T, server)
	w.kinesis = awskinesis.NewFromConfig(sandboxtest.Config(w.T, url))
	_, err = w.kinesis.CreateStream(w.Context(), &awskinesis.CreateStreamInput{StreamName: aws.String("events"), ShardCount: aws.Int32(1)})
	sandboxtest.Must(w.T, err)
	out, err := awskinesis.NewStreamExistsWaiter(w.kinesis, func(o *awskinesis.StreamExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 5*time.Millisecond, 50*time.Millisecond
	}).WaitForOutput(w.Context(), &awskinesis.DescribeStreamInput{StreamName: aws.String("events")}, time.Minute)
	sandboxtest.Must(w.T, err)
	w.stream = *out.StreamDescription.StreamARN
	return url
}

func (w *world) serveSQS() string {
	server, err := sqssandbox.New(sqssandbox.Config{})
	sandboxtest.Must(w.T, err)
	url := sandboxtest.Serve(w.T, server)
	w.sqs = awssqs.NewFromConfig(sandboxtest.Config(w.T, url))
	out, err := w.sqs.CreateQueue(w.Context(), &awssqs.CreateQueueInput{QueueName: aws.String("given-up")})
	sandboxtest.Must(w.T, err)
	w.queue = *out.QueueUrl
	return url
}

// deploy makes the function of a consumer.
func (w *world) deploy(consumer string, policy consumers.Policy) {
	w.Helper()
	self, err := os.Executable()
	sandboxtest.Must(w.T, err)
	functiontest.Deploy(w.T, w.host.Client, "prod-"+consumer, functiontest.Small(w.T, self), map[string]string{
		asFunction: "yes", "NAME": consumer, "ON_FAILURE": policy.String(), "DEAD_LETTER_TABLE": w.table, "BROKEN": w.broken,
	})
}

// setBroken says for which keys the functions fail.
func (w *world) setBroken(keys ...string) {
	w.Helper()
	sandboxtest.Must(w.T, os.WriteFile(w.broken, []byte(strings.Join(keys, " ")), 0o600))
}

// fail stores a letter with an event of that key.
func (w *world) fail(consumer string, n int, key string, change func(*consumers.DeadLetter)) consumers.DeadLetter {
	w.Helper()
	return w.put(consumer, n, func(d *consumers.DeadLetter) {
		d.PartitionKey, d.Raw = key, streamtest.Data(w.T, streamtest.Event(w.T, placed{Customer: key}))
		if change != nil {
			change(d)
		}
	})
}

// handled are how often each key was handled.
func (w *world) handled() map[string]int {
	calls := map[string]int{}
	for line := range strings.Lines(w.log.String()) {
		if _, key, ok := strings.Cut(line, `"msg":"handled"`); ok {
			_, key, _ = strings.Cut(key, `"key":"`)
			key, _, _ = strings.Cut(key, `"`)
			calls[key]++
		}
	}
	return calls
}

// wantHandled compares what was handled with "key:times key:times", sorted.
func (w *world) wantHandled(want string) {
	w.Helper()
	var got []string
	for key, n := range w.handled() {
		got = append(got, fmt.Sprintf("%s:%d", key, n))
	}
	slices.Sort(got)
	if text := strings.Join(got, " "); text != want {
		w.Errorf("handled %s, want %s; the functions say:\n%s", text, want, w.log.String())
	}
}

// waiting is how many letters were not redriven.
func (w *world) waiting(consumer string) int {
	w.Helper()
	page, err := w.List(w.Context(), consumer, deadletter.ListOptions{Limit: 1000})
	sandboxtest.Must(w.T, err)
	return len(page.Letters)
}

// lockedBuffer keeps what functions print.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
