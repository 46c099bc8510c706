package sqsloop_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5" // as SQS has it
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/banyan-fig/banyan/infra/ops/function"
	"github.com/banyan-fig/banyan/infra/ops/sqsloop"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

// answers are Amazon's services by the answers they give, for what the sandbox
// does not do: other regions, connections that hang, answers with gaps.
type answers struct {
	mu       sync.Mutex
	messages []string                            // ids of those to receive next, at once
	receives int                                 // how often they were
	by       map[string]func(body []byte) string // operation
	hangs    string                              // operation
	slow     time.Duration                       // of the handler
	within   time.Duration                       // the time of a turn; 0: 5 minutes
	asked    map[string]string                   // host and region signed for, by operation
	payloads []events.SQSEvent                   // that the handler was given
	started  []string                            // turns, by the function that was invoked
}

// Do is the HTTP client.
func (a *answers) Do(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	operation := path.Base(r.URL.Path) // invocations
	if _, op, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		operation = op
	}
	if operation == a.hangs {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	event := r.Header.Get("X-Amz-Invocation-Type") == "Event"
	if operation == "invocations" && !event {
		time.Sleep(a.slow)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.note(operation, r)
	answer := a.answer(operation, path.Base(path.Dir(r.URL.Path)), event, body)
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, Request: r, Body: io.NopCloser(strings.NewReader(answer)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

func (a *answers) note(operation string, r *http.Request) {
	scope := strings.Split(r.Header.Get("Authorization"), "/")
	a.asked[operation] = r.URL.Host + " " + scope[2]
}

func (a *answers) answer(operation, name string, event bool, body []byte) string {
	if answer := a.by[operation]; answer != nil {
		return answer(body)
	}
	switch {
	case operation == "ReceiveMessage":
		var out []map[string]any
		for _, id := range a.messages {
			out = append(out, map[string]any{
				"MessageId": id, "ReceiptHandle": "r-" + id, "Body": id, "MD5OfBody": fmt.Sprintf("%x", md5.Sum([]byte(id))),
				"Attributes": map[string]string{"ApproximateReceiveCount": fmt.Sprint(a.receives)},
			})
		}
		a.messages = nil
		text, _ := json.Marshal(map[string]any{"Messages": out})
		return string(text)
	case operation == "DeleteMessageBatch":
		return `{"Successful":[{"Id":"0"}]}`
	case operation == "SendMessage":
		var in struct{ MessageBody string }
		_ = json.Unmarshal(body, &in)
		return fmt.Sprintf(`{"MessageId":"x","MD5OfMessageBody":"%x"}`, md5.Sum([]byte(in.MessageBody)))
	case event:
		a.started = append(a.started, name)
	case operation == "invocations":
		var batch events.SQSEvent
		_ = json.Unmarshal(body, &batch)
		a.payloads = append(a.payloads, batch)
	}
	return `{}`
}

// turn is one invocation of the polling function, in us-east-1, with the queue.
// It returns what was logged.
func (a *answers) turn(t *testing.T, queue string) string {
	t.Helper()
	a.asked = map[string]string{}
	var log bytes.Buffer
	env := map[string]string{"LOOP_QUEUES": "[" + queue + "]", "RECURSE_AFTER": "0s"}
	poll, err := sqsloop.Poll(function.Parts{
		AWS: aws.Config{
			Region: "us-east-1", HTTPClient: a, RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
		},
		Getenv: func(name string) string { return env[name] }, Logger: slog.New(slog.NewJSONHandler(&log, nil)), Metrics: emf.New(io.Discard, "N"),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var q struct{ Queue string }
	if err := json.Unmarshal([]byte(queue), &q); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{InvokedFunctionArn: "sqsloop:live"}),
		cmp.Or(a.within, 5*time.Minute))
	defer cancel()
	if err := poll.(func(context.Context, sqsloop.Turn) error)(ctx, sqsloop.Turn{Queue: q.Queue, Token: "t", Loop: "l"}); err != nil {
		t.Error(err)
	}
	return log.String()
}

// Loops are for queues of other regions, among others: each request goes to its
// queue's region, and only those to the queues do.
func TestAQueueOfAnotherRegion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{messages: []string{"m"}, receives: 3, slow: 30 * time.Second}
		queue := `{"queue":"https://sqs.eu-west-1.amazonaws.com/123456789012/mail","handler":"send"}`
		if log := a.turn(t, queue); strings.Contains(log, "WARN") {
			t.Error(log)
		}
		for operation, want := range map[string]string{
			"ReceiveMessage": "sqs.eu-west-1.amazonaws.com eu-west-1", "ChangeMessageVisibilityBatch": "sqs.eu-west-1.amazonaws.com eu-west-1",
			"DeleteMessageBatch": "sqs.eu-west-1.amazonaws.com eu-west-1",
			"UpdateItem":         "dynamodb.us-east-1.amazonaws.com us-east-1", "invocations": "lambda.us-east-1.amazonaws.com us-east-1",
		} {
			if got := a.asked[operation]; got != want {
				t.Errorf("%s went to %q, want %q", operation, got, want)
			}
		}
		if m := a.payloads[0].Records[0]; m.AWSRegion != "eu-west-1" || m.EventSourceARN != "arn:aws:sqs:eu-west-1:123456789012:mail" {
			t.Errorf("the handler was told %s, %s", m.AWSRegion, m.EventSourceARN)
		}
	})
}

// A poll on a connection that hangs is given up. The loop would send heartbeats
// all the while, so that nobody would replace it.
func TestAPollThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{hangs: "ReceiveMessage"}
		began := time.Now()
		log := a.turn(t, `{"queue":"https://sqs.us-east-1.amazonaws.com/123456789012/mail","handler":"send"}`)
		if took := time.Since(began); took > 45*time.Second || len(a.started) != 1 || !strings.Contains(log, "poll https://sqs") {
			t.Errorf("after %s, %d turns were started: %s", took, len(a.started), log)
		}
	})
}

// A request to hide messages that hangs leaves time for another before they are
// seen by others.
func TestHidingThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{messages: []string{"m"}, slow: 58 * time.Second, hangs: "ChangeMessageVisibilityBatch"}
		log := a.turn(t, `{"queue":"https://sqs.us-east-1.amazonaws.com/123456789012/mail","handler":"send"}`)
		if n := strings.Count(log, "hide messages"); n != 1 || len(a.started) != 1 {
			t.Errorf("%d attempts to hide were given up, %d turns started: %s", n, len(a.started), log)
		}
	})
}

// What SQS may leave out of its answers harms nobody, and what it says is told.
func TestAnswersWithGaps(t *testing.T) {
	for name, c := range map[string]struct{ operation, answer, want string }{
		"hiding fails without a message": {"ChangeMessageVisibilityBatch", `{"Failed":[{"Id":"0","Code":"InternalError","SenderFault":false}]}`,
			"for longer: InternalError"},
		"deleting fails by our own fault": {"DeleteMessageBatch", `{"Failed":[{"Id":"0","Code":"ReceiptHandleIsInvalid","SenderFault":true}]}`,
			"are redelivered: ReceiptHandleIsInvalid"},
		"deleting fails without a message": {"DeleteMessageBatch", `{"Failed":[{"Id":"0","Code":"InternalError","SenderFault":false}]}`, "are redelivered: InternalError"},
		"deleting says nothing":            {"DeleteMessageBatch", `{}`, "are redelivered: the answer leaves"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &answers{messages: []string{"m"}, slow: 30 * time.Second}
				a.by = map[string]func([]byte) string{c.operation: func([]byte) string { return c.answer }}
				log := a.turn(t, `{"queue":"https://sqs.us-east-1.amazonaws.com/123456789012/mail","handler":"send"}`)
				if !strings.Contains(log, c.want) || strings.Contains(log, "nil") || len(a.started) != 1 {
					t.Errorf("%d turns were started; logged, without %q: %s", len(a.started), c.want, log)
				}
			})
		})
	}
}

// What could not be deleted through no fault of ours is deleted by the next
// attempt; the next turn is the same alias's.
func TestDeletingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, attempts := &answers{messages: []string{"m"}}, 0
		a.by = map[string]func([]byte) string{"DeleteMessageBatch": func([]byte) string {
			if attempts++; attempts < 3 {
				return `{"Failed":[{"Id":"0","Code":"InternalError","SenderFault":false}]}`
			}
			return `{"Successful":[{"Id":"0"}]}`
		}}
		log := a.turn(t, `{"queue":"https://sqs.us-east-1.amazonaws.com/123456789012/mail","handler":"send"}`)
		if attempts != 3 || log != "" || a.started[0] != "sqsloop:live" {
			t.Errorf("%d attempts, then %v: %s", attempts, a.started, log)
		}
	})
}

// A function with little time does not spend it on waiting for messages.
func TestPollsAreShorterThanTheTimeThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var in struct{ WaitTimeSeconds int }
		a := &answers{within: 9 * time.Second}
		a.by = map[string]func([]byte) string{"ReceiveMessage": func(body []byte) string { _ = json.Unmarshal(body, &in); return `{}` }}
		a.turn(t, `{"queue":"https://sqs.us-east-1.amazonaws.com/123456789012/mail","handler":"send"}`)
		if in.WaitTimeSeconds != 2 {
			t.Errorf("of 9s, a poll waits %ds", in.WaitTimeSeconds)
		}
	})
}

// Regions are found in every form of a queue's URL.
func TestAlarmFindsTheQueueOfItsRegion(t *testing.T) {
	for url, found := range map[string]bool{
		"https://sqs.us-east-1.amazonaws.com/000000000000/mail":                        true,
		"https://queue.amazonaws.com/000000000000/mail":                                true, // of old clients
		"https://us-east-1.queue.amazonaws.com/000000000000/mail":                      true,
		"https://sqs.us-east-1.api.aws/000000000000/mail":                              true,
		"https://vpce-0f-bl.sqs.us-east-1.vpce.amazonaws.com/000000000000/mail":        true,
		"http://127.0.0.1:4566/000000000000/mail":                                      true,
		"https://sqs.us-east-2.amazonaws.com/000000000000/mail":                        false,
		"https://sqs.cn-north-1.amazonaws.com.cn/000000000000/mail":                    false,
		"https://vpce-0f-us-east-1.sqs.eu-west-1.vpce.amazonaws.com/000000000000/mail": false,
		"https://sqs.us-east-1.amazonaws.com/111111111111/mail":                        false,
		"https://sqs.us-east-1.amazonaws.com/000000000000/mails":                       false,
	} {
		fleet := &sqsloop.Fleet{Queues: []sqsloop.Queue{{URL: url, Handler: "h", Stopped: true}}}
		changes, err := fleet.ScaleUp(t.Context(), alarmEvent("a", "OK", "ALARM", time.Now()))
		if err != nil || (changes[0].Action == "ignored") != found {
			t.Errorf("%s: %+v, %v, want it found: %t", url, changes, err, found)
		}
	}
}
