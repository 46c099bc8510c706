package lambda_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	ktypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/lambda"
)

type delivery struct {
	Batch      string
	Index, Of  int
	ID         string
	Key        string
	Seq        string
	Data       string
	Invocation int `json:"-"`
}

// stream creates a stream and returns its ARN.
func (w *world) stream(name string, shards int32) string {
	w.t.Helper()
	if _, err := w.kinesis.CreateStream(w.t.Context(), &kinesis.CreateStreamInput{StreamName: &name, ShardCount: &shards}); err != nil {
		w.t.Fatal(err)
	}
	return w.active(name)
}

// active waits until a stream can be used and returns its ARN.
func (w *world) active(name string) (arn string) {
	w.t.Helper()
	eventually.True(w.t, "the stream is active", func() bool {
		out, err := w.kinesis.DescribeStreamSummary(w.t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: &name})
		if err != nil {
			return false
		}
		arn = *out.StreamDescriptionSummary.StreamARN
		return out.StreamDescriptionSummary.StreamStatus == ktypes.StreamStatusActive
	})
	return arn
}

// put puts records "key:data" one by one, so that their order is certain.
func (w *world) put(stream string, records ...string) {
	w.t.Helper()
	for _, r := range records {
		key, data, _ := strings.Cut(r, ":")
		_, err := w.kinesis.PutRecord(w.t.Context(), &kinesis.PutRecordInput{StreamName: &stream, PartitionKey: &key, Data: []byte(data)})
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// mapping creates an event source mapping from the beginning of a stream,
// waits until it reads, and returns its id.
func (w *world) mapping(function, arn string, in lambda.CreateEventSourceMappingInput) string {
	w.t.Helper()
	in.FunctionName, in.EventSourceArn = &function, &arn
	in.StartingPosition = cmp.Or(in.StartingPosition, types.EventSourcePositionTrimHorizon)
	out, err := w.lambda.CreateEventSourceMapping(w.t.Context(), &in)
	if err != nil {
		w.t.Fatal(err)
	}
	w.awaitState(*out.UUID, "Enabled")
	return *out.UUID
}

func (w *world) awaitState(id, state string) {
	w.t.Helper()
	eventually.True(w.t, "the mapping is "+state, func() bool { return *w.describe(id).State == state })
}

// describe finds a mapping by its id.
func (w *world) describe(id string) types.EventSourceMappingConfiguration {
	w.t.Helper()
	out, err := w.lambda.ListEventSourceMappings(w.t.Context(), &lambda.ListEventSourceMappingsInput{})
	if err != nil {
		w.t.Fatal(err)
	}
	i := slices.IndexFunc(out.EventSourceMappings, func(m types.EventSourceMappingConfiguration) bool { return *m.UUID == id })
	if i < 0 {
		w.t.Fatalf("there is no mapping %s", id)
	}
	return out.EventSourceMappings[i]
}

// delivered reads what the function was given, invocations numbered from 0.
func delivered(t *testing.T, dir string) []delivery {
	t.Helper()
	var out []delivery
	numbers := map[string]int{}
	for _, l := range lines(t, dir, "records") {
		d := parse[delivery](t, []byte(l))
		if _, seen := numbers[d.Batch]; !seen {
			numbers[d.Batch] = len(numbers)
		}
		d.Invocation = numbers[d.Batch]
		out = append(out, d)
	}
	return out
}

// batches shows deliveries as one text per invocation.
func batches(deliveries []delivery) []string {
	var out []string
	for _, d := range deliveries {
		if d.Index == 0 {
			out = append(out, "")
		}
		out[len(out)-1] += strings.Fields(d.Data)[len(strings.Fields(d.Data))-1] + " "
	}
	for i := range out {
		out[i] = strings.TrimSpace(out[i])
	}
	return out
}

// The event has the shape that AWS documents, to the letter.
func TestKinesisEventShape(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	out := w.function("shape", 60, map[string]string{"MODE": "stream", "RAW": "1"})
	arn := w.stream("shape", 1)
	begin := time.Now()
	w.put("shape", `k<&>:data`)
	w.mapping("shape", arn, lambda.CreateEventSourceMappingInput{})
	eventually.True(t, "the record is delivered", func() bool { return len(lines(t, out, "raw")) == 1 })
	event := parse[map[string][]map[string]any](t, []byte(lines(t, out, "raw")[0]))
	record := event["Records"][0]
	inner := record["kinesis"].(map[string]any)
	arrived := inner["approximateArrivalTimestamp"].(float64)
	if since := time.Unix(0, int64(arrived*1e9)).Sub(begin); since < -time.Second || since > time.Minute {
		t.Errorf("arrived at %f", arrived)
	}
	delete(inner, "approximateArrivalTimestamp")
	sequence := inner["sequenceNumber"].(string)
	want := map[string]any{
		"kinesis": map[string]any{
			"kinesisSchemaVersion": "1.0", "partitionKey": "k<&>", "sequenceNumber": sequence,
			"data": base64.StdEncoding.EncodeToString([]byte("data")),
		},
		"eventSource": "aws:kinesis", "eventVersion": "1.0", "eventID": "shardId-000000000000:" + sequence,
		"eventName": "aws:kinesis:record", "invokeIdentityArn": role, "awsRegion": "us-east-1", "eventSourceARN": arn,
	}
	if got, expect := string(encode(t, record)), string(encode(t, want)); got != expect {
		t.Errorf("got  %s\nwant %s", got, expect)
	}
}

// Each case puts records into one shard and says which batches the function
// sees, and which are given up on. The function's behaviour is in the data.
func TestRulesOfBatches(t *testing.T) {
	report := []types.FunctionResponseType{types.FunctionResponseTypeReportBatchItemFailures}
	for _, c := range []struct {
		name    string
		put     []string
		mapping lambda.CreateEventSourceMappingInput
		env     map[string]string
		want    []string // batches, by the last word of each record
		dead    []int    // sizes of the batches given up on
	}{
		{
			name: "the batch size is kept",
			put:  []string{"1", "2", "3", "4", "5"}, mapping: lambda.CreateEventSourceMappingInput{BatchSize: aws.Int32(2)},
			want: []string{"1 2", "3 4", "5"},
		},
		{
			name: "a failed batch is retried as a whole, then given up on",
			put:  []string{"1", "error 2", "3"}, mapping: lambda.CreateEventSourceMappingInput{MaximumRetryAttempts: aws.Int32(2)},
			want: []string{"1 2 3", "1 2 3", "1 2 3"}, dead: []int{3},
		},
		{
			name: "a crash is a failure", put: []string{"exit 1", "2"},
			mapping: lambda.CreateEventSourceMappingInput{MaximumRetryAttempts: aws.Int32(0), BatchSize: aws.Int32(1)},
			want:    []string{"1", "2"}, dead: []int{1},
		},
		{
			name: "the lowest number is the checkpoint", put: []string{"1", "2", "fail 2", "4", "fail 2", "6"},
			mapping: lambda.CreateEventSourceMappingInput{FunctionResponseTypes: report},
			want:    []string{"1 2 2 4 2 6", "2 4 2 6"},
		},
		{
			name: "the checkpoint does not save what follows from being given up on", put: []string{"1", "fail", "3"},
			mapping: lambda.CreateEventSourceMappingInput{FunctionResponseTypes: report, MaximumRetryAttempts: aws.Int32(1)},
			want:    []string{"1 fail 3", "fail 3"}, dead: []int{2},
		},
		{
			name: "without the setting a response means nothing", put: []string{"1", "fail", "3"},
			want: []string{"1 fail 3"},
		},
		{
			name: "an empty list is a success", put: []string{"1", "2"}, env: map[string]string{"RESPONSE": `{"batchItemFailures":[]}`},
			mapping: lambda.CreateEventSourceMappingInput{FunctionResponseTypes: report}, want: []string{"1 2"},
		},
		{
			name: "a null list is a success", put: []string{"1", "2"}, env: map[string]string{"RESPONSE": `{"batchItemFailures":null}`},
			mapping: lambda.CreateEventSourceMappingInput{FunctionResponseTypes: report}, want: []string{"1 2"},
		},
		{
			name: "an empty response is a success", put: []string{"1", "2"}, env: map[string]string{"RESPONSE": `{}`},
			mapping: lambda.CreateEventSourceMappingInput{FunctionResponseTypes: report}, want: []string{"1 2"},
		},
		{
			name: "a null response is a success", put: []string{"1", "2"}, env: map[string]string{"RESPONSE": `null`},
			mapping: lambda.CreateEventSourceMappingInput{FunctionResponseTypes: report}, want: []string{"1 2"},
		},
		{
			name: "an empty identifier fails the batch", put: []string{"1", "2"},
			env:     map[string]string{"RESPONSE": `{"batchItemFailures":[{"itemIdentifier":""}]}`},
			mapping: lambda.CreateEventSourceMappingInput{FunctionResponseTypes: report}, want: []string{"1 2", "1 2"},
		},
		{
			name: "a null identifier fails the batch", put: []string{"1", "2"},
			env:     map[string]string{"RESPONSE": `{"batchItemFailures":[{"itemIdentifier":null}]}`},
			mapping: lambda.CreateEventSourceMappingInput{FunctionResponseTypes: report}, want: []string{"1 2", "1 2"},
		},
		{
			name: "an identifier under a wrong key fails the batch", put: []string{"1", "2"},
			env:     map[string]string{"RESPONSE": `{"batchItemFailures":[{"identifier":"1"}]}`},
			mapping: lambda.CreateEventSourceMappingInput{FunctionResponseTypes: report}, want: []string{"1 2", "1 2"},
		},
		{
			name: "an unknown identifier fails the batch, whatever else is there", put: []string{"1", "fail 2"},
			env:     map[string]string{"RESPONSE": `{"batchItemFailures":[{"itemIdentifier":"7"},{"itemIdentifier":"FIRST"}]}`},
			mapping: lambda.CreateEventSourceMappingInput{FunctionResponseTypes: report}, want: []string{"1 2", "1 2"},
		},
		{
			name: "bisecting isolates the bad record and costs no retry", put: []string{"1", "2", "error 3", "4"},
			mapping: lambda.CreateEventSourceMappingInput{BisectBatchOnFunctionError: aws.Bool(true), MaximumRetryAttempts: aws.Int32(1)},
			want:    []string{"1 2 3 4", "1 2", "3 4", "3", "3", "4"}, dead: []int{1},
		},
		{
			name: "bisecting cuts at the returned number", put: []string{"1", "2", "fail x", "4"},
			mapping: lambda.CreateEventSourceMappingInput{
				BisectBatchOnFunctionError: aws.Bool(true), MaximumRetryAttempts: aws.Int32(0), FunctionResponseTypes: report,
			},
			want: []string{"1 2 x 4", "x 4", "x", "4"}, dead: []int{1},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sandbox.Config{})
			env := map[string]string{"MODE": "stream"}
			for k, v := range c.env {
				env[k] = v
			}
			out := w.function("rules", 60, env)
			arn := w.stream("rules", 1)
			for _, data := range c.put {
				w.put("rules", "key:"+data)
			}
			queue := w.queue("dead")
			c.mapping.DestinationConfig = &types.DestinationConfig{OnFailure: &types.OnFailure{
				Destination: aws.String("arn:aws:sqs:us-east-1:000000000000:dead"),
			}}
			w.mapping("rules", arn, c.mapping)
			eventually.True(t, "the batches are "+fmt.Sprint(c.want), func() bool { return len(batches(delivered(t, out))) >= len(c.want) })
			w.put("rules", "key:last")
			eventually.True(t, "the shard goes on", func() bool { return strings.HasSuffix(strings.Join(batches(delivered(t, out)), " "), "last") })
			got := batches(delivered(t, out))
			if got = got[:len(got)-1]; !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			if sizes := w.deadSizes(queue, len(c.dead)); !slices.Equal(sizes, c.dead) {
				t.Errorf("given up on %v, not %v", sizes, c.dead)
			}
		})
	}
}

func (w *world) queue(name string) string {
	w.t.Helper()
	out, err := w.sqs.CreateQueue(w.t.Context(), &sqs.CreateQueueInput{QueueName: &name})
	if err != nil {
		w.t.Fatal(err)
	}
	return *out.QueueUrl
}

type failureRecord struct {
	RequestContext struct {
		RequestID              string
		FunctionArn            string
		Condition              string
		ApproximateInvokeCount int
	}
	ResponseContext *struct {
		StatusCode      int
		ExecutedVersion string
		FunctionError   string
	}
	Version          string
	Timestamp        time.Time
	KinesisBatchInfo struct {
		ShardID                         string
		StartSequenceNumber             string
		EndSequenceNumber               string
		ApproximateArrivalOfFirstRecord time.Time
		ApproximateArrivalOfLastRecord  time.Time
		BatchSize                       int
		StreamArn                       string
	}
}

// dead receives what is in the on-failure queue.
func (w *world) dead(queue string, atLeast int) []failureRecord {
	w.t.Helper()
	var out []failureRecord
	for {
		got, err := w.sqs.ReceiveMessage(w.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &queue, MaxNumberOfMessages: 10})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, m := range got.Messages {
			out = append(out, parse[failureRecord](w.t, []byte(*m.Body)))
		}
		if len(got.Messages) == 0 && len(out) >= atLeast {
			return out
		}
	}
}

func (w *world) deadSizes(queue string, atLeast int) []int {
	var out []int
	for _, r := range w.dead(queue, atLeast) {
		out = append(out, r.KinesisBatchInfo.BatchSize)
	}
	return out
}

func TestOnFailureRecord(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	out := w.function("given-up", 60, map[string]string{"MODE": "stream"})
	arn, queue := w.stream("given-up", 1), w.queue("dead")
	w.put("given-up", "a:1", "b:error")
	w.mapping("given-up", arn, lambda.CreateEventSourceMappingInput{
		MaximumRetryAttempts: aws.Int32(1), DestinationConfig: &types.DestinationConfig{OnFailure: &types.OnFailure{
			Destination: aws.String("arn:aws:sqs:us-east-1:000000000000:dead"),
		}},
	})
	got := w.dead(queue, 1)[0]
	seen := delivered(t, out)
	if r := got.RequestContext; r.Condition != "RetryAttemptsExhausted" || r.ApproximateInvokeCount != 2 ||
		r.FunctionArn != "arn:aws:lambda:us-east-1:000000000000:function:given-up" || r.RequestID != seen[len(seen)-1].Batch {
		t.Errorf("request context: %+v", r)
	}
	if r := got.ResponseContext; r == nil || r.StatusCode != 200 || r.ExecutedVersion != "$LATEST" || r.FunctionError != "Unhandled" {
		t.Errorf("response context: %+v", r)
	}
	if b := got.KinesisBatchInfo; b.ShardID != "shardId-000000000000" || b.StartSequenceNumber != seen[0].Seq ||
		b.EndSequenceNumber != seen[1].Seq || b.StreamArn != arn || b.ApproximateArrivalOfFirstRecord.IsZero() ||
		b.ApproximateArrivalOfLastRecord.Before(b.ApproximateArrivalOfFirstRecord) {
		t.Errorf("batch: %+v", b)
	}
	if got.Version != "1.0" || got.Timestamp.IsZero() {
		t.Errorf("got %+v", got)
	}
}

// Across a reshard, under parallel lanes and with failures, each key's records
// are first seen in their order, and all of them.
func TestOrderHoldsAcrossReshards(t *testing.T) {
	orderHolds(t, newWorld(t, sandbox.Config{}))
}

// TestPeerOrderHoldsAcrossReshards reads another implementation of Kinesis.
func TestPeerOrderHoldsAcrossReshards(t *testing.T) {
	url := os.Getenv("BANYAN_CONFORMANCE_KINESIS")
	if url == "" {
		t.Skip("BANYAN_CONFORMANCE_KINESIS is not set")
	}
	w := newWorld(t, sandbox.Config{Env: []string{"AWS_ENDPOINT_URL_KINESIS=" + url}})
	w.kinesis = kinesis.NewFromConfig(w.base, func(o *kinesis.Options) { o.BaseEndpoint = &url })
	name := aws.String("order")
	defer func() {
		_, _ = w.kinesis.DeleteStream(context.Background(), &kinesis.DeleteStreamInput{StreamName: name})
	}()
	orderHolds(t, w)
}

func orderHolds(t *testing.T, w *world) {
	const keys, each = 9, 60
	out := w.function("order", 60, map[string]string{"MODE": "stream"})
	arn := w.stream("order", 2)
	w.mapping("order", arn, lambda.CreateEventSourceMappingInput{
		BatchSize: aws.Int32(7), ParallelizationFactor: aws.Int32(3), BisectBatchOnFunctionError: aws.Bool(true),
		FunctionResponseTypes: []types.FunctionResponseType{types.FunctionResponseTypeReportBatchItemFailures},
	})
	for n := range each {
		var records []ktypes.PutRecordsRequestEntry
		for k := range keys {
			data := fmt.Sprintf("ok %d", n)
			if (n+k)%17 == 0 {
				data = fmt.Sprintf("fail 2 %d", n)
			}
			records = append(records, ktypes.PutRecordsRequestEntry{PartitionKey: aws.String(fmt.Sprint("key", k)), Data: []byte(data)})
		}
		got, err := w.kinesis.PutRecords(t.Context(), &kinesis.PutRecordsInput{StreamName: aws.String("order"), Records: records})
		if err != nil || *got.FailedRecordCount != 0 {
			t.Fatal(err, got)
		}
		switch n {
		case each / 3:
			w.reshard("order", 4)
		case 2 * each / 3:
			w.reshard("order", 2)
		}
	}
	first := map[string][]string{}
	eventually.True(t, "all records are seen", func() bool {
		first = map[string][]string{}
		seen, total := map[string]bool{}, 0
		for _, d := range delivered(t, out) {
			if !seen[d.Seq+d.Key] {
				seen[d.Seq+d.Key] = true
				words := strings.Fields(d.Data)
				first[d.Key] = append(first[d.Key], words[len(words)-1])
				total++
			}
		}
		return total == keys*each
	})
	for key, got := range first {
		for n, data := range got {
			if data != fmt.Sprint(n) {
				t.Fatalf("%s: record %s was seen as number %d", key, data, n)
			}
		}
	}
}

func (w *world) reshard(stream string, shards int32) {
	w.t.Helper()
	_, err := w.kinesis.UpdateShardCount(w.t.Context(), &kinesis.UpdateShardCountInput{
		StreamName: &stream, TargetShardCount: &shards, ScalingType: ktypes.ScalingTypeUniformScaling,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.active(stream)
}

func TestStartingPositions(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	arn := w.stream("starts", 1)
	w.put("starts", "k:1", "k:2", "k:3")
	outs := map[string]string{}
	for _, name := range []string{"latest", "horizon"} {
		outs[name] = w.function(name, 60, map[string]string{"MODE": "stream"})
	}
	w.mapping("latest", arn, lambda.CreateEventSourceMappingInput{StartingPosition: types.EventSourcePositionLatest})
	w.mapping("horizon", arn, lambda.CreateEventSourceMappingInput{})
	w.put("starts", "k:4")
	for name, want := range map[string]string{"latest": "4", "horizon": "1 2 3 4"} {
		eventually.True(t, name+" has seen "+want, func() bool { return strings.Join(batches(delivered(t, outs[name])), " ") == want })
	}
}

// The window gathers records into one batch.
func TestBatchingWindow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	out := w.function("window", 60, map[string]string{"MODE": "stream"})
	arn := w.stream("window", 1)
	w.mapping("window", arn, lambda.CreateEventSourceMappingInput{MaximumBatchingWindowInSeconds: aws.Int32(4), BatchSize: aws.Int32(4)})
	begin := time.Now()
	for n := range 3 {
		w.put("window", fmt.Sprint("k:", n))
	}
	eventually.True(t, "the window has passed", func() bool { return len(delivered(t, out)) == 3 })
	if got := batches(delivered(t, out)); len(got) != 1 || time.Since(begin) < 3900*time.Millisecond {
		t.Errorf("%q after %s", got, time.Since(begin))
	}
	full := w.function("full", 60, map[string]string{"MODE": "stream"})
	w.mapping("full", arn, lambda.CreateEventSourceMappingInput{MaximumBatchingWindowInSeconds: aws.Int32(300), BatchSize: aws.Int32(3)})
	eventually.True(t, "a full batch does not wait for its window", func() bool { return len(delivered(t, full)) == 3 })
}

// A batch is cut where the payload would exceed 6 MB, though there are fewer
// records than the batch size.
func TestBatchesFitThePayload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Config{})
	out := w.function("big", 20, map[string]string{"MODE": "stream"})
	arn := w.stream("big", 8)
	// 1,000,000 bytes are 1,333,336 in base64: four fit, five do not.
	for n := 0; n < 6; {
		_, err := w.kinesis.PutRecord(t.Context(), &kinesis.PutRecordInput{
			StreamName: aws.String("big"), PartitionKey: aws.String("k"), Data: fmt.Appendf(nil, "ok %d %s", n, strings.Repeat("x", 1_000_000)),
		})
		if err != nil { // one shard takes 1 MiB/s
			time.Sleep(200 * time.Millisecond) // as a client would
			continue
		}
		n++
	}
	w.mapping("big", arn, lambda.CreateEventSourceMappingInput{})
	eventually.True(t, "all are seen", func() bool { return len(delivered(t, out)) == 6 })
	for _, d := range delivered(t, out) {
		if d.Of > 4 {
			t.Errorf("a batch of %d records of a million bytes", d.Of)
		}
	}
}

// Under every kind of fault, each record is seen, none before an older one of
// its key was, and unless the function itself died none is given up on.
func TestFaultsLoseNothing(t *testing.T) {
	const records = 150
	seed := rand.Uint64()
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	plan, err := fault.New(fault.Plan{Delay: time.Millisecond, Rules: []fault.Rule{{
		Service: "lambda", Operation: "Invoke", Odds: map[fault.Kind]float64{
			fault.Throttle: .08, fault.TimeoutBefore: .08, fault.TimeoutAfter: .08, fault.Duplicate: .3, fault.Partial: .05, fault.Late: .1,
		},
	}}}, seed)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, sandbox.Config{Fault: func(f string) fault.Fault { return plan.Draw("lambda", "Invoke", f) }})
	out := w.function("chaos", 60, map[string]string{"MODE": "stream"})
	arn := w.stream("chaos", 1)
	w.mapping("chaos", arn, lambda.CreateEventSourceMappingInput{BatchSize: aws.Int32(4)})
	for n := range records {
		w.put("chaos", fmt.Sprint("k:", n))
	}
	var firsts []string
	eventually.True(t, "all are seen", func() bool {
		firsts = nil
		for _, d := range delivered(t, out) {
			if !slices.Contains(firsts, d.Data) {
				firsts = append(firsts, d.Data)
			}
		}
		return len(firsts) == records
	})
	for n, data := range firsts {
		if data != fmt.Sprint(n) {
			t.Fatalf("record %s was first seen as number %d", data, n)
		}
	}
	if len(delivered(t, out)) == records {
		t.Error("no duplicate came of all the faults")
	}
}

// Keys that share a shard run at the same time in as many lanes as asked for.
func TestParallelizationFactor(t *testing.T) {
	t.Parallel()
	const keys = 10
	w := newWorld(t, sandbox.Config{})
	out := w.function("lanes", 60, map[string]string{"MODE": "stream"})
	arn := w.stream("lanes", 1)
	for n := range keys {
		w.put("lanes", fmt.Sprintf("key%d:slow %d", n, n)) // 300 ms each
	}
	w.mapping("lanes", arn, lambda.CreateEventSourceMappingInput{BatchSize: aws.Int32(1), ParallelizationFactor: aws.Int32(10)})
	eventually.True(t, "all are seen", func() bool { return len(delivered(t, out)) == keys })
	if n := len(lines(t, out, "starts")); n < 3 || n > 10 {
		t.Errorf("%d execution environments", n)
	}
}

// TestThrottledBatchesWait: a throttled batch is tried until it gets through, and
// that is no retry.
func TestThrottledBatchesWait(t *testing.T) {
	w := newWorld(t, sandbox.Config{Concurrency: 1})
	out := w.function("throttled", 60, map[string]string{"MODE": "stream"})
	free := w.occupy()
	arn, queue := w.stream("throttled", 1), w.queue("dead")
	w.put("throttled", "k:1")
	id := w.mapping("throttled", arn, lambda.CreateEventSourceMappingInput{
		MaximumRetryAttempts: aws.Int32(0), DestinationConfig: &types.DestinationConfig{OnFailure: &types.OnFailure{
			Destination: aws.String("arn:aws:sqs:us-east-1:000000000000:dead"),
		}},
	})
	result := func() string { return *w.describe(id).LastProcessingResult }
	eventually.True(t, "the mapping tells of the throttle", func() bool { return strings.Contains(result(), "PROBLEM: TooManyRequestsException") })
	free()
	eventually.True(t, "the record is delivered", func() bool { return len(delivered(t, out)) == 1 && result() == "OK" })
	if gone := w.dead(queue, 0); len(gone) != 0 {
		t.Errorf("given up on: %+v", gone)
	}
}

// TestDisabledMappings: a mapping that is made disabled delivers nothing.
func TestDisabledMappings(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	out := w.function("disabled", 60, map[string]string{"MODE": "stream"})
	w.function("enabled", 60, nil)
	arn := w.stream("disabled", 1)
	w.put("disabled", "k:1")
	made, err := w.lambda.CreateEventSourceMapping(t.Context(), &lambda.CreateEventSourceMappingInput{
		FunctionName: aws.String("disabled"), EventSourceArn: &arn, StartingPosition: types.EventSourcePositionTrimHorizon, Enabled: aws.Bool(false),
	})
	if err != nil || *made.State != "Disabled" {
		t.Fatalf("%+v, %v", made, err)
	}
	enabled := w.mapping("enabled", arn, lambda.CreateEventSourceMappingInput{})
	eventually.True(t, "the other mapping has delivered", func() bool { return *w.describe(enabled).LastProcessingResult == "OK" })
	if n := len(delivered(t, out)); n != 0 {
		t.Errorf("a disabled mapping delivered %d records", n)
	}
}

func TestRefusedMappings(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	w.function("refused", 60, nil)
	arn := w.stream("refused", 1)
	for _, c := range []struct {
		name, says string
		in         lambda.CreateEventSourceMappingInput
	}{
		{"filters", "Invalid filter pattern definition.", lambda.CreateEventSourceMappingInput{FilterCriteria: filters(`{"a":[1]}`)}},
		{"scaling", "ScalingConfig", lambda.CreateEventSourceMappingInput{ScalingConfig: &types.ScalingConfig{MaximumConcurrency: aws.Int32(2)}}},
		{"tumbling", "not implemented by the sandbox: TumblingWindow", lambda.CreateEventSourceMappingInput{TumblingWindowInSeconds: aws.Int32(5)}},
		{"SNS", "not implemented by the sandbox: on-failure", lambda.CreateEventSourceMappingInput{
			DestinationConfig: &types.DestinationConfig{OnFailure: &types.OnFailure{Destination: aws.String("arn:aws:sns:us-east-1:000000000000:t")}},
		}},
		{"MQ", "not implemented by the sandbox: event source mappings for arn:aws:mq", lambda.CreateEventSourceMappingInput{
			EventSourceArn: aws.String("arn:aws:mq:us-east-1:000000000000:broker:b"),
		}},
		{"Kafka", "not implemented by the sandbox: the parameter Topics", lambda.CreateEventSourceMappingInput{Topics: []string{"t"}}},
		{"no stream", "Cannot access stream", lambda.CreateEventSourceMappingInput{
			EventSourceArn: aws.String("arn:aws:kinesis:us-east-1:000000000000:stream/none"),
		}},
		{"no function", "Function not found", lambda.CreateEventSourceMappingInput{FunctionName: aws.String("none")}},
		{"batch size", "'batchSize'", lambda.CreateEventSourceMappingInput{BatchSize: aws.Int32(10001)}},
		{"window", "'maximumBatchingWindowInSeconds'", lambda.CreateEventSourceMappingInput{MaximumBatchingWindowInSeconds: aws.Int32(301)}},
		{"lanes", "'parallelizationFactor'", lambda.CreateEventSourceMappingInput{ParallelizationFactor: aws.Int32(11)}},
		{"retries", "'maximumRetryAttempts'", lambda.CreateEventSourceMappingInput{MaximumRetryAttempts: aws.Int32(10001)}},
		{"age", "MaximumRecordAgeInSeconds", lambda.CreateEventSourceMappingInput{MaximumRecordAgeInSeconds: aws.Int32(59)}},
		{"from a time", "not implemented", lambda.CreateEventSourceMappingInput{StartingPosition: types.EventSourcePositionAtTimestamp}},
	} {
		in := c.in
		if in.FunctionName == nil {
			in.FunctionName = aws.String("refused")
		}
		if in.EventSourceArn == nil {
			in.EventSourceArn = &arn
		}
		in.StartingPosition = cmp.Or(in.StartingPosition, types.EventSourcePositionLatest)
		if _, err := w.lambda.CreateEventSourceMapping(t.Context(), &in); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	w.mapping("refused", arn, lambda.CreateEventSourceMappingInput{})
	_, err := w.lambda.CreateEventSourceMapping(t.Context(), &lambda.CreateEventSourceMappingInput{
		FunctionName: aws.String("refused"), EventSourceArn: &arn, StartingPosition: types.EventSourcePositionLatest,
	})
	if !isCode(err, "ResourceConflictException") {
		t.Errorf("a second mapping of the same kind: %v", err)
	}
}
