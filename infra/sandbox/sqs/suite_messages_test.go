package sqs_test

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

func (s suite) sendReceiveDelete(t *testing.T) {
	queue := s.queue(t, nil)
	sent := s.send(t, queue, "héllo\n☃")
	got := s.receiveOne(t, queue, 30, 1)
	if *got.Body != "héllo\n☃" || *got.MessageId != *sent.MessageId || *got.MD5OfBody != *sent.MD5OfMessageBody {
		t.Errorf("sent %+v, received %+v", sent, got)
	}
	if got.Attributes["ApproximateReceiveCount"] != "1" {
		t.Errorf("attributes %v", got.Attributes)
	}
	at, err := strconv.ParseInt(got.Attributes["SentTimestamp"], 10, 64)
	if age := time.Since(time.UnixMilli(at)); err != nil || age < -time.Minute || age > time.Minute {
		t.Errorf("SentTimestamp %q", got.Attributes["SentTimestamp"])
	}
	if n := s.attribute(t, queue, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible); n != "1" {
		t.Errorf("%s in flight, want 1", n)
	}
	s.wantEmpty(t, queue, "in flight")
	s.delete(t, queue, got)
	if n := s.attribute(t, queue, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible); n != "0" {
		t.Errorf("%s in flight after the delete, want 0", n)
	}
	s.delete(t, queue, got) // again, which is no error
}

func (s suite) messageAttributes(t *testing.T) {
	queue := s.queue(t, nil)
	attributes := map[string]types.MessageAttributeValue{
		"a.b": {DataType: aws.String("String"), StringValue: aws.String("Zoë")}, "a.c": {DataType: aws.String("Number"), StringValue: aws.String("7")},
		"d": {DataType: aws.String("Binary"), BinaryValue: []byte{0, 255}},
	}
	var sent *sqs.SendMessageOutput
	for range 4 { // one for each way to ask below
		var err error
		sent, err = s.client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: queue, MessageBody: aws.String("x"), MessageAttributes: attributes})
		sandboxtest.Must(t, err)
	}
	if md5 := aws.ToString(sent.MD5OfMessageAttributes); md5 != "d32644f5b2d4f5b1c99a22e12f07a285" {
		t.Errorf("MD5 %s", md5)
	}
	for _, c := range []struct{ asked, want []string }{
		{nil, nil}, {[]string{"d", "e"}, []string{"d"}}, {[]string{"a.*"}, []string{"a.b", "a.c"}}, {[]string{"All"}, []string{"a.b", "a.c", "d"}},
	} {
		out, err := s.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: queue, MessageAttributeNames: c.asked, WaitTimeSeconds: 1,
		})
		sandboxtest.Must(t, err)
		if len(out.Messages) != 1 {
			t.Fatalf("%d messages", len(out.Messages))
		}
		got := out.Messages[0].MessageAttributes
		if !slices.Equal(slices.Sorted(maps.Keys(got)), c.want) {
			t.Errorf("asked for %v: got %v, want %v", c.asked, got, c.want)
		}
		for name, a := range got {
			if aws.ToString(a.StringValue) != aws.ToString(attributes[name].StringValue) || !bytes.Equal(a.BinaryValue, attributes[name].BinaryValue) {
				t.Errorf("%s is %+v", name, a)
			}
		}
	}
	attributes["e"] = types.MessageAttributeValue{DataType: aws.String("Text"), StringValue: aws.String("x")}
	_, err := s.client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: queue, MessageBody: aws.String("x"), MessageAttributes: attributes})
	if err == nil {
		t.Error("an attribute of an unknown type was accepted")
	}
}

func (s suite) delete(t *testing.T, queue *string, m types.Message) {
	t.Helper()
	out, err := s.client.DeleteMessageBatch(t.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: queue,
		Entries: []types.DeleteMessageBatchRequestEntry{{Id: aws.String("a"), ReceiptHandle: m.ReceiptHandle}}})
	sandboxtest.Must(t, err)
	if len(out.Failed) > 0 {
		t.Errorf("delete: %+v", out.Failed)
	}
}

func (s suite) visibility(t *testing.T) {
	queue := s.queue(t, nil)
	s.send(t, queue, "x")
	s.receiveOne(t, queue, 1, 1)
	s.wantEmpty(t, queue, "within the timeout")
	again := s.receiveOne(t, queue, 0, 3)
	if again.Attributes["ApproximateReceiveCount"] != "2" {
		t.Errorf("received %s times, want 2", again.Attributes["ApproximateReceiveCount"])
	}
}

func (s suite) changeVisibility(t *testing.T) {
	queue := s.queue(t, nil)
	s.send(t, queue, "x")
	m := s.receiveOne(t, queue, 60, 1)
	out, err := s.client.ChangeMessageVisibilityBatch(t.Context(), &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: queue,
		Entries: []types.ChangeMessageVisibilityBatchRequestEntry{{Id: aws.String("a"), ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 0}}})
	sandboxtest.Must(t, err)
	if len(out.Failed) > 0 {
		t.Errorf("failed %+v", out.Failed)
	}
	m = s.receiveOne(t, queue, 60, 0)
	s.delete(t, queue, m)
	s.wantEmpty(t, queue, "deleted")
}

func (s suite) onlyTheNewestHandleDeletes(t *testing.T) {
	queue := s.queue(t, map[string]string{"VisibilityTimeout": "0"})
	s.send(t, queue, "x")
	old := s.receiveOne(t, queue, 0, 1)
	newer := s.receiveOne(t, queue, 0, 1)
	s.delete(t, queue, old)
	still := s.receiveOne(t, queue, 0, 1)
	if *still.MessageId != *newer.MessageId {
		t.Errorf("another message: %+v", still)
	}
	s.delete(t, queue, still)
	s.wantEmpty(t, queue, "deleted by the newest handle")
}

func (s suite) delay(t *testing.T) {
	queue := s.queue(t, map[string]string{"DelaySeconds": "1"})
	s.send(t, queue, "late")
	if n := s.attribute(t, queue, types.QueueAttributeNameApproximateNumberOfMessagesDelayed); n != "1" {
		t.Errorf("%s delayed, want 1", n)
	}
	_, err := s.client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: queue, MessageBody: aws.String("too late"), DelaySeconds: 901})
	wantRefused(t, err, "a delay of 901 s")
	s.wantEmpty(t, queue, "delayed")
	if m := s.receiveOne(t, queue, 0, 3); *m.Body != "late" {
		t.Errorf("received %q", *m.Body)
	}
}

func (s suite) longPollEndsWithAMessage(t *testing.T) {
	queue := s.queue(t, nil)
	done := make(chan []types.Message, 1)
	start := time.Now()
	go func() {
		out, err := s.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queue, WaitTimeSeconds: 20})
		if err != nil {
			t.Error(err)
			done <- nil
			return
		}
		done <- out.Messages
	}()
	time.Sleep(100 * time.Millisecond) // the message comes late
	s.send(t, queue, "x")
	if messages := <-done; len(messages) != 1 {
		t.Errorf("%d messages", len(messages))
	}
	if waited := time.Since(start); waited > 15*time.Second {
		t.Errorf("waited %s for a message that was there", waited)
	}
}

func (s suite) longPollEndsEmpty(t *testing.T) {
	queue, start := s.queue(t, nil), time.Now()
	if m := s.receive(t, queue, 0, 1); len(m) != 0 {
		t.Errorf("received %d", len(m))
	}
	if waited := time.Since(start); waited < 900*time.Millisecond {
		t.Errorf("waited only %s", waited)
	}
}

func (s suite) batches(t *testing.T) {
	ctx, queue := t.Context(), s.queue(t, nil)
	var entries []types.SendMessageBatchRequestEntry
	for i := range 10 {
		entries = append(entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String("m" + strconv.Itoa(i))})
	}
	sent, err := s.client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: queue, Entries: entries})
	sandboxtest.Must(t, err)
	if len(sent.Successful) != 10 || len(sent.Failed) != 0 {
		t.Fatalf("%d sent, %d failed", len(sent.Successful), len(sent.Failed))
	}
	var handles []*string
	for len(handles) < 10 {
		for _, m := range s.receive(t, queue, 60, 1) {
			handles = append(handles, m.ReceiptHandle)
		}
	}
	deletes := []types.DeleteMessageBatchRequestEntry{{Id: aws.String("bad"), ReceiptHandle: aws.String("nonsense")}}
	for i, h := range handles[:9] {
		deletes = append(deletes, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: h})
	}
	deleted, err := s.client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: queue, Entries: deletes})
	sandboxtest.Must(t, err)
	if len(deleted.Successful) != 9 || len(deleted.Failed) != 1 || *deleted.Failed[0].Id != "bad" || !deleted.Failed[0].SenderFault {
		t.Errorf("%d deleted, failed %+v", len(deleted.Successful), deleted.Failed)
	}
	_, err = s.client.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: queue,
		Entries: []types.ChangeMessageVisibilityBatchRequestEntry{{Id: aws.String("a"), ReceiptHandle: handles[9], VisibilityTimeout: 0}}})
	sandboxtest.Must(t, err)
	s.receiveOne(t, queue, 0, 1)
}

func (s suite) batchLimits(t *testing.T) {
	queue := s.queue(t, nil)
	send := func(bodies int, size int, id func(int) string) error {
		entries := []types.SendMessageBatchRequestEntry{}
		for i := range bodies {
			entries = append(entries, types.SendMessageBatchRequestEntry{Id: aws.String(id(i)), MessageBody: aws.String(strings.Repeat("x", size))})
		}
		_, err := s.client.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: queue, Entries: entries})
		return err
	}
	sandboxtest.WantError[*types.TooManyEntriesInBatchRequest](t, send(11, 1, strconv.Itoa), "11 entries")
	sandboxtest.WantError[*types.BatchEntryIdsNotDistinct](t, send(2, 1, func(int) string { return "same" }), "the same id twice")
	sandboxtest.WantError[*types.InvalidBatchEntryId](t, send(1, 1, func(int) string { return "a b" }), "an id with a space")
	sandboxtest.WantError[*types.BatchRequestTooLong](t, send(10, 200<<10, strconv.Itoa), "2 MB")
	sandboxtest.WantError[*types.EmptyBatchRequest](t, send(0, 1, strconv.Itoa), "nothing")
}

func (s suite) receiveLimits(t *testing.T) {
	queue := s.queue(t, nil)
	_, err := s.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queue, MaxNumberOfMessages: 11})
	wantRefused(t, err, "11 messages")
	_, err = s.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queue, WaitTimeSeconds: 21})
	wantRefused(t, err, "a wait of 21 s")
}

func (s suite) messageSize(t *testing.T) {
	queue := s.queue(t, map[string]string{"MaximumMessageSize": "1048576"})
	smaller := s.queue(t, map[string]string{"MaximumMessageSize": "262144"})
	send := func(queue *string, n int) error {
		_, err := s.client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: queue, MessageBody: aws.String(strings.Repeat("x", n))})
		return err
	}
	sandboxtest.Must(t, send(queue, 1<<20))
	wantRefused(t, send(queue, 1<<20+1), "more than 1 MiB")
	sandboxtest.Must(t, send(smaller, 256<<10))
	wantRefused(t, send(smaller, 256<<10+1), "more than 256 KiB")
}

func (s suite) invalidText(t *testing.T) {
	_, err := s.client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: s.queue(t, nil), MessageBody: aws.String("a\x01b")})
	sandboxtest.WantError[*types.InvalidMessageContents](t, err, "a control character")
}

func (s suite) redrive(t *testing.T) {
	dead := s.queue(t, nil)
	arn := s.attribute(t, dead, types.QueueAttributeNameQueueArn)
	queue := s.queue(t, map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"` + arn + `","maxReceiveCount":"2"}`, "VisibilityTimeout": "0"})
	sent := s.send(t, queue, "poison")
	s.receiveOne(t, queue, 0, 1)
	s.receiveOne(t, queue, 0, 1)
	s.wantEmpty(t, queue, "received twice already")
	got := s.receiveOne(t, dead, 0, 1)
	if *got.MessageId != *sent.MessageId || *got.Body != "poison" {
		t.Errorf("the dead letter is %+v", got)
	}
}
