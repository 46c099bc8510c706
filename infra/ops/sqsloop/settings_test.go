package sqsloop_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/infra/ops/sqsloop"
)

const amazonURL = "https://sqs.eu-west-1.amazonaws.com/123456789012/mail"

func TestParseQueues(t *testing.T) {
	queues, err := sqsloop.ParseQueues([]byte(`[{"queue": "` + amazonURL + `", "handler": "send"}]`))
	if err != nil {
		t.Fatal(err)
	}
	want := sqsloop.Queue{
		URL: amazonURL, Handler: "send", Min: 1, Max: 10, Batch: 10,
		Wait: 20 * time.Second, Visibility: time.Minute, StaleAfter: time.Minute,
	}
	if len(queues) != 1 || queues[0] != want {
		t.Errorf("%+v, want %+v", queues, want)
	}
}

func TestParseQueuesErrors(t *testing.T) {
	with := func(fields string) string {
		return `[{"queue": "` + amazonURL + `", "handler": "send"` + fields + `}]`
	}
	for text, want := range map[string]string{
		``:                                  "must be a JSON array",
		`[]`:                                "is empty",
		`{}`:                                "must be a JSON array",
		`[{"queue": "mail"}]`:               "of a queue: must look like",
		`[{"queue": "ftp://x/1/mail"}]`:     "of a queue: must look like",
		`[{"queue": "https://x/1/a/b"}]`:    "of a queue: must look like",
		`[{"queue": "https://x/1/a.fifo"}]`: "FIFO",
		with(`, "minimum": 3`):              "unknown field",
		with(`, "min": 5, "max": 4`):        "invalid min 5 and max 4",
		with(`, "min": -1`):                 "invalid min -1",
		with(`, "max": 5000`):               "at most 500",
		with(`, "batch": 11`):               "invalid batch 11",
		with(`, "wait_seconds": 21`):        "invalid wait 21s",
		with(`, "visibility_seconds": -1`):  "visibility",
		with(`, "stale_after_seconds": -5`): "invalid stale_after_seconds",
		with(`, "max_receives": 3`):         "unknown field",
		with(``) + `x`:                      "unexpected data",
		`[` + strings.Trim(with(``), "[]") + `,` + strings.Trim(with(``), "[]") + `]`: "listed twice",
	} {
		if _, err := sqsloop.ParseQueues([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error that says %q", text, err, want)
		}
	}
}

// FuzzParseQueues: what is taken is valid and complete.
func FuzzParseQueues(f *testing.F) {
	f.Add([]byte(`[{"queue": "` + amazonURL + `", "handler": "send", "max": 3, "visibility_seconds": 30}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		queues, err := sqsloop.ParseQueues(text)
		if err != nil {
			return
		}
		for _, q := range queues {
			if err := q.Validate(); err != nil || q.Min < 1 || q.Max < q.Min || q.StaleAfter <= 0 {
				t.Errorf("%+v: %v", q, err)
			}
		}
	})
}

func TestParseSettings(t *testing.T) {
	dir := t.TempDir()
	list := `[{"queue": "` + amazonURL + `", "handler": "send"}]`
	if err := os.WriteFile(filepath.Join(dir, "queues.json"), []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"LOOP_QUEUES": "file:queues.json", "LAMBDA_TASK_ROOT": dir, "LOOP_TABLE": "t", "LOOP_FUNCTION": "f", "RECURSE_AFTER": "0s"}
	get := func(name string) string { return env[name] }
	if s, err := sqsloop.ParseSettings(get); err != nil || len(s.Queues) != 1 || s.Table != "t" || s.Function != "f" || s.RecurseAfter >= 0 {
		t.Errorf("%+v, %v", s, err)
	}
	env["LOOP_QUEUES"] = ""
	if _, err := sqsloop.ParseSettings(get); err == nil || !strings.Contains(err.Error(), "LOOP_QUEUES: it is not set") {
		t.Errorf("%v", err)
	}
	env["LOOP_QUEUES"], env["RECURSE_AFTER"] = "file:none.json", "20m"
	if _, err := sqsloop.ParseSettings(get); err == nil || !strings.Contains(err.Error(), "none.json") || !strings.Contains(err.Error(), "RECURSE_AFTER") {
		t.Errorf("%v", err)
	}
}

func TestParseAlarm(t *testing.T) {
	at := time.Date(2026, 11, 22, 1, 2, 3, 4e6, time.UTC)
	sns := alarmEvent("depth", "OK", "ALARM", at).Records[0].SNS
	a, err := sqsloop.ParseAlarm(sns)
	if err != nil {
		t.Fatal(err)
	}
	if a.Queue != "mail" || a.Account != "000000000000" || a.Region != "us-east-1" || !a.Changed.Equal(at) || a.New != "ALARM" || a.Old != "OK" {
		t.Errorf("%+v", a)
	}
	if url := a.QueueURL(); url != "https://sqs.us-east-1.amazonaws.com/000000000000/mail" {
		t.Error(url)
	}
	metrics := strings.Replace(sns.Message, `"Dimensions":[{"name":"QueueName","value":"mail"}]`,
		`"Metrics":[{"Id":"m1","MetricStat":{"Metric":{"Dimensions":[{"value":"mail","name":"QueueName"}]},"Stat":"Maximum","Period":60}}]`, 1)
	if metrics == sns.Message {
		t.Fatal("the notification has changed")
	}
	if a, err := sqsloop.ParseAlarm(events.SNSEntity{Message: metrics}); err != nil || a.Queue != "mail" {
		t.Errorf("an alarm on an expression: %+v, %v", a, err)
	}
	for text, want := range map[string]string{
		"hello": "not of an alarm",
		"{}":    "not of an alarm",
		strings.Replace(sns.Message, "QueueName", "TopicName", 1):                         "QueueName",
		strings.Replace(sns.Message, "2026-11-22T", "yesterday", 1):                       "StateChangeTime",
		strings.Replace(sns.Message, "arn:aws:cloudwatch:us-east-1:000000000000", "-", 1): "region",
	} {
		if _, err := sqsloop.ParseAlarm(events.SNSEntity{Message: text}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error that says %q", text, err, want)
		}
	}
}

// FuzzParseAlarm: what is taken names a queue and an instant.
func FuzzParseAlarm(f *testing.F) {
	f.Add(alarmEvent("depth", "OK", "ALARM", time.Unix(1e9, 0)).Records[0].SNS.Message)
	f.Fuzz(func(t *testing.T, message string) {
		a, err := sqsloop.ParseAlarm(events.SNSEntity{Message: message})
		if err == nil && (a.ID == "" || a.Queue == "" || a.Region == "" || a.Account == "" || a.Changed.IsZero()) {
			t.Errorf("%+v", a)
		}
	})
}

// Notifications that are not for these loops do nothing, and are no error that
// would be retried.
func TestIgnoredNotifications(t *testing.T) {
	at := time.Now()
	other := alarmEvent("depth", "OK", "ALARM", at)
	other.Records[0].SNS.Message = strings.Replace(other.Records[0].SNS.Message, `"value":"mail"`, `"value":"other"`, 1)
	far := alarmEvent("depth", "OK", "ALARM", at)
	far.Records[0].SNS.Message = strings.Replace(far.Records[0].SNS.Message, "cloudwatch:us-east-1", "cloudwatch:eu-west-1", 1)
	fleet := &sqsloop.Fleet{Queues: []sqsloop.Queue{{URL: "https://sqs.us-east-1.amazonaws.com/000000000000/mail", Handler: "h"}}}
	for name, c := range map[string]struct {
		event  events.SNSEvent
		up     bool
		action string
	}{
		"another queue":              {other, true, "misdirected"},
		"another region":             {far, true, "misdirected"},
		"no alarm":                   {events.SNSEvent{Records: []events.SNSEventRecord{{}}}, true, "misdirected"},
		"no notification":            {events.SNSEvent{}, true, "misdirected"},
		"OK to the scale-up":         {alarmEvent("a", "ALARM", "OK", at), true, "ignored"},
		"ALARM to the scale-down":    {alarmEvent("a", "OK", "ALARM", at), false, "ignored"},
		"INSUFFICIENT_DATA to OK":    {alarmEvent("a", "INSUFFICIENT_DATA", "OK", at), false, "ignored"},
		"ALARM to INSUFFICIENT_DATA": {alarmEvent("a", "ALARM", "INSUFFICIENT_DATA", at), false, "ignored"},
	} {
		scale := fleet.ScaleDown
		if c.up {
			scale = fleet.ScaleUp
		}
		changes, err := scale(t.Context(), c.event) // it has no table: it would panic
		if err != nil || len(changes) != 1 || changes[0].Action != c.action || changes[0].Why == "" {
			t.Errorf("%s: %+v, %v", name, changes, err)
		}
	}
}

// invoker answers invocations.
type invoker func(in *lambda.InvokeInput) (*lambda.InvokeOutput, error)

func (f invoker) Invoke(_ context.Context, in *lambda.InvokeInput, _ ...func(*lambda.Options)) (*lambda.InvokeOutput, error) {
	return f(in)
}

// Lambda's own detection of recursion is named with the way out, and not retried.
func TestRecursionIsStopped(t *testing.T) {
	calls := 0
	f := sqsloop.Function{Name: "sqsloop", Client: invoker(func(*lambda.InvokeInput) (*lambda.InvokeOutput, error) {
		calls++
		return nil, &types.RecursiveInvocationException{Message: aws.String("stopped")}
	})}
	err := f.Start(t.Context(), sqsloop.Turn{Queue: "q", Token: "t", Loop: "l"})
	var recursive *types.RecursiveInvocationException
	if !errors.As(err, &recursive) || !strings.Contains(err.Error(), "Allow") || calls != 1 {
		t.Errorf("%d calls: %v", calls, err)
	}
}

// A batch beyond what Lambda takes is sent in parts; a part that fails fails
// alone.
func TestForwardInParts(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	var batch events.SQSEvent
	for _, id := range strings.Split("abcdefghij", "") {
		batch.Records = append(batch.Records, events.SQSMessage{MessageId: id, Body: big})
	}
	sizes := 0
	client := invoker(func(in *lambda.InvokeInput) (*lambda.InvokeOutput, error) {
		if len(in.Payload) > 6<<20 {
			t.Errorf("%d bytes in one invocation", len(in.Payload))
		}
		var part events.SQSEvent
		if err := json.Unmarshal(in.Payload, &part); err != nil {
			t.Error(err)
		}
		sizes += len(part.Records)
		if part.Records[0].MessageId == "a" {
			return &lambda.InvokeOutput{FunctionError: aws.String("Unhandled"), Payload: []byte(`{}`)}, nil
		}
		return &lambda.InvokeOutput{Payload: []byte(`{"batchItemFailures":[{"itemIdentifier":"j"}]}`)}, nil
	})
	out, err := sqsloop.Forward(client, "send")(t.Context(), batch)
	if err != nil || sizes != 10 || len(out.BatchItemFailures) != 6 {
		t.Errorf("%d messages sent, %v, %v", sizes, out, err)
	}
}

// A handler that is throttled holds the batch, and is not blamed for it.
func TestForwardWaitsWhileThrottled(t *testing.T) {
	calls := 0
	client := invoker(func(*lambda.InvokeInput) (*lambda.InvokeOutput, error) {
		if calls++; calls < 3 {
			return nil, &types.TooManyRequestsException{Message: aws.String(http.StatusText(http.StatusTooManyRequests))}
		}
		return &lambda.InvokeOutput{Payload: []byte("null")}, nil
	})
	if _, err := sqsloop.Forward(client, "send")(t.Context(), events.SQSEvent{}); err != nil || calls != 3 {
		t.Errorf("%d calls, %v", calls, err)
	}
}
