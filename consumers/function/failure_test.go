package function_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	kinesistypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/sandbox/functiontest"
	kinesissandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/infra/sandbox/lambda"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

// TestFailuresAreBounded runs the function as a process, through its mapping, in each way
// to fail: the event becomes a dead letter, all others are handled, and how often is
// bounded.
func TestFailuresAreBounded(t *testing.T) {
	w := newWorld(t)
	const deadly = 5 // deaths, see consumers.Notes, of batches of 17 to 256
	for _, c := range []struct {
		how     string
		reason  string
		batch   int32
		timeout int32 // of the function, in seconds
		bisect  bool
		most    int // calls of each event
	}{
		{how: "exit", reason: "alone in hand", batch: 40, timeout: 20, most: deadly},
		{how: "exit", reason: "alone in hand", batch: 40, timeout: 20, most: deadly + 1, bisect: true},
		{how: "goroutine", reason: "alone in hand", batch: 40, timeout: 20, most: deadly},
		{how: "memory", reason: "alone in hand", batch: 40, timeout: 20, most: deadly},
		{how: "killed", reason: "alone in hand", batch: 40, timeout: 20, most: deadly},
		{how: "stopped", reason: "alone in hand", batch: 1, timeout: 2, most: 3},
		{how: "goexit", reason: "runtime.Goexit", batch: 40, timeout: 20, most: 1},
		{how: "panic", reason: "index out of range", batch: 40, timeout: 20, most: 2},
		{how: "deaf", reason: "ignored the end of its context", batch: 40, timeout: 10, most: 1},
		{how: "slow", reason: "its share of the invocation", batch: 40, timeout: 20, most: 2},
	} {
		t.Run(fmt.Sprint(c.how, " bisect ", c.bisect), func(t *testing.T) {
			t.Parallel()
			f := w.deploy(t, c.how, c.timeout, c.batch, c.bisect)
			f.awaitEnd(t)
			if len(f.letters) != 1 || f.letters[0].PartitionKey != f.poison || !strings.Contains(f.letters[0].Reason, c.reason) {
				t.Fatalf("dead letters %+v", f.letters)
			}
			letter, err := f.store.Get(t.Context(), f.letters[0].ID())
			if e, decodeErr := events.Decode(letter.Raw); err != nil || decodeErr != nil || e.PartitionKey != f.poison {
				t.Errorf("its bytes: %q, %v, %v", letter.Raw, err, decodeErr)
			}
			for key, n := range f.calls() {
				if n > c.most {
					t.Errorf("%q was called %d times, want at most %d", key, n, c.most)
				}
			}
		})
	}
}

// world is the services that functions run in.
type world struct {
	db                streamtest.DynamoDB
	kinesis           *awskinesis.Client
	host              functiontest.Host
	table, kinesisURL string
	code              []byte
	log               *lines
	deployed          sync.Mutex
	deployments       int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{db: streamtest.NewDynamoDB(t), log: &lines{}}
	server, err := kinesissandbox.New(kinesissandbox.Config{Transition: time.Millisecond})
	sandboxtest.Must(t, err)
	w.kinesisURL = sandboxtest.Serve(t, server)
	w.kinesis = awskinesis.NewFromConfig(sandboxtest.Config(t, w.kinesisURL))
	w.table = w.db.CreateTable(deadletter.TableInput)
	w.host = functiontest.Start(t, lambda.Config{
		Env: []string{"AWS_ENDPOINT_URL_KINESIS=" + w.kinesisURL, "AWS_ENDPOINT_URL_DYNAMODB=" + w.db.Endpoint},
		Log: w.log, PollInterval: 5 * time.Millisecond, RetryBackoff: time.Millisecond, RetryBackoffMax: 10 * time.Millisecond,
	})
	// The limit of memory is that of addresses: a runtime that is refused them ends.
	w.code = functiontest.Small(t, "sh -c 'ulimit -v 16777216; exec "+functiontest.Build(t, "./internal/fragile")+"'")
	return w
}

// deployment is a function with its stream, on which are 40 events, one of them a poison.
type deployment struct {
	*world
	name, poison string
	store        *deadletter.Store
	letters      []deadletter.Letter
}

func (w *world) deploy(t *testing.T, how string, timeout, batch int32, bisect bool) *deployment {
	t.Helper()
	w.deployed.Lock()
	w.deployments++
	f := &deployment{world: w, name: fmt.Sprint(how, w.deployments), store: deadletter.New(w.db.Client(nil), w.table)}
	w.deployed.Unlock()
	f.poison = how + " " + f.name
	stream := f.fillStream(t)
	_, err := w.host.Client.CreateFunction(t.Context(), &awslambda.CreateFunctionInput{
		FunctionName: &f.name, Role: aws.String("arn:aws:iam::000000000000:role/function"), Handler: aws.String("bootstrap"),
		Runtime: types.RuntimeProvidedal2023, Timeout: &timeout, Code: &types.FunctionCode{ZipFile: w.code},
		Environment: &types.Environment{Variables: map[string]string{
			"NAME": f.name, "DEAD_LETTER_TABLE": w.table, "ATTEMPTS": "2", "EVENT_SHARE": "200ms", "FUNCTION_TIMEOUT": fmt.Sprint(timeout, "s"), "MAPPING_RETRIES": "20",
		}},
	})
	sandboxtest.Must(t, err)
	_, err = w.host.Client.CreateEventSourceMapping(t.Context(), &awslambda.CreateEventSourceMappingInput{
		FunctionName: &f.name, EventSourceArn: &stream, StartingPosition: types.EventSourcePositionTrimHorizon,
		BatchSize: &batch, MaximumRetryAttempts: aws.Int32(20), BisectBatchOnFunctionError: &bisect,
		FunctionResponseTypes: []types.FunctionResponseType{types.FunctionResponseTypeReportBatchItemFailures},
	})
	sandboxtest.Must(t, err)
	return f
}

const eventsOnStream = 40

// fillStream returns the ARN of a stream. With batches of one event, the poison is the
// first.
func (f *deployment) fillStream(t *testing.T) string {
	t.Helper()
	_, err := f.kinesis.CreateStream(t.Context(), &awskinesis.CreateStreamInput{StreamName: &f.name, ShardCount: aws.Int32(1)})
	sandboxtest.Must(t, err)
	in := &awskinesis.DescribeStreamInput{StreamName: &f.name}
	out, err := awskinesis.NewStreamExistsWaiter(f.kinesis, func(o *awskinesis.StreamExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 5*time.Millisecond, 50*time.Millisecond
	}).WaitForOutput(t.Context(), in, time.Minute)
	sandboxtest.Must(t, err)
	put := &awskinesis.PutRecordsInput{StreamName: &f.name}
	for n := range eventsOnStream {
		key := fmt.Sprint("healthy ", f.name, " ", n)
		if n == 23 {
			key = f.poison
		}
		put.Records = append(put.Records, kinesistypes.PutRecordsRequestEntry{
			PartitionKey: &key, Data: streamtest.Data(t, streamtest.Event(t, placed{Customer: key})),
		})
	}
	_, err = f.kinesis.PutRecords(t.Context(), put)
	sandboxtest.Must(t, err)
	return *out.StreamDescription.StreamARN
}

// awaitEnd waits until the poison is a dead letter and all other events were handled.
func (f *deployment) awaitEnd(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		page, err := f.store.List(t.Context(), f.name, deadletter.ListOptions{})
		sandboxtest.Must(t, err)
		if f.letters = page.Letters; len(f.letters) > 0 && len(f.calls()) == eventsOnStream {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d dead letters, %d of %d events were handled; the functions say:\n%s", len(f.letters), len(f.calls()), eventsOnStream, f.log)
		}
	}
}

// calls are how often the handler was called, by key.
func (f *deployment) calls() map[string]int {
	calls := map[string]int{}
	for line := range strings.Lines(f.log.String()) {
		if _, key, ok := strings.Cut(line, `"msg":"called"`); ok && strings.HasPrefix(line, f.name+": ") {
			_, key, _ = strings.Cut(key, `"key":"`)
			key, _, _ = strings.Cut(key, `"`)
			calls[key]++
		}
	}
	return calls
}

// lines is what functions print.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
