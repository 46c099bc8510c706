package main

import (
	"encoding/json"
	"io"
	"net/url"
	"strings"
	"testing"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/banyan-fig/banyan/consumers/archive"
	"github.com/banyan-fig/banyan/consumers/function"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/s3test"
)

const schemas = "../../../events/social/testdata/asyncapi.json"

// TestFunction: a notification of a new object makes its rows, directly or through a queue;
// others are passed over, and what is no notification fails.
func TestFunction(t *testing.T) {
	client := s3test.Start(t, nil)
	bucket := s3test.Bucket(t, client)
	from, to := archive.NewS3(client, bucket, "archive/my events"), archive.NewS3(client, bucket, "rows")
	e := streamtest.Event(t, social.UserJoined{UserID: "ada", Name: "Ada", JoinedAt: streamtest.Start})
	batch := awsevents.KinesisEvent{Records: []awsevents.KinesisEventRecord{streamtest.Record(1, "ada", streamtest.Data(t, e))}}
	if _, err := (&archive.Writer{Store: from}).HandleKinesis(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	var object string
	for name, err := range archive.Objects(t.Context(), from, archive.Range{}) {
		if err != nil {
			t.Fatal(err)
		}
		object = "archive/my events/" + name
	}
	f := newFunction(t, aws.ToString(client.Options().BaseEndpoint), map[string]string{
		"SCHEMAS": schemas, "ARCHIVE": from.String(), "WAREHOUSE": to.String(),
	})
	for _, test := range []struct {
		name, payload string
		rows          int
		says          string // of an error, or a failed message of a queue
	}{
		{"another folder", notification(bucket, "archive/my events/manifests/x"), 0, ""},
		{"another bucket", notification("other", object), 0, ""},
		{"the test of a queue", queued(`{"Service":"Amazon S3","Event":"s3:TestEvent"}`), 0, ""},
		{"a queue with something else", queued(`{"id":1}`), 0, `"m1"`},
		{"a missing object", notification(bucket, strings.Replace(object, "2016", "2017", 1)), 0, "not found"},
		{"a stream", `{"Records":[{"eventSource":"aws:kinesis"}]}`, 0, "s3"},
		{"through a queue", queued(notification(bucket, object)), 1, ""},
		{"again, directly", notification(bucket, object), 1, ""},
	} {
		out, err := f.Invoke(t.Context(), json.RawMessage(test.payload))
		answer, _ := json.Marshal(out)
		if err != nil {
			answer = []byte(err.Error())
		}
		if test.says == "" && (err != nil || strings.Contains(string(answer), "m1")) || !strings.Contains(string(answer), test.says) {
			t.Errorf("%s: %s, want %q", test.name, answer, test.says)
		}
		rows := 0
		for _, err := range to.List(t.Context(), "user_joined/dt=2016-11-21/", "") {
			if err != nil {
				t.Fatal(err)
			}
			rows++
		}
		if rows != test.rows {
			t.Errorf("%s: %d objects with rows, want %d", test.name, rows, test.rows)
		}
	}
}

func newFunction(t *testing.T, endpoint string, settings map[string]string) *function.Function {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_S3": endpoint, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
	} {
		t.Setenv(name, value)
	}
	f, err := function.New(t.Context(), spec, func(name string) string { return settings[name] }, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// notification has the key as S3 writes it, like a form's value.
func notification(bucket, key string) string {
	text, _ := json.Marshal(map[string]any{"Records": []any{map[string]any{
		"eventSource": "aws:s3", "s3": map[string]any{"bucket": map[string]any{"name": bucket}, "object": map[string]any{"key": url.QueryEscape(key)}},
	}}})
	return string(text)
}

func queued(body string) string {
	text, _ := json.Marshal(awsevents.SQSEvent{Records: []awsevents.SQSMessage{{MessageId: "m1", EventSource: "aws:sqs", Body: body}}})
	return string(text)
}

func TestSettings(t *testing.T) {
	settings := map[string]string{"SCHEMAS": schemas, "ARCHIVE": "s3://a/b/events", "WAREHOUSE": "s3://a/rows"}
	newFunction(t, "http://127.0.0.1:1", settings)
	for missing := range settings {
		_, err := function.New(t.Context(), spec, func(name string) string {
			if name == missing {
				return ""
			}
			return settings[name]
		}, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("without %s: %v", missing, err)
		}
	}
}
