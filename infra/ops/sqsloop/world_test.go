package sqsloop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/banyan-fig/banyan/infra/ops/sqsloop"
	dynamodbsandbox "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	sqssandbox "github.com/banyan-fig/banyan/infra/sandbox/sqs"
)

const (
	table    = "loops"
	queueURL = "http://sqs.local/000000000000/mail"
	deadURL  = "http://sqs.local/000000000000/mail-dead"
)

// world is the services and all who use them, inside of a synctest bubble: time
// is virtual, and every request of an actor stands at a gate until the test lets
// it pass. So the test decides about each interleaving, with the real clients
// and the sandbox's services on both sides of the gate.
type world struct {
	t        *testing.T
	dynamodb http.Handler
	sqs      http.Handler
	queue    sqsloop.Queue
	clients  struct {
		db     *dynamodb.Client
		sqs    *sqs.Client
		lambda *lambda.Client
	}
	others int // actors that played alone
	ids    int // made for actors
	picks  func(n int) int

	mu       sync.Mutex
	waiting  []*request
	sequence int
	events   []event // accepted by Lambda and not yet delivered
	watch    func(r *request)
	effect   func(r *request)
}

// event is one asynchronous invocation.
type event struct {
	turn     sqsloop.Turn
	attempts int
	due      time.Time
}

// request is one that an actor has sent.
type request struct {
	world     *world
	number    int
	actor     *actor
	service   string
	operation string
	body      []byte
	http      *http.Request
	verdict   chan verdict
	ghost     bool // nobody waits for the answer any more
}

// verdict is what becomes of a request.
type verdict int

const (
	served verdict = iota
	throttled
	lostBefore // no effect, no answer
	lostAfter  // the effect, but no answer
)

// actor is one execution of a function.
type actor struct {
	name   string
	turn   sqsloop.Turn
	ctx    context.Context
	cancel context.CancelFunc
	killed bool      // guarded by world.mu; it has no effect from then on
	frozen time.Time // guarded by world.mu; it does nothing before then
	done   bool      // guarded by world.mu
	cut    time.Time // of the test alone; the table is out of reach before then
}

// maxReceives is how often a message is received before SQS moves it.
const maxReceives = 4

// redrive is the policy that moves messages to the queue of that name.
func redrive(name string) map[string]string {
	return map[string]string{
		"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:%s","maxReceiveCount":%d}`, name, maxReceives),
	}
}

type actorKey struct{}

func newWorld(t *testing.T, q sqsloop.Queue) *world {
	t.Helper()
	queues, err := sqssandbox.New(sqssandbox.Config{URL: "http://sqs.local"})
	if err != nil {
		t.Fatal(err)
	}
	q.URL = queueURL
	w := &world{t: t, dynamodb: dynamodbsandbox.New(dynamodbsandbox.Config{}), sqs: queues, queue: q}
	w.clients.db = dynamodb.NewFromConfig(w.config("http://dynamodb.local"))
	w.clients.sqs = sqs.NewFromConfig(w.config("http://sqs.local"))
	w.clients.lambda = lambda.NewFromConfig(w.config("http://lambda.local"))
	ctx := context.Background()
	if _, err := w.db().CreateTable(ctx, sqsloop.CreateTableInput(table)); err != nil {
		t.Fatal(err)
	}
	for _, in := range []*sqs.CreateQueueInput{
		{QueueName: aws.String("mail-dead")},
		{QueueName: aws.String("mail"), Attributes: redrive("mail-dead")},
	} {
		if _, err := w.mail().CreateQueue(ctx, in); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// The clients work for actors, whose requests wait at the gate, and for the
// test, whose requests do not.
func (w *world) config(base string) aws.Config {
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: &base, HTTPClient: w,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts, o.RateLimiter, o.MaxBackoff = 2, ratelimit.None, 100*time.Millisecond
			})
		},
	}
}

func (w *world) db() *dynamodb.Client   { return w.clients.db }
func (w *world) mail() *sqs.Client      { return w.clients.sqs }
func (w *world) lambda() *lambda.Client { return w.clients.lambda }

// newActor makes one with so much time.
func (w *world) newActor(name string, timeout time.Duration) *actor {
	a := &actor{name: name}
	ctx := context.WithValue(context.Background(), actorKey{}, a)
	a.ctx, a.cancel = context.WithTimeout(ctx, timeout)
	return a
}

// tokens is the table as this actor uses it.
func (w *world) tokens(a *actor) *sqsloop.Tokens {
	return &sqsloop.Tokens{Client: w.db(), Table: table, NewID: func() string {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ids++
		return fmt.Sprintf("%s.%d", a.name, w.ids)
	}, Pick: func(n int) int {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.picks == nil {
			return 0
		}
		return w.picks(n)
	}}
}

func (w *world) starter() sqsloop.Function {
	return sqsloop.Function{Client: w.lambda(), Name: "sqsloop"}
}

func (w *world) fleet(a *actor) *sqsloop.Fleet {
	return &sqsloop.Fleet{Queues: []sqsloop.Queue{w.queue}, Tokens: w.tokens(a), Next: w.starter()}
}

// Do is the HTTP client of everybody.
func (w *world) Do(r *http.Request) (*http.Response, error) {
	a, _ := r.Context().Value(actorKey{}).(*actor)
	body := []byte(nil)
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	req := &request{world: w, actor: a, http: r, body: body, verdict: make(chan verdict, 1)}
	req.service, _, _ = strings.Cut(r.URL.Hostname(), ".")
	if _, op, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		req.operation = op
	} else {
		req.operation = path.Base(r.URL.Path)
	}
	if a == nil {
		return req.serve()
	}
	if !w.enter(req) {
		<-r.Context().Done() // the actor was killed
		return nil, r.Context().Err()
	}
	select {
	case v := <-req.verdict:
		return req.answer(v)
	case <-r.Context().Done():
		w.mu.Lock()
		req.ghost = true
		w.mu.Unlock()
		return nil, r.Context().Err()
	}
}

func (w *world) enter(r *request) bool {
	if w.watch != nil {
		w.watch(r)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.actor.killed {
		return false
	}
	w.sequence++
	r.number = w.sequence
	w.waiting = append(w.waiting, r)
	return true
}

func (r *request) answer(v verdict) (*http.Response, error) {
	switch v {
	case throttled:
		return r.refuse(), nil
	case lostBefore:
		return nil, errors.New("connection lost before the request arrived")
	case lostAfter:
		response, err := r.serve()
		if err == nil {
			_ = response.Body.Close()
		}
		return nil, errors.New("connection lost before the answer arrived")
	}
	return r.serve()
}

func (r *request) refuse() *http.Response {
	kind := map[string]string{
		"dynamodb": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
		"sqs":      "com.amazonaws.sqs#RequestThrottled", "lambda": "TooManyRequestsException",
	}[r.service]
	status := http.StatusBadRequest
	if r.service == "lambda" {
		status = http.StatusTooManyRequests
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Request: r.http, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "X-Amzn-Errortype": {kind}},
		Body:   io.NopCloser(strings.NewReader(`{"__type":"` + kind + `","message":"injected"}`)),
	}
}

// serve has the effect.
func (r *request) serve() (*http.Response, error) {
	if r.service == "lambda" {
		return r.accept(), nil
	}
	in := httptest.NewRequestWithContext(r.http.Context(), r.http.Method, r.http.URL.String(), bytes.NewReader(r.body))
	if r.ghost {
		in = in.WithContext(context.Background())
	}
	in.Header = r.http.Header
	recorder := httptest.NewRecorder()
	if r.service == "dynamodb" {
		r.world.dynamodb.ServeHTTP(recorder, in)
	} else {
		r.world.sqs.ServeHTTP(recorder, in)
	}
	response := recorder.Result()
	response.Request = r.http
	if r.world.effect != nil && r.actor != nil && response.StatusCode == http.StatusOK {
		r.world.effect(r)
	}
	return response, nil
}

// accept is Lambda's answer to an asynchronous invocation.
func (r *request) accept() *http.Response {
	var turn sqsloop.Turn
	if err := json.Unmarshal(r.body, &turn); err != nil || r.http.Header.Get("X-Amz-Invocation-Type") != "Event" {
		r.world.t.Errorf("invocation %s (%s): %v", r.body, r.http.Header.Get("X-Amz-Invocation-Type"), err)
	}
	r.world.mu.Lock()
	defer r.world.mu.Unlock()
	r.world.events = append(r.world.events, event{turn: turn})
	return &http.Response{
		StatusCode: http.StatusAccepted,
		Request:    r.http,
		Header:     http.Header{},
		Body:       http.NoBody,
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
	}
}

// pending lists the requests at the gate that may go on, the oldest of each actor
// being first; those of an actor that is frozen stay.
func (w *world) pending() []*request {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*request
	for _, r := range w.waiting {
		if r.ghost || time.Now().After(r.actor.frozen) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *request) int {
		if c := strings.Compare(a.actor.name, b.actor.name); c != 0 {
			return c
		}
		if c := strings.Compare(a.operation, b.operation); c != 0 {
			return c
		}
		return a.number - b.number
	})
	return out
}

// pass lets a request through the gate.
func (w *world) pass(r *request, v verdict) {
	w.mu.Lock()
	w.waiting = slices.DeleteFunc(w.waiting, func(o *request) bool { return o == r })
	ghost := r.ghost
	w.mu.Unlock()
	if !ghost {
		r.verdict <- v
		return
	}
	if v == served || v == lostAfter { // it arrives after its sender has given up
		if response, err := r.serve(); err == nil {
			_ = response.Body.Close()
		}
	}
}

// kill ends an actor as SIGKILL does: what it has sent may still arrive.
func (w *world) kill(a *actor) {
	w.mu.Lock()
	a.killed = true
	w.mu.Unlock()
	a.cancel()
}

// rows are the items of the table as they are now.
func (w *world) rows() (tokens map[string]map[string]types.AttributeValue, loops int) {
	w.t.Helper()
	out, err := w.db().Query(context.Background(), &dynamodb.QueryInput{
		TableName: aws.String(table), ConsistentRead: aws.Bool(true), KeyConditionExpression: aws.String("queue = :q"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":q": &types.AttributeValueMemberS{Value: queueURL}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	tokens = map[string]map[string]types.AttributeValue{}
	for _, item := range out.Items {
		switch name := value(item, "token"); {
		case name == "#loops":
			if _, err := fmt.Sscan(value(item, "loops"), &loops); err != nil {
				w.t.Fatal(err)
			}
		case !strings.HasPrefix(name, "#"):
			tokens[name] = item
		}
	}
	return tokens, loops
}

func value(item map[string]types.AttributeValue, name string) string {
	switch v := item[name].(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return v.Value
	}
	return ""
}

// setUsed changes a token's heartbeat.
func (w *world) setUsed(token string, at time.Time) {
	w.t.Helper()
	_, err := w.db().UpdateItem(context.Background(), &dynamodb.UpdateItemInput{
		TableName: aws.String(table), UpdateExpression: aws.String("SET last_used = :at"),
		Key: map[string]types.AttributeValue{
			"queue": &types.AttributeValueMemberS{Value: queueURL},
			"token": &types.AttributeValueMemberS{Value: token},
		},
		ExpressionAttributeValues: map[string]types.AttributeValue{":at": &types.AttributeValueMemberN{Value: fmt.Sprint(at.UnixMilli())}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}
