// Command testfunction is the function that the Lambda host's tests run: a real
// one, on aws-lambda-go, which behaves as its events and variables say.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// request says what to do; all members may be combined.
type request struct {
	Echo    json.RawMessage `json:"echo"`
	Error   string          `json:"error"`
	Panic   bool            `json:"panic"`
	Exit    int             `json:"exit"`
	SleepMS int             `json:"sleepMs"`
	Large   int             `json:"large"`
	Print   string          `json:"print"`
	Env     []string        `json:"env"`
}

type response struct {
	Echo       json.RawMessage   `json:"echo,omitempty"`
	Large      string            `json:"large,omitempty"`
	Env        map[string]string `json:"env,omitempty"`
	PID        int               `json:"pid"`
	RequestID  string            `json:"requestId"`
	ARN        string            `json:"arn"`
	DeadlineMS int64             `json:"deadlineMs"`
	Trace      string            `json:"trace"`
	All        []string          `json:"all,omitempty"`
}

func main() {
	note("starts", fmt.Sprint(os.Getpid()))
	switch os.Getenv("INIT") {
	case "exit":
		os.Exit(3)
	case "hang":
		time.Sleep(time.Minute)
	case "report":
		call(http.MethodPost, "init/error", `{"errorType":"Function.Config","errorMessage":"no table"}`)
		os.Exit(1)
	case "by hand":
		byHand()
	case "once": // fails the first time only
		if _, err := os.Stat(filepath.Join(os.Getenv("OUT"), "failed")); err != nil {
			note("failed", "")
			os.Exit(4)
		}
	}
	lambda.Start(handle)
}

// call makes a request to the Runtime API without the library, and notes the
// status.
func call(method, path, body string) *http.Response {
	url := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/" + path
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		panic(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	note("statuses", fmt.Sprint(response.StatusCode))
	return response
}

// byHand answers one invocation, with every mistake on the way.
func byHand() {
	next := call(http.MethodGet, "invocation/next", "")
	id := next.Header.Get("Lambda-Runtime-Aws-Request-Id")
	call(http.MethodGet, "invocation/next", "")                       // before it answered
	call(http.MethodPost, "invocation/other/response", `"wrong"`)     // not its invocation
	call(http.MethodPost, "init/error", `{}`)                         // too late
	call(http.MethodPost, "invocation/"+id+"/response", `"by hand"`)  // right
	call(http.MethodPost, "invocation/"+id+"/response", `"answered"`) // twice
	call(http.MethodGet, "nonsense", "")
	call(http.MethodGet, "invocation/next", "")
}

func handle(ctx context.Context, raw json.RawMessage) (any, error) {
	if os.Getenv("MODE") == "stream" {
		return handleStream(ctx, raw)
	}
	var in request
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, err
	}
	note("calls", string(raw))
	if in.Print != "" {
		fmt.Fprintln(os.Stderr, in.Print)
	}
	time.Sleep(time.Duration(in.SleepMS) * time.Millisecond)
	switch {
	case in.Panic:
		panic("asked to")
	case in.Exit != 0:
		os.Exit(in.Exit)
	case in.Error != "":
		return nil, errors.New(in.Error)
	}
	return describe(ctx, in), nil
}

func describe(ctx context.Context, in request) response {
	lc, _ := lambdacontext.FromContext(ctx)
	deadline, _ := ctx.Deadline()
	out := response{
		Echo: in.Echo, Large: strings.Repeat("x", in.Large), PID: os.Getpid(), RequestID: lc.AwsRequestID,
		ARN: lc.InvokedFunctionArn, DeadlineMS: deadline.UnixMilli(), Trace: os.Getenv("_X_AMZN_TRACE_ID"),
		Env: map[string]string{},
	}
	for _, name := range in.Env {
		if name == "*" {
			out.All = os.Environ()
			continue
		}
		out.Env[name] = os.Getenv(name)
	}
	return out
}

// delivery is a line that handleStream writes for each record it sees.
type delivery struct {
	Batch string `json:"batch"`
	Index int    `json:"index"`
	Of    int    `json:"of"`
	ID    string `json:"id"`
	Key   string `json:"key"`
	Seq   string `json:"seq"`
	Data  string `json:"data"`
	Raw   string `json:"raw,omitempty"`
}

// handleStream notes each record and fails as the data of records says:
// "error", "panic" and "exit" fail the batch, "fail" the record, "fail N" the
// record until it was seen N times. RESPONSE overrides the answer; STOP fails all
// behind a failure.
func handleStream(ctx context.Context, raw json.RawMessage) (any, error) {
	lc, _ := lambdacontext.FromContext(ctx)
	if strings.Contains(string(raw), `"aws:dynamodb"`) {
		note("dynamodb", string(raw))
		return nil, nil
	}
	in, err := records(raw)
	if err != nil {
		return nil, err
	}
	var lines strings.Builder
	for i, r := range in.Records {
		line, _ := json.Marshal(delivery{
			Batch: lc.AwsRequestID, Index: i, Of: len(in.Records), ID: r.EventID,
			Key: r.Kinesis.PartitionKey, Seq: r.Kinesis.SequenceNumber, Data: short(r.Kinesis.Data),
		})
		lines.Write(append(line, '\n'))
	}
	write("records", lines.String())
	if os.Getenv("RAW") != "" {
		note("raw", string(raw))
	}
	return answer(in)
}

// records reads the records of a stream or, as such, the messages of a queue.
func records(raw json.RawMessage) (events.KinesisEvent, error) {
	var in events.KinesisEvent
	var queue events.SQSEvent
	if err := json.Unmarshal(raw, &queue); err != nil || len(queue.Records) == 0 || queue.Records[0].EventSource != "aws:sqs" {
		return in, json.Unmarshal(raw, &in)
	}
	for _, m := range queue.Records {
		in.Records = append(in.Records, events.KinesisEventRecord{Kinesis: events.KinesisRecord{
			PartitionKey: m.Attributes["MessageGroupId"], SequenceNumber: m.MessageId, Data: []byte(m.Body),
		}})
	}
	return in, nil
}

func answer(in events.KinesisEvent) (any, error) {
	out := events.KinesisEventResponse{BatchItemFailures: []events.KinesisBatchItemFailure{}}
	for _, r := range in.Records {
		word, _, _ := strings.Cut(string(r.Kinesis.Data), " ")
		switch word {
		case "error":
			return nil, errors.New("asked to fail")
		case "panic":
			panic("asked to")
		case "exit":
			os.Exit(5)
		case "slow":
			time.Sleep(300 * time.Millisecond)
		}
		stopped := os.Getenv("STOP") != "" && len(out.BatchItemFailures) > 0 // behind a failure
		if stopped || word == "fail" && !seenEnough(r) {
			out.BatchItemFailures = append(out.BatchItemFailures,
				events.KinesisBatchItemFailure{ItemIdentifier: r.Kinesis.SequenceNumber})
		}
	}
	if text := os.Getenv("RESPONSE"); text != "" && !exists("answered") {
		note("answered", "")
		return json.RawMessage(strings.ReplaceAll(text, "FIRST", in.Records[0].Kinesis.SequenceNumber)), nil
	}
	return out, nil
}

func seenEnough(r events.KinesisEventRecord) bool {
	var times int
	if _, err := fmt.Sscanf(string(r.Kinesis.Data), "fail %d", &times); err != nil {
		return false
	}
	kept, _ := os.ReadFile(filepath.Join(os.Getenv("OUT"), "records"))
	return strings.Count(string(kept), `"seq":"`+r.Kinesis.SequenceNumber+`"`) >= times
}

func short(data []byte) string { return string(data[:min(len(data), 64)]) }

func exists(name string) bool {
	_, err := os.Stat(filepath.Join(os.Getenv("OUT"), name))
	return err == nil
}

func note(name, line string) { write(name, line+"\n") }

// write appends to a file that the test reads; one write each, so lines of
// several processes do not mix.
func write(name, text string) {
	dir := os.Getenv("OUT")
	if dir == "" {
		return
	}
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer func() { _ = f.Close() }()
	_, _ = f.WriteString(text)
}
