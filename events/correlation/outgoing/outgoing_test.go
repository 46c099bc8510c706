package outgoing_test

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/banyan-fig/banyan/events/correlation"
	"github.com/banyan-fig/banyan/events/correlation/outgoing"
)

// wire is a server that keeps the last request, and a configuration of clients for it.
type wire struct {
	cfg    aws.Config
	body   string
	header http.Header
}

func newWire(t *testing.T) *wire {
	w := &wire{}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.body, w.header = string(body), r.Header
		io.WriteString(rw, "{}") //nolint:errcheck // the client sees it
	}))
	t.Cleanup(server.Close)
	w.cfg = aws.Config{
		Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}
	outgoing.Add(&w.cfg)
	return w
}

var ids = correlation.IDs{TraceParent: "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01", CorrelationID: "c", CausationID: "e", Debug: true, Chain: 3}

// TestQueuesGetThem: what SQS is sent reads as it was, after the round trip of its attributes.
func TestQueuesGetThem(t *testing.T) {
	w := newWire(t)
	client := sqs.NewFromConfig(w.cfg, func(o *sqs.Options) { o.DisableMessageChecksumValidation = true })
	ctx := correlation.With(t.Context(), ids)
	own := map[string]types.MessageAttributeValue{"x-correlation-id": {DataType: aws.String("String"), StringValue: aws.String("mine")}}
	in := &sqs.SendMessageInput{QueueUrl: w.cfg.BaseEndpoint, MessageBody: aws.String("body"), MessageAttributes: own}
	if _, err := client.SendMessage(ctx, in); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"MessageBody":"body"`, `"call-chain-length":{"DataType":"String","StringValue":"3"}`, `"debug-log-enabled"`, `"StringValue":"mine"`} {
		if !strings.Contains(w.body, want) {
			t.Errorf("%s, want %s", w.body, want)
		}
	}
	if len(own) != 1 || len(in.MessageAttributes) != 1 {
		t.Errorf("the caller's input has changed: %v", in)
	}
	batch := &sqs.SendMessageBatchInput{QueueUrl: w.cfg.BaseEndpoint, Entries: []types.SendMessageBatchRequestEntry{
		{Id: aws.String("1"), MessageBody: aws.String("a")}, {Id: aws.String("2"), MessageBody: aws.String("b"), MessageAttributes: many(8)},
	}}
	if _, err := client.SendMessageBatch(ctx, batch); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(w.body, `"traceparent":{`); n != 1 || batch.Entries[0].MessageAttributes != nil {
		t.Errorf("%d messages have them, want 1: the other has no room\n%s", n, w.body)
	}
	if _, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: w.cfg.BaseEndpoint, MessageBody: aws.String("body")}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(w.body, "MessageAttributes") {
		t.Errorf("nothing to pass on, and it was: %s", w.body)
	}
}

func many(n int) map[string]types.MessageAttributeValue {
	all := map[string]types.MessageAttributeValue{}
	for i := range n {
		all[string(rune('a'+i))] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String("v")}
	}
	return all
}

func TestFunctionsGetThem(t *testing.T) {
	w := newWire(t)
	ctx := correlation.With(t.Context(), ids)
	if _, err := lambda.NewFromConfig(w.cfg).Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("f"), Payload: []byte(`{"a":1}`)}); err != nil {
		t.Fatal(err)
	}
	text, err := base64.StdEncoding.DecodeString(w.header.Get("X-Amz-Client-Context"))
	if want := `{"custom":{"call-chain-length":"3",`; err != nil || !strings.HasPrefix(string(text), want) || w.body != `{"a":1}` {
		t.Errorf("%q, %s, %v; want %s", text, w.body, err, want)
	}
}

// putEventsInput has the members of EventBridge's input, whose client is in no program of ours.
type putEventsInput struct{ Entries []putEventsEntry }

type putEventsEntry struct{ Detail *string }

// TestDetails: what is no object, is an event, or has a context, is left as it is.
func TestDetails(t *testing.T) {
	for detail, want := range map[string]string{
		`{"a":1} `:                          `{"a":1,"__context__":{"x-correlation-id":"c"}}`,
		`{ }`:                               `{ "__context__":{"x-correlation-id":"c"}}`,
		`[1]`:                               `[1]`,
		`null`:                              `null`,
		`{"specversion":"1.0"}`:             `{"specversion":"1.0"}`,
		`{"__context__":{"mine":"theirs"}}`: `{"__context__":{"mine":"theirs"}}`,
	} {
		in := &putEventsInput{[]putEventsEntry{{&detail}}}
		out := outgoing.Inject(in, map[string]string{"x-correlation-id": "c"}).(*putEventsInput)
		if got := *out.Entries[0].Detail; got != want || *in.Entries[0].Detail != detail {
			t.Errorf("%s: %s, want %s", detail, got, want)
		}
	}
}

// TestOthersAreLeftAlone: the input of another service is the very one.
func TestOthersAreLeftAlone(t *testing.T) {
	in := &kinesis.PutRecordInput{Data: []byte("x")}
	if out := outgoing.Inject(in, ids.Attributes()); out != any(in) {
		t.Errorf("%v", out)
	}
	for _, odd := range []any{nil, 1, "text", (*kinesis.PutRecordInput)(nil), &struct{ MessageAttributes map[string]string }{}} {
		if out := outgoing.Inject(odd, ids.Attributes()); out != odd {
			t.Errorf("%v", out)
		}
	}
}

func TestRequestsGetThem(t *testing.T) {
	w := newWire(t)
	u, err := url.Parse(*w.cfg.BaseEndpoint)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(correlation.With(context.Background(), ids), http.MethodGet, u.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: outgoing.Transport(nil)}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if got := correlation.FromHeader(w.header); got != ids || len(r.Header) > 0 {
		t.Errorf("%+v, want %+v; the caller's request has %v", got, ids, r.Header)
	}
}
