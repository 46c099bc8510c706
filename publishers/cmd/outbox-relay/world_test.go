package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/events"
	dynamosandbox "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	kinesissandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	lambdasandbox "github.com/banyan-fig/banyan/infra/sandbox/lambda"
	"github.com/banyan-fig/banyan/publishers/outboxtable"
	"github.com/banyan-fig/banyan/publishers/streamtest"
)

// asFunction makes this very program the function, so that what is deployed in
// the tests is what was compiled for them.
const asFunction = "OUTBOX_RELAY_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asFunction) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

const (
	table       = "outbox"
	letterTable = "letters"
	stream      = "facts"
)

// world is the function in a sandbox, woken by the stream of its table.
type world struct {
	*testing.T
	faults  *fault.Injector
	dynamo  *dynamodb.Client
	kinesis *awskinesis.Client
	lambda  *lambda.Client
	log     lockedBuffer
	schemas string // file that the function checks events by
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	faults, err := fault.New(fault.Plan{}, seed)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, faults: faults}
	kinesisURL, dynamoURL := w.serveKinesis(), w.serveDynamo()
	host, err := lambdasandbox.New(lambdasandbox.Config{
		Env: []string{
			"AWS_ENDPOINT_URL_KINESIS=" + kinesisURL, "AWS_ENDPOINT_URL_DYNAMODB=" + dynamoURL,
			"AWS_ENDPOINT_URL_DYNAMODB_STREAMS=" + dynamoURL,
		},
		Log: &w.log, Dir: t.TempDir(), PollInterval: 5 * time.Millisecond, RetryBackoff: 5 * time.Millisecond, RetryBackoffMax: 50 * time.Millisecond,
		Fault: func(string) fault.Fault { return faults.Draw("lambda", "Invoke", "") },
	})
	if err != nil {
		t.Fatal(err)
	}
	lambdaURL := serve(t, host)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if err := host.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	transport := &http.Transport{MaxIdleConnsPerHost: 32}
	t.Cleanup(transport.CloseIdleConnections)
	base := aws.Config{Region: "us-east-1", HTTPClient: &http.Client{Transport: transport}, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}
	w.dynamo = dynamodb.NewFromConfig(base, func(o *dynamodb.Options) { o.BaseEndpoint = &dynamoURL })
	w.kinesis = awskinesis.NewFromConfig(base, func(o *awskinesis.Options) { o.BaseEndpoint = &kinesisURL })
	w.lambda = lambda.NewFromConfig(base, func(o *lambda.Options) { o.BaseEndpoint = &lambdaURL })
	w.provision()
	return w
}

func serve(t *testing.T, h http.Handler) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func (w *world) serveKinesis() string {
	server, err := kinesissandbox.New(kinesissandbox.Config{Transition: time.Millisecond, Fault: func(operation, resource string) fault.Fault {
		return w.faults.Draw("kinesis", operation, resource)
	}})
	if err != nil {
		w.Fatal(err)
	}
	return serve(w.T, server)
}

func (w *world) serveDynamo() string {
	felt := map[fault.Kind]dynamosandbox.Fault{
		fault.Throttle: dynamosandbox.FaultThrottle, fault.Internal: dynamosandbox.FaultInternal, fault.Partial: dynamosandbox.FaultConflict,
		fault.TimeoutBefore: dynamosandbox.FaultTimeoutBefore, fault.TimeoutAfter: dynamosandbox.FaultTimeoutAfter,
	}
	return serve(w.T, dynamosandbox.New(dynamosandbox.Config{Fault: func(operation, resource string) dynamosandbox.Fault {
		return felt[w.faults.Draw("dynamodb", operation, resource).Kind]
	}}))
}

func (w *world) provision() {
	w.Helper()
	for _, in := range []*dynamodb.CreateTableInput{outboxtable.TableInput(table), deadletter.TableInput(letterTable)} {
		if _, err := w.dynamo.CreateTable(w.Context(), in); err != nil {
			w.Fatal(err)
		}
	}
	if _, err := w.kinesis.CreateStream(w.Context(), &awskinesis.CreateStreamInput{StreamName: aws.String(stream), ShardCount: aws.Int32(2)}); err != nil {
		w.Fatal(err)
	}
	exists := awskinesis.NewStreamExistsWaiter(w.kinesis, func(o *awskinesis.StreamExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 5*time.Millisecond, 50*time.Millisecond
	})
	if err := exists.Wait(w.Context(), &awskinesis.DescribeStreamInput{StreamName: aws.String(stream)}, time.Minute); err != nil {
		w.Fatal(err)
	}
}

// deploy makes the function and maps the table's stream to it.
func (w *world) deploy(timeout, lanes int32) {
	w.Helper()
	_, err := w.lambda.CreateFunction(w.Context(), &lambda.CreateFunctionInput{
		FunctionName: aws.String(name), Role: aws.String("arn:aws:iam::000000000000:role/banyan-relay"),
		Runtime: lambdatypes.RuntimeProvidedal2023, Handler: aws.String("bootstrap"), Timeout: &timeout,
		Code:        &lambdatypes.FunctionCode{ZipFile: w.code()},
		Environment: w.environment(),
	})
	if err != nil {
		w.Fatal(err)
	}
	out, err := w.dynamo.DescribeTable(w.Context(), &dynamodb.DescribeTableInput{TableName: aws.String(table)})
	if err != nil {
		w.Fatal(err)
	}
	_, err = w.lambda.CreateEventSourceMapping(w.Context(), &lambda.CreateEventSourceMappingInput{
		FunctionName: aws.String(name), EventSourceArn: out.Table.LatestStreamArn, StartingPosition: lambdatypes.EventSourcePositionTrimHorizon,
		BatchSize: aws.Int32(50), MaximumRetryAttempts: aws.Int32(-1), ParallelizationFactor: &lanes,
		FunctionResponseTypes: []lambdatypes.FunctionResponseType{lambdatypes.FunctionResponseTypeReportBatchItemFailures},
	})
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) environment() *lambdatypes.Environment {
	return &lambdatypes.Environment{Variables: map[string]string{
		asFunction: "yes", "OUTBOX_TABLE": table, "EVENTS_STREAM": stream, "DEAD_LETTER_TABLE": letterTable, "CLAIM": "5s", "SCHEMAS": w.schemas,
	}}
}

// invoke returns what the function answers.
func (w *world) invoke(payload string) string {
	w.Helper()
	out, err := w.lambda.Invoke(w.Context(), &lambda.InvokeInput{FunctionName: aws.String(name), Payload: []byte(payload)})
	if err != nil {
		w.Fatal(err)
	}
	return string(out.Payload)
}

// code is an archive whose bootstrap turns into this program.
func (w *world) code() []byte {
	w.Helper()
	self, err := os.Executable()
	if err != nil {
		w.Fatal(err)
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	h := &zip.FileHeader{Name: "bootstrap"}
	h.SetMode(0o755)
	f, err := z.CreateHeader(h)
	if err == nil {
		_, err = fmt.Fprintf(f, "#!/bin/sh\nexec %s\n", self)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		w.Fatal(err)
	}
	return b.Bytes()
}

func (w *world) plan(text string) {
	w.Helper()
	p, err := fault.Parse(text)
	if err == nil {
		err = w.faults.SetPlan(p)
	}
	if err != nil {
		w.Fatal(err)
	}
}

func event(key string, n int) events.Event {
	return events.Event{
		ID: fmt.Sprintf("%s-%d", key, n), Source: "/test", Type: "test.happened", Version: 1,
		Time: time.Now().UTC(), PartitionKey: key, Sequence: fmt.Sprintf("%020d", n), Data: json.RawMessage(fmt.Sprint(n)),
	}
}

// write commits event n of a key, unless it was: faults hit this, too.
func (w *world) write(key string, n int) {
	w.Helper()
	item, err := outboxtable.Item(table, event(key, n))
	if err != nil {
		w.Fatal(err)
	}
	// The token makes one write of all attempts.
	in := &dynamodb.TransactWriteItemsInput{ClientRequestToken: aws.String(event(key, n).ID), TransactItems: []types.TransactWriteItem{item}}
	for w.Context().Err() == nil {
		if _, err = w.dynamo.TransactWriteItems(w.Context(), in); err == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
	w.Errorf("write %s-%d: %v", key, n, err)
}

// empty waits until nothing is left in the outbox.
func (w *world) empty() {
	w.Helper()
	const patience = 3 * time.Minute
	left := -1
	for deadline := time.Now().Add(patience); left != 0; time.Sleep(10 * time.Millisecond) {
		out, err := w.dynamo.Scan(w.Context(), &dynamodb.ScanInput{TableName: aws.String(table), ConsistentRead: aws.Bool(true)})
		if err == nil {
			left = len(out.Items)
		}
		if time.Now().After(deadline) {
			w.Fatalf("after %v %d items are left in the outbox; the function says:\n%s", patience, left, w.log.tail())
		}
	}
}

// published is the numbers of the events on the stream, by key, from 0.
func (w *world) published() map[string][]int {
	w.Helper()
	told, err := streamtest.Read(w.Context(), w.kinesis, stream)
	if err != nil {
		w.Fatal(err)
	}
	all := map[string][]int{}
	for _, e := range told {
		n := 0
		if err := json.Unmarshal(e.Data, &n); err != nil {
			w.Fatal(err)
		}
		all[e.PartitionKey] = append(all[e.PartitionKey], n-1)
	}
	return all
}

// lockedBuffer keeps what the function prints.
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

func (l *lockedBuffer) tail() string {
	lines := strings.Split(l.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}
