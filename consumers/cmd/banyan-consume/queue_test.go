package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	kinesistypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
	"github.com/banyan-fig/banyan/infra/serving"
)

const redriveQueue = "deadletters redrive --rate=1000 --queue="

// publish puts events on the stream, and returns their sequence numbers.
func (w *world) publish(note string, keys ...string) []string {
	w.Helper()
	in := &awskinesis.PutRecordsInput{StreamARN: &w.stream}
	for _, key := range keys {
		in.Records = append(in.Records, kinesistypes.PutRecordsRequestEntry{
			PartitionKey: &key, Data: streamtest.Data(w.T, streamtest.Event(w.T, placed{key, note})),
		})
	}
	out, err := w.kinesis.PutRecords(w.Context(), in)
	sandboxtest.Must(w.T, err)
	var sequences []string
	for _, r := range out.Records {
		sequences = append(sequences, aws.ToString(r.SequenceNumber))
	}
	return sequences
}

// giveUp writes what a mapping would.
func (w *world) giveUp(function string, size int, first, last string) {
	w.Helper()
	w.send(fmt.Sprintf(`{"requestContext": {"functionArn": %q, "condition": "RetryAttemptsExhausted", "approximateInvokeCount": 3},
		"version": "1.0", "timestamp": %q, "KinesisBatchInfo": {"shardId": "shardId-000000000000", "startSequenceNumber": %q,
		"endSequenceNumber": %q, "approximateArrivalOfFirstRecord": %[2]q, "approximateArrivalOfLastRecord": %[2]q,
		"batchSize": %[5]d, "streamArn": %[6]q}}`, function, time.Now().UTC().Format(time.RFC3339), first, last, size, w.stream))
}

func (w *world) send(body string) {
	w.Helper()
	_, err := w.sqs.SendMessage(w.Context(), &awssqs.SendMessageInput{QueueUrl: &w.queue, MessageBody: &body})
	sandboxtest.Must(w.T, err)
}

// batches are what the command lists.
func (w *world) batches() []batchJSON {
	w.Helper()
	code, stdout, stderr := run(w.T, "deadletters", "list", "--limit=0", "--json", "--queue="+w.queue)
	var listed struct{ Batches []batchJSON }
	if err := json.Unmarshal([]byte(stdout), &listed); code != 0 || err != nil {
		w.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	return listed.Batches
}

// TestGivenUpByAMapping: what a mapping gave up is handled by the function that gave up, once it
// can, and is in the queue until then.
func TestGivenUpByAMapping(t *testing.T) {
	w := newWorld(t)
	w.deploy("orders", consumers.Halt)
	w.setBroken("bob", "eve")
	w.publish("", "ada", "bob", "eve", "zoe")
	_, err := w.host.Client.CreateEventSourceMapping(t.Context(), &awslambda.CreateEventSourceMappingInput{
		FunctionName: aws.String("prod-orders"), EventSourceArn: &w.stream, StartingPosition: types.EventSourcePositionTrimHorizon,
		MaximumRetryAttempts: aws.Int32(0), FunctionResponseTypes: []types.FunctionResponseType{types.FunctionResponseTypeReportBatchItemFailures},
		DestinationConfig: &types.DestinationConfig{OnFailure: &types.OnFailure{Destination: aws.String("arn:aws:sqs:us-east-1:000000000000:given-up")}},
	})
	sandboxtest.Must(t, err)
	eventually.True(t, "the mapping gives up", func() bool { return len(w.batches()) > 0 })
	listed := w.batches()
	if b := listed[0]; len(listed) != 1 || b.Stream != w.stream || b.Expires == nil || !b.Expires.Equal(b.FirstArrived.Add(24*time.Hour)) ||
		b.Error != "" || !strings.HasSuffix(b.Function, ":function:prod-orders") {
		t.Fatalf("%+v", listed)
	}
	check(t, "deadletters list --queue="+w.queue, 0, listed[0].First, "RetryAttemptsExhausted")
	check(t, redriveQueue+w.queue+" --dry-run", 0, "1 would be redriven", listed[0].First+" to "+listed[0].Last)
	check(t, redriveQueue+w.queue, exitFailed, "0 redriven, 1 failed", "the function did not finish the batch")
	if again := w.batches(); len(again) != 1 || again[0].Message != listed[0].Message {
		t.Errorf("left: %+v", again)
	}
	w.setBroken()
	check(t, redriveQueue+w.queue, 0, "1 redriven, 0 failed")
	if calls := w.handled(); calls["bob"] != 1 || calls["eve"] != 1 {
		t.Errorf("handled %v", calls)
	}
	check(t, "deadletters list --queue="+w.queue, 0, "no batches were given up")
	check(t, redriveQueue+w.queue, 0, "0 redriven, 0 failed")
}

// TestGivenUpRanges: of a message's range every record is handed over, in invocations that are
// not too large, and none beyond it.
func TestGivenUpRanges(t *testing.T) {
	w := newWorld(t)
	w.deploy("orders", consumers.KeepDeadLetter)
	at := w.publish(strings.Repeat("x", 900<<10), "a", "b", "c", "d", "e", "f", "g", "h", "i")
	w.giveUp("prod-orders", 3, at[1], at[7]) // of 7 MB; 4 of 7 were another lane's
	w.giveUp("prod-orders", 1, at[8], at[8])
	w.send(`{"requestContext": {}, "DDBStreamBatchInfo": {"streamArn": "arn:aws:dynamodb:eu-west-1:000000000000:table/outbox/stream/1"}}`)
	w.send(`{"KinesisBatchInfo": {"shardId": "s", "startSequenceNumber": "2", "endSequenceNumber": "1", "streamArn": "a"}}`)
	w.send("not JSON")
	check(t, "deadletters list --queue="+w.queue, 0, at[7], "DynamoDB stream", "invalid range", "not what Lambda sends")
	check(t, redriveQueue+w.queue, exitFailed, "2 redriven, 3 failed", "7 records were handled, where the batch had 3", "DynamoDB stream")
	w.wantHandled("b:1 c:1 d:1 e:1 f:1 g:1 h:1 i:1")
	if left := w.batches(); len(left) != 3 {
		t.Errorf("left: %+v", left)
	}
}

// TestGivenUpAndExpired: what the stream has no more is told by position, and stays in the queue;
// what it has is handled.
func TestGivenUpAndExpired(t *testing.T) {
	w := newWorld(t)
	w.deploy("orders", consumers.KeepDeadLetter)
	old := w.publish("", "a", "b")
	w.age(23 * time.Hour)
	young := w.publish("", "c", "d")
	w.giveUp("prod-orders", 2, old[0], old[1])
	w.giveUp("prod-orders", 3, old[1], young[0])
	w.giveUp("nowhere", 1, young[1], young[1])
	w.age(2 * time.Hour)
	check(t, redriveQueue+w.queue, exitFailed, "0 redriven, 3 failed", "LOST", "all records have expired from the stream: "+old[0]+" to "+old[1],
		"the first records have expired from the stream: "+old[1]+" up to before "+young[0], "1 others were handled", `function "nowhere" does not exist`)
	w.wantHandled("c:1")
	if left := w.batches(); len(left) != 3 {
		t.Errorf("left: %+v", left)
	}
	check(t, redriveQueue+w.queue+" --function=prod-orders --limit=3", exitFailed, "1 redriven, 2 failed")
	w.wantHandled("c:2 d:1")
	check(t, redriveQueue+"http://127.0.0.1:1/none", serving.ExitFailure, "receive from the queue")
}

// TestGivenUpInterrupted: a signal ends it behind the batch in hand, and others receive the rest
// at once.
func TestGivenUpInterrupted(t *testing.T) {
	w := newWorld(t)
	w.deploy("orders", consumers.KeepDeadLetter)
	at := w.publish("", "a", "b", "c")
	for _, sequence := range at {
		w.giveUp("prod-orders", 1, sequence, sequence)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out strings.Builder
	code := newCommand().Execute(ctx, strings.Fields(redriveQueue+w.queue), &out, atFirstWrite{io.Discard, cancel})
	if left := w.batches(); code != exitStopped || len(left) != 2 || left[0].First != at[1] || left[1].First != at[2] {
		t.Errorf("exit code %d, left %+v", code, left)
	}
	check(t, redriveQueue+w.queue, 0, "2 redriven, 0 failed")
	w.wantHandled("a:1 b:1 c:1")
}
