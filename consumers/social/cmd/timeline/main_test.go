package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	awsevents "github.com/aws/aws-lambda-go/events"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/consumers/function"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is the function's environment.
type fixture struct {
	t    *testing.T
	db   streamtest.DynamoDB
	vars map[string]string
	log  bytes.Buffer
}

func newFixture(t *testing.T) (*fixture, *streamtest.Queue) {
	db, queue := streamtest.NewDynamoDB(t), streamtest.NewQueue(t)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_DYNAMODB": db.Endpoint, "AWS_ENDPOINT_URL_SQS": queue.Endpoint, "AWS_REGION": "us-east-1",
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	} {
		t.Setenv(name, value)
	}
	f := &fixture{t: t, db: db, vars: map[string]string{
		tableVariable: db.CreateTable(timeline.TableInput), "DEAD_LETTER_TABLE": db.CreateTable(deadletter.TableInput),
		queueVariable: queue.URL, thresholdVariable: "700",
	}}
	return f, queue
}

func (f *fixture) start() *function.Function {
	f.t.Helper()
	fn, err := function.New(f.t.Context(), spec(), func(name string) string { return f.vars[name] }, &bytes.Buffer{}, &f.log)
	if err != nil {
		f.t.Fatal(err)
	}
	return fn
}

func (f *fixture) invoke(fn *function.Function, payload any) string {
	f.t.Helper()
	in, err := json.Marshal(payload)
	if err != nil {
		f.t.Fatal(err)
	}
	out, err := fn.Invoke(f.t.Context(), in)
	if err != nil {
		f.t.Fatal(err)
	}
	answer, err := json.Marshal(out)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(answer)
}

// publish lets followers follow ada, who publishes then.
func (f *fixture) publish(fn *function.Function, followers int) {
	f.t.Helper()
	var e awsevents.KinesisEvent
	add := func(n int, p events.Payload) {
		event := streamtest.Event(f.t, p)
		e.Records = append(e.Records, streamtest.Record(n, event.PartitionKey, streamtest.Data(f.t, event)))
		e.Records[len(e.Records)-1].EventSource = "aws:kinesis"
	}
	for i := range followers {
		add(i+1, social.RelationshipFollowed{FollowerID: fmt.Sprintf("fan-%03d", i), FolloweeID: "ada", At: streamtest.Start})
	}
	if answer := f.invoke(fn, e); answer != `{"batchItemFailures":[]}` {
		f.t.Fatalf("answered %s: %s", answer, &f.log)
	}
	e.Records = nil
	add(followers+1, social.PostPublished{PostID: "p1", AuthorID: "ada", Text: "hello", PublishedAt: streamtest.Start})
	if answer := f.invoke(fn, e); answer != `{"batchItemFailures":[]}` {
		f.t.Fatalf("answered %s: %s", answer, &f.log)
	}
}

// expect checks how many posts a user sees.
func (f *fixture) expect(user string, posts int) {
	f.t.Helper()
	p, err := timeline.NewReader(f.db.Client(nil), f.vars[tableVariable]).Read(f.t.Context(), user, "", 0)
	if err != nil || len(p.Items) != posts {
		f.t.Errorf("%s sees %v, want %d posts (%v)", user, p.Items, posts, err)
	}
}

func message(id, body string) awsevents.SQSEvent {
	return awsevents.SQSEvent{Records: []awsevents.SQSMessage{{MessageId: id, Body: body, EventSource: "aws:sqs"}}}
}

// TestFunctionContinuesOverItsQueue: the stream's invocation writes a page of entries, the
// queue's the rest; a message of somebody else is reported, and goes where the queue's
// redrive policy says.
func TestFunctionContinuesOverItsQueue(t *testing.T) {
	f, queue := newFixture(t)
	fn := f.start()
	f.publish(fn, 650)
	f.expect("fan-000", 1)
	f.expect("fan-649", 0)
	idle := make(chan struct{})
	close(idle)
	queue.Consume(0, false, idle, func(_ context.Context, body []byte) error {
		if answer := f.invoke(fn, message("m", string(body))); answer != `{"batchItemFailures":[]}` {
			return fmt.Errorf("answered %s", answer)
		}
		return nil
	})
	f.expect("fan-649", 1)
	if answer := f.invoke(fn, message("odd", "no continuation")); answer != `{"batchItemFailures":[{"itemIdentifier":"odd"}]}` {
		t.Errorf("a message of somebody else is answered by %s", answer)
	}
}

func TestInvalidThreshold(t *testing.T) {
	for _, text := range []string{"0", "-1", "many", "99999999999"} {
		_, err := newHandler(function.Env{Getenv: func(name string) string { return map[string]string{thresholdVariable: text}[name] }})
		if err == nil || !strings.Contains(err.Error(), thresholdVariable) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
