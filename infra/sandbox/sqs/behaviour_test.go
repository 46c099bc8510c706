package sqs_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/sqs"
)

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a server on a clock, with one queue.
type world struct {
	*clock
	client *sqs.Client
	queue  *string
}

func newWorld(t *testing.T, cfg sandbox.Config, attributes map[string]string) *world {
	t.Helper()
	w := &world{clock: newClock()}
	cfg.Now = w.Now
	w.client = serve(t, cfg)
	w.queue = w.create(t, "q", attributes)
	return w
}

func (w *world) create(t *testing.T, name string, attributes map[string]string) *string {
	t.Helper()
	out, err := w.client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	must(t, err)
	return out.QueueUrl
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) send(t *testing.T, body string) error {
	t.Helper()
	_, err := w.client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: w.queue, MessageBody: &body})
	return err
}

func (w *world) receive(t *testing.T, queue *string) []types.Message {
	t.Helper()
	out, err := w.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queue, MaxNumberOfMessages: 10,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"}})
	must(t, err)
	return out.Messages
}

func (w *world) delete(t *testing.T, m types.Message) {
	t.Helper()
	_, err := w.client.DeleteMessageBatch(t.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: w.queue,
		Entries: []types.DeleteMessageBatchRequestEntry{{Id: aws.String("a"), ReceiptHandle: m.ReceiptHandle}}})
	must(t, err)
}

func bodies(messages []types.Message) []string {
	out := []string{}
	for _, m := range messages {
		out = append(out, *m.Body)
	}
	return out
}

func wantBodies(t *testing.T, what string, got []types.Message, want ...string) {
	t.Helper()
	if !slices.Equal(bodies(got), append([]string{}, want...)) {
		t.Errorf("%s: %q, want %q", what, bodies(got), want)
	}
}

func TestVisibilityTimesOut(t *testing.T) {
	w := newWorld(t, sandbox.Config{}, map[string]string{"VisibilityTimeout": "30"})
	must(t, w.send(t, "x"))
	first := w.receive(t, w.queue)
	wantBodies(t, "at first", first, "x")
	w.advance(30*time.Second - time.Millisecond)
	wantBodies(t, "before the timeout", w.receive(t, w.queue))
	if failed := w.changeVisibility(t, first[0], 60); len(failed) > 0 {
		t.Errorf("failed %+v", failed)
	}
	w.advance(time.Minute - time.Millisecond)
	wantBodies(t, "before the longer timeout", w.receive(t, w.queue))
	w.advance(time.Millisecond)
	again := w.receive(t, w.queue)
	wantBodies(t, "after it", again, "x")
	if again[0].Attributes["ApproximateReceiveCount"] != "2" ||
		again[0].Attributes["ApproximateFirstReceiveTimestamp"] != strconv.FormatInt(newClock().now.UnixMilli(), 10) {
		t.Errorf("attributes %v", again[0].Attributes)
	}
	w.advance(time.Minute)
	if failed := w.changeVisibility(t, again[0], 60); len(failed) != 1 || !strings.HasSuffix(*failed[0].Code, "MessageNotInflight") {
		t.Errorf("a message that is visible again: %+v", failed)
	}
}

func (w *world) changeVisibility(t *testing.T, m types.Message, seconds int32) []types.BatchResultErrorEntry {
	t.Helper()
	out, err := w.client.ChangeMessageVisibilityBatch(t.Context(), &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: w.queue,
		Entries: []types.ChangeMessageVisibilityBatchRequestEntry{{Id: aws.String("a"), ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: seconds}}})
	must(t, err)
	return out.Failed
}

func TestMessagesExpire(t *testing.T) {
	w := newWorld(t, sandbox.Config{}, map[string]string{"MessageRetentionPeriod": "60"})
	must(t, w.send(t, "old"))
	w.advance(59 * time.Second)
	must(t, w.send(t, "young"))
	w.advance(time.Second)
	wantBodies(t, "after a minute", w.receive(t, w.queue), "young")
}

// TestDeadLettersKeepTheirStory: the id, the source and the age stay.
func TestDeadLettersKeepTheirStory(t *testing.T) {
	w := newWorld(t, sandbox.Config{}, nil)
	dead := w.create(t, "dead", nil)
	w.queue = w.create(t, "queue", map[string]string{
		"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":3}`, "VisibilityTimeout": "1"})
	must(t, w.send(t, "poison"))
	for range 3 {
		wantBodies(t, "a receive that counts", w.receive(t, w.queue), "poison")
		w.advance(time.Second)
	}
	wantBodies(t, "the fourth", w.receive(t, w.queue))
	got := w.receive(t, dead)
	wantBodies(t, "the dead letters", got, "poison")
	if got[0].Attributes["DeadLetterQueueSourceArn"] != "arn:aws:sqs:us-east-1:000000000000:queue" ||
		got[0].Attributes["SentTimestamp"] != strconv.FormatInt(newClock().now.UnixMilli(), 10) {
		t.Errorf("attributes %v", got[0].Attributes)
	}
}

// TestFullQueueRefuses: nothing is lost silently.
func TestFullQueueRefuses(t *testing.T) {
	w := newWorld(t, sandbox.Config{MaxQueueBytes: 1 << 20}, nil)
	quarter := strings.Repeat("x", 256<<10)
	for range 4 {
		must(t, w.send(t, quarter))
	}
	if _, ok := errors.AsType[*types.OverLimit](w.send(t, "x")); !ok {
		t.Error("a full queue takes more")
	}
	w.delete(t, w.receive(t, w.queue)[0])
	must(t, w.send(t, "x"))
}

func faulty(t *testing.T, plan string) (*world, *fault.Injector) {
	t.Helper()
	p, err := fault.Parse(plan)
	must(t, err)
	in, err := fault.New(p, 1)
	must(t, err)
	in.Switch(false)
	w := newWorld(t, sandbox.Config{Fault: func(op, queue string) fault.Fault { return in.Draw("sqs", op, queue) }}, nil)
	in.Switch(true)
	return w, in
}

// TestDuplicate: a delete that succeeded is no end of the message, once.
func TestDuplicate(t *testing.T) {
	w, in := faulty(t, "sqs.ReceiveMessage duplicate=1")
	must(t, w.send(t, "x"))
	first := w.receive(t, w.queue)
	in.Switch(false)
	w.delete(t, first[0])
	again := w.receive(t, w.queue)
	wantBodies(t, "after the delete", again, "x")
	w.delete(t, again[0])
	w.advance(time.Hour)
	wantBodies(t, "after the second delete", w.receive(t, w.queue))
}

func TestLate(t *testing.T) {
	w, _ := faulty(t, "delay 5s; sqs.SendMessage late=1")
	must(t, w.send(t, "x"))
	wantBodies(t, "at once", w.receive(t, w.queue))
	w.advance(5 * time.Second)
	wantBodies(t, "after the delay", w.receive(t, w.queue), "x")
}

func TestPartialBatch(t *testing.T) {
	w, _ := faulty(t, "sqs.SendMessageBatch partial=1")
	var entries []types.SendMessageBatchRequestEntry
	for i := range 8 {
		entries = append(entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(strconv.Itoa(i))})
	}
	out, err := w.client.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: w.queue, Entries: entries})
	must(t, err)
	var sent []string
	for _, e := range out.Successful {
		sent = append(sent, *e.Id)
	}
	if len(out.Failed) == 0 || len(out.Failed)+len(sent) != 8 || out.Failed[0].SenderFault {
		t.Errorf("%d failed, %d sent: %+v", len(out.Failed), len(sent), out.Failed)
	}
	wantBodies(t, "what was sent", w.receive(t, w.queue), sent...)
}

// TestLongPollEndsWithItsClient: who goes away does not take a message along.
func TestLongPollEndsWithItsClient(t *testing.T) {
	server, err := sandbox.New(sandbox.Config{})
	must(t, err)
	polled := make(chan struct{}, 4) // a poll has ended in the server
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	client := client(t, sandboxtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		poll := strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".ReceiveMessage")
		if poll {
			time.AfterFunc(200*time.Millisecond, leave)
		}
		server.ServeHTTP(w, r)
		if poll {
			polled <- struct{}{}
		}
	})))
	queue, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q")})
	must(t, err)
	if _, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, WaitTimeSeconds: 20}); err == nil {
		t.Error("a poll went on without its client")
	}
	<-polled
	_, err = client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: queue.QueueUrl, MessageBody: aws.String("x")})
	must(t, err)
	out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, WaitTimeSeconds: 2})
	must(t, err)
	wantBodies(t, "the message", out.Messages, "x")
}

func TestNotImplementedIsSaid(t *testing.T) {
	w := newWorld(t, sandbox.Config{}, nil)
	trace := map[string]types.MessageSystemAttributeValue{"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String("Root=1")}}
	_, err := w.client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: w.queue, MessageBody: aws.String("x"), MessageSystemAttributes: trace})
	if err == nil || !strings.Contains(err.Error(), "not implemented by the sandbox: system attributes of messages") {
		t.Errorf("a message with a system attribute: %v", err)
	}
	_, err = w.client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q.fifo"),
		Attributes: map[string]string{"FifoQueue": "true", "DeduplicationScope": "messageGroup"}})
	if _, ok := errors.AsType[*types.UnsupportedOperation](err); !ok || !strings.Contains(err.Error(), "not implemented by the sandbox") {
		t.Errorf("high throughput: %v", err)
	}
}

// FuzzCalls: whatever a client sends, it gets an answer in JSON and never the
// sandbox's own failure.
func FuzzCalls(f *testing.F) {
	f.Add("SendMessage", `{"QueueUrl":"http://x/q","MessageBody":"\ud800","MessageAttributes":{"a":{"DataType":"Binary","BinaryValue":"eA=="}}}`)
	f.Add("SendMessageBatch", `{"QueueUrl":"q","Entries":[{"Id":"a","MessageBody":"x"},{"Id":"a"}]}`)
	f.Add("ReceiveMessage", `{"QueueUrl":"q","MaxNumberOfMessages":10,"VisibilityTimeout":0}`)
	f.Add("DeleteMessageBatch", `{"QueueUrl":"q","Entries":[{"Id":"a","ReceiptHandle":"cS94LzE="}]}`)
	f.Add("CreateQueue", `{"QueueName":"r","Attributes":{"RedrivePolicy":"{\"maxReceiveCount\":\"x\"}"}}`)
	f.Fuzz(func(t *testing.T, operation, body string) {
		if operation == "ReceiveMessage" && strings.Contains(strings.ToLower(body), "wait") {
			return // would only wait
		}
		server, err := sandbox.New(sandbox.Config{})
		must(t, err)
		call(t, server, "CreateQueue", `{"QueueName":"q"}`)
		call(t, server, "SendMessage", `{"QueueUrl":"q","MessageBody":"x"}`)
		if w := call(t, server, operation, body); w.Code >= 500 {
			t.Errorf("%s %s: %d %s", operation, body, w.Code, w.Body)
		}
	})
}

func call(t *testing.T, server http.Handler, operation, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", sandbox.Target+"."+operation)
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
		t.Errorf("%s %s: answer %q", operation, body, w.Body)
	}
	return w
}
