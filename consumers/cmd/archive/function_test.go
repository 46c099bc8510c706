package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/consumers/archive"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/infra/sandbox/functiontest"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/lambda"
)

func TestMain(m *testing.M) { functiontest.Main(m) }

const arn = "arn:aws:kinesis:us-east-1:000000000000:stream/events"

func batch(arns ...string) []byte {
	var e awsevents.KinesisEvent
	for i, arn := range arns {
		r := streamtest.Record(i, "k", []byte(`{"n":1}`))
		r.EventSourceArn = arn
		e.Records = append(e.Records, r)
	}
	payload, _ := json.Marshal(e)
	return payload
}

// TestFunction: the program archives what Lambda gives it, and refuses the rest loudly.
func TestFunction(t *testing.T) {
	dir := t.TempDir()
	host := functiontest.Start(t, sandbox.Config{})
	functiontest.Deploy(t, host.Client, "archive", functiontest.Small(t, functiontest.Build(t, ".")), map[string]string{
		"ARCHIVE": "file://" + dir,
	})
	name := "archive"
	invoke := func(payload []byte) (answer string, failed bool) {
		t.Helper()
		out, err := host.Client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &name, Payload: payload})
		if err != nil {
			t.Fatal(err)
		}
		return string(out.Payload), out.FunctionError != nil
	}
	if answer, failed := invoke(batch(arn, arn+"/consumer/fast:1")); !failed || !strings.Contains(answer, "several streams") {
		t.Errorf("two streams: %s", answer)
	}
	for range 2 {
		if answer, failed := invoke(batch(arn, arn)); failed || answer != `{"batchItemFailures":null}` && answer != `{"batchItemFailures":[]}` {
			t.Errorf("answered %s", answer)
		}
	}
	for _, payload := range []string{`{}`, `{"Records":[]}`, `[]`, `{"source":"aws.events","detail-type":"Scheduled Event"}`, string(batch("")), string(batch("arn:aws:sqs:us-east-1:1:queue"))} {
		if answer, failed := invoke([]byte(payload)); !failed {
			t.Errorf("%s: answered %s", payload, answer)
		}
	}
	totals, err := archive.Verify(t.Context(), archive.NewFiles(dir+"/events"), archive.Range{}, func(p archive.Problem) { t.Error(p) })
	if err != nil || totals.Objects != 1 || totals.Events != 2 {
		t.Errorf("%+v, %v", totals, err)
	}
}

// TestSettings that are missing or wrong are refused when it starts; figures go to the metrics.
func TestSettings(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Setenv("AWS_REGION", "us-east-1")
	for address, want := range map[string]string{"": "ARCHIVE must be set", "gs://bucket": "must be s3://", "s3://": "must be s3://"} {
		if _, err := start(t.Context(), func(string) string { return address }, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", address, err)
		}
	}
	var metrics bytes.Buffer
	f, err := start(t.Context(), func(name string) string {
		return map[string]string{"ARCHIVE": t.TempDir(), "AWS_LAMBDA_FUNCTION_NAME": "prod-archive"}[name]
	}, &metrics)
	if err == nil {
		_, err = f.invoke(t.Context(), batch(arn))
	}
	if got := metrics.String(); err != nil || !strings.Contains(got, `"Function":"prod-archive"`) || !strings.Contains(got, `"Applied":1`) {
		t.Errorf("%s, %v", got, err)
	}
}
