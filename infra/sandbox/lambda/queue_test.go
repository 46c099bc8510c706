package lambda_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/banyan-fig/banyan/infra/eventually"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/lambda"
)

const queuesARN = "arn:aws:sqs:us-east-1:000000000000:"

// visibility is what the tests' queues have: as long as their functions' timeout,
// and never waited for, since the queues' clock is advanced.
const visibility = 60

var reports = []types.FunctionResponseType{types.FunctionResponseTypeReportBatchItemFailures}

func filters(patterns ...string) *types.FilterCriteria {
	c := &types.FilterCriteria{}
	for _, p := range patterns {
		c.Filters = append(c.Filters, types.Filter{Pattern: &p})
	}
	return c
}

// source creates a queue for a mapping and returns its URL.
func (w *world) source(name string, attributes map[string]string) string {
	w.t.Helper()
	all := map[string]string{"VisibilityTimeout": strconv.Itoa(visibility)}
	for k, v := range attributes {
		all[k] = v
	}
	out, err := w.sqs.CreateQueue(w.t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: all})
	if err != nil {
		w.t.Fatal(err)
	}
	return *out.QueueUrl
}

func (w *world) send(url string, bodies ...string) {
	w.t.Helper()
	for i, body := range bodies {
		bodies[i] = strings.TrimSpace(body)
	}
	for chunk := range slices.Chunk(bodies, 10) {
		in := &sqs.SendMessageBatchInput{QueueUrl: &url}
		for i, body := range chunk {
			e := sqstypes.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: &body}
			if group, text, isFIFO := strings.Cut(body, "|"); isFIFO {
				e.MessageGroupId, e.MessageBody = &group, &text
			}
			in.Entries = append(in.Entries, e)
		}
		if out, err := w.sqs.SendMessageBatch(w.t.Context(), in); err != nil || len(out.Failed) > 0 {
			w.t.Fatal(err, out)
		}
	}
}

// poll lets a function read a queue.
func (w *world) poll(function, queue string, in lambda.CreateEventSourceMappingInput) string {
	w.t.Helper()
	in.FunctionName, in.EventSourceArn = &function, aws.String(queuesARN+queue)
	out, err := w.lambda.CreateEventSourceMapping(w.t.Context(), &in)
	if err != nil {
		w.t.Fatal(err)
	}
	w.awaitState(*out.UUID, "Enabled")
	return *out.UUID
}

// count sums up numbers of a queue's messages.
func (w *world) count(url string, names ...sqstypes.QueueAttributeName) (n int) {
	w.t.Helper()
	out, err := w.sqs.GetQueueAttributes(w.t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: names})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, value := range out.Attributes {
		number, err := strconv.Atoi(value)
		if err != nil {
			w.t.Fatal(err)
		}
		n += number
	}
	return n
}

// left says how many messages a queue holds, hidden ones too.
func (w *world) left(url string) int {
	w.t.Helper()
	return w.count(url, sqstypes.QueueAttributeNameApproximateNumberOfMessages,
		sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible, sqstypes.QueueAttributeNameApproximateNumberOfMessagesDelayed)
}

// redeliver lets the visibility timeouts of a queue end, and wakes who waits for it.
func (w *world) redeliver(url, wake string) {
	w.t.Helper()
	w.clock.ahead.Add(int64((visibility + 1) * time.Second))
	w.send(url, wake)
}

// times counts how often each message was delivered.
func times(deliveries []delivery) map[string]int {
	out := map[string]int{}
	for _, d := range deliveries {
		out[d.Data]++
	}
	return out
}

// Each case puts messages into a queue, lets a function have them, then their
// visibility end, and says how often which was delivered.
func TestRulesOfQueues(t *testing.T) {
	for _, c := range []struct {
		name    string
		send    []string
		mapping lambda.CreateEventSourceMappingInput
		env     map[string]string
		want    map[string]int
	}{
		{name: "what succeeded is deleted", send: []string{"1", "2", "3"}, want: map[string]int{"1": 1, "2": 1, "3": 1}},
		{name: "a failed batch comes again as a whole", send: []string{"1", "fail 1", "3"}, env: map[string]string{"RESPONSE": `{"batchItemFailures":3}`},
			mapping: lambda.CreateEventSourceMappingInput{FunctionResponseTypes: reports}, want: map[string]int{"1": 2, "fail 1": 2, "3": 2}},
		{name: "of a reported batch only what failed comes again", send: []string{"1", "fail 2", "3"},
			mapping: lambda.CreateEventSourceMappingInput{FunctionResponseTypes: reports}, want: map[string]int{"1": 1, "fail 2": 2, "3": 1}},
		{name: "without the setting a response means nothing", send: []string{"1", "fail 2"}, want: map[string]int{"1": 1, "fail 2": 1}},
		{name: "an unknown identifier fails the batch", send: []string{"1", "2"},
			env:     map[string]string{"RESPONSE": `{"batchItemFailures":[{"itemIdentifier":"FIRST"},{"itemIdentifier":"7"}]}`},
			mapping: lambda.CreateEventSourceMappingInput{FunctionResponseTypes: reports}, want: map[string]int{"1": 2, "2": 2}},
		{name: "what is filtered out is deleted", send: []string{`{"n":1}`, `{"n":2}`, `text`},
			mapping: lambda.CreateEventSourceMappingInput{FilterCriteria: filters(`{"body":{"n":[{"numeric":[">",1]}]}}`, `{"body":["wake"]}`)},
			want:    map[string]int{`{"n":2}`: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			env := map[string]string{"MODE": "stream"}
			for k, v := range c.env {
				env[k] = v
			}
			out := w.function("rules", visibility, env)
			url := w.source("rules", nil)
			w.send(url, c.send...)
			w.poll("rules", "rules", c.mapping)
			failed := 0
			for _, n := range c.want {
				failed += n - 1
			}
			eventually.True(t, "each was handled", func() bool {
				return len(times(delivered(t, out))) == len(c.want) && w.left(url) == failed
			})
			c.want["wake"] = 1
			w.redeliver(url, "wake")
			eventually.True(t, fmt.Sprint(c.want), func() bool { return w.left(url) == 0 })
			if got := times(delivered(t, out)); fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("got  %v\nwant %v", got, c.want)
			}
		})
	}
}

// Whatever fails, and however often: each group of a FIFO queue is handled in its
// order, by a function that reports what it did not get to, as Lambda asks for.
func TestGroupsStayInOrder(t *testing.T) {
	seed := rand.Uint64()
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	random := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t, sandbox.Config{})
	out := w.function("groups", visibility, map[string]string{"MODE": "stream", "STOP": "1"})
	url := w.source("groups.fifo", map[string]string{"FifoQueue": "true", "ContentBasedDeduplication": "true"})
	var sent []string
	for i := range 40 {
		word := "ok"
		if random.IntN(5) == 0 {
			word = fmt.Sprintf("fail %d", 1+random.IntN(3))
		}
		sent = append(sent, fmt.Sprintf("g%d|%s #%d", i%4, word, i))
	}
	w.send(url, sent...)
	w.poll("groups", "groups.fifo", lambda.CreateEventSourceMappingInput{FunctionResponseTypes: reports})
	seen := 0 // invocations before the last redelivery
	eventually.True(t, "all are handled", func() bool {
		o := outcome(delivered(t, out), seen)
		hidden := w.count(url, sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible)
		if len(o.handled) == len(sent) && w.left(url) == 0 {
			return true
		}
		if o.blocks(sent) && hidden == o.failed { // nothing runs, and nothing will before they are visible
			seen = o.invocations
			sent = append(sent, fmt.Sprintf("wake|ok #%d", len(sent)))
			w.redeliver(url, sent[len(sent)-1])
		}
		return false
	})
	last := map[string]int{} // of each message, its delivery that succeeded
	for i, d := range delivered(t, out) {
		last[d.Data] = i
	}
	before := map[string]int{}
	for _, m := range sent {
		group, text, _ := strings.Cut(m, "|")
		if last[text] < before[group] {
			t.Errorf("%s was handled before its predecessor", m)
		}
		before[group] = last[text]
	}
}

// outcomes are what deliveries to a function with STOP have come to.
type outcomes struct {
	handled     map[string]bool // by data
	failed      int             // deliveries of late invocations
	groups      map[string]bool // that have one of these
	invocations int
}

// outcome follows deliveries; the invocations from the number seen on are late.
func outcome(deliveries []delivery, seen int) outcomes {
	o := outcomes{handled: map[string]bool{}, groups: map[string]bool{}}
	counts, stopped := map[string]int{}, false
	for _, d := range deliveries {
		counts[d.Data]++
		o.invocations = d.Invocation + 1
		stopped = stopped && d.Index > 0
		var times int
		if _, err := fmt.Sscanf(d.Data, "fail %d", &times); err == nil && counts[d.Data] < times {
			stopped = true
		}
		switch {
		case !stopped:
			o.handled[d.Data] = true
		case d.Invocation >= seen:
			o.failed++
			o.groups[d.Key] = true
		}
	}
	return o
}

// blocks reports whether each message that was not handled is in a group of which
// one failed.
func (o outcomes) blocks(sent []string) bool {
	return !slices.ContainsFunc(sent, func(m string) bool {
		group, text, _ := strings.Cut(m, "|")
		return !o.handled[text] && !o.groups[group]
	})
}

// A message that always fails moves to the dead letter queue of its queue.
func TestQueuesGiveUpByTheirRedrivePolicy(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	out := w.function("poison", visibility, map[string]string{"MODE": "stream"})
	dead := w.queue("dead")
	url := w.source("poison", map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"` + queuesARN + `dead","maxReceiveCount":2}`})
	w.send(url, "error always")
	w.poll("poison", "poison", lambda.CreateEventSourceMappingInput{BatchSize: aws.Int32(1)})
	for n := 1; n <= 2; n++ {
		eventually.True(t, "it is delivered", func() bool { return times(delivered(t, out))["error always"] == n })
		w.redeliver(url, "wake")
	}
	eventually.True(t, "it was given up on", func() bool { return w.left(dead) == 1 && w.left(url) == 0 })
}

// The event has the shape that AWS documents, to the letter; a window gathers
// more messages than one receive returns.
func TestQueueEventShapeAndWindow(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	out := w.function("shape", visibility, map[string]string{"MODE": "stream", "RAW": "1"})
	url := w.source("shape", nil)
	sent, err := w.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{
		QueueUrl: &url, MessageBody: aws.String("<body>"), MessageAttributes: map[string]sqstypes.MessageAttributeValue{
			"kind": {DataType: aws.String("String"), StringValue: aws.String("test")},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	id := w.poll("shape", "shape", lambda.CreateEventSourceMappingInput{
		BatchSize: aws.Int32(12), MaximumBatchingWindowInSeconds: aws.Int32(300), FilterCriteria: filters(`{"body":[{"anything-but":"x"}]}`),
		ScalingConfig: &types.ScalingConfig{MaximumConcurrency: aws.Int32(2)},
	})
	eventually.True(t, "a batch is full", func() bool {
		w.send(url, "more", "more")
		return strings.Contains(strings.Join(lines(t, out, "raw"), ""), "<body>")
	})
	if m := w.describe(id); *m.BatchSize != 12 || *m.MaximumBatchingWindowInSeconds != 300 || *m.ScalingConfig.MaximumConcurrency != 2 ||
		len(m.FilterCriteria.Filters) != 1 || m.StartingPosition != "" || m.ParallelizationFactor != nil {
		t.Errorf("got %+v", m)
	}
	var records []map[string]any
	for _, event := range lines(t, out, "raw") {
		batch := parse[map[string][]map[string]any](t, []byte(event))["Records"]
		if len(batch) != 12 {
			t.Errorf("a batch has %d messages", len(batch))
		}
		records = append(records, batch...)
	}
	i := slices.IndexFunc(records, func(r map[string]any) bool { return r["body"] == "<body>" })
	record := records[i]
	attributes := record["attributes"].(map[string]any)
	for _, name := range []string{"SentTimestamp", "ApproximateFirstReceiveTimestamp"} {
		if _, err := strconv.Atoi(attributes[name].(string)); err != nil {
			t.Error(err)
		}
		delete(attributes, name)
	}
	if record["receiptHandle"] == "" {
		t.Error("no receipt handle")
	}
	delete(record, "receiptHandle")
	want := fmt.Sprintf(`{"messageId":%q,"body":"<body>","attributes":{"ApproximateReceiveCount":"1","SenderId":"000000000000"},
		"messageAttributes":{"kind":{"stringValue":"test","stringListValues":[],"binaryListValues":[],"dataType":"String"}},
		"md5OfBody":%q,"md5OfMessageAttributes":%q,"eventSource":"aws:sqs","eventSourceARN":%q,"awsRegion":"us-east-1"}`,
		*sent.MessageId, *sent.MD5OfMessageBody, *sent.MD5OfMessageAttributes, queuesARN+"shape")
	if got := string(encode(t, record)); got != string(encode(t, parse[map[string]any](t, []byte(want)))) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestRefusedMappingsOfQueues(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	w.function("refused", visibility, nil)
	w.source("refused", nil)
	w.source("short", map[string]string{"VisibilityTimeout": "59"})
	for says, in := range map[string]lambda.CreateEventSourceMappingInput{
		"59 seconds is less than Function timeout: 60 seconds": {EventSourceArn: aws.String(queuesARN + "short")},
		"Cannot access queue":                   {EventSourceArn: aws.String(queuesARN + "none")},
		"an SQS event source: StartingPosition": {StartingPosition: types.EventSourcePositionLatest},
		"an SQS event source: MaximumRetry":     {MaximumRetryAttempts: aws.Int32(1)},
		"must be greater than 0":                {BatchSize: aws.Int32(11)},
		"'batchSize'":                           {EventSourceArn: aws.String(queuesARN + "refused.fifo"), BatchSize: aws.Int32(11)},
		"not supported for FIFO":                {EventSourceArn: aws.String(queuesARN + "refused.fifo"), MaximumBatchingWindowInSeconds: aws.Int32(1)},
		"'scalingConfig.maximumConcurrency'":    {ScalingConfig: &types.ScalingConfig{MaximumConcurrency: aws.Int32(1)}},
		"only on body, not on messageId":        {FilterCriteria: filters(`{"messageId":["x"]}`)},
	} {
		in.FunctionName = aws.String("refused")
		if in.EventSourceArn == nil {
			in.EventSourceArn = aws.String(queuesARN + "refused")
		}
		if _, err := w.lambda.CreateEventSourceMapping(t.Context(), &in); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

// What a stream's filter leaves out is passed over: the shard goes on behind it.
func TestStreamsAreFiltered(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	out := w.function("filtered", 60, map[string]string{"MODE": "stream"})
	arn := w.stream("filtered", 1)
	w.put("filtered", `k:{"kind":"a"}`, `k:no JSON`, `k:{"kind":"b"}`)
	w.mapping("filtered", arn, lambda.CreateEventSourceMappingInput{
		BatchSize: aws.Int32(1), ParallelizationFactor: aws.Int32(2), FilterCriteria: filters(`{"data":{"kind":["b","last"]}}`),
	})
	w.put("filtered", `k:{"kind":"a"}`, `k:{"kind":"last"}`)
	want := map[string]int{`{"kind":"b"}`: 1, `{"kind":"last"}`: 1}
	eventually.True(t, "the last one is delivered", func() bool { return fmt.Sprint(times(delivered(t, out))) == fmt.Sprint(want) })
}
