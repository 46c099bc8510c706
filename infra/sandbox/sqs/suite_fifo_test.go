package sqs_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

func (s suite) fifoQueue(t *testing.T, attributes map[string]string) *string {
	t.Helper()
	out, err := s.client.CreateQueue(t.Context(), &sqs.CreateQueueInput{
		QueueName: aws.String("conformance-" + uuid.NewString() + ".fifo"), Attributes: attributes,
	})
	sandboxtest.Must(t, err)
	return out.QueueUrl
}

func (s suite) sendGrouped(t *testing.T, queue *string, group, body string) *sqs.SendMessageOutput {
	t.Helper()
	out, err := s.client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: queue, MessageBody: &body, MessageGroupId: &group})
	sandboxtest.Must(t, err)
	return out
}

func inLine(messages []types.Message) string {
	var out []string
	for _, m := range messages {
		out = append(out, *m.Body)
	}
	return strings.Join(out, " ")
}

// A group's messages come in order, none while one of them is hidden, and the
// same message is not delivered twice.
func (s suite) fifo(t *testing.T) {
	queue := s.fifoQueue(t, map[string]string{"FifoQueue": "true", "ContentBasedDeduplication": "true"})
	first := s.sendGrouped(t, queue, "a", "a1")
	second := s.sendGrouped(t, queue, "a", "a2")
	if again := s.sendGrouped(t, queue, "a", "a1"); *again.MessageId != *first.MessageId {
		t.Errorf("the same message is %s, not %s", *again.MessageId, *first.MessageId)
	}
	if *first.SequenceNumber >= *second.SequenceNumber {
		t.Errorf("sequence number %s, then %s", *first.SequenceNumber, *second.SequenceNumber)
	}
	got := s.receive(t, queue, 30, 0)
	if inLine(got) != "a1 a2" {
		t.Fatalf("received %q", inLine(got))
	}
	if a := got[0].Attributes; a["MessageGroupId"] != "a" || a["SequenceNumber"] != *first.SequenceNumber || a["MessageDeduplicationId"] == "" {
		t.Errorf("attributes %v", a)
	}
	s.sendGrouped(t, queue, "a", "a3")
	s.sendGrouped(t, queue, "b", "b1")
	if got := s.receive(t, queue, 30, 0); inLine(got) != "b1" {
		t.Errorf("while a group's messages are hidden: received %q", inLine(got))
	}
	visible := func(m types.Message) types.ChangeMessageVisibilityBatchRequestEntry {
		return types.ChangeMessageVisibilityBatchRequestEntry{Id: m.MessageId, ReceiptHandle: m.ReceiptHandle}
	}
	_, err := s.client.ChangeMessageVisibilityBatch(t.Context(), &sqs.ChangeMessageVisibilityBatchInput{
		QueueUrl: queue, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{visible(got[0]), visible(got[1])},
	})
	sandboxtest.Must(t, err)
	got = s.receive(t, queue, 30, 0)
	if inLine(got) != "a1 a2 a3" {
		t.Errorf("once they are visible: received %q", inLine(got))
	}
	_, err = s.client.DeleteMessageBatch(t.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: queue, Entries: []types.DeleteMessageBatchRequestEntry{
		{Id: aws.String("1"), ReceiptHandle: got[0].ReceiptHandle}, {Id: aws.String("2"), ReceiptHandle: got[1].ReceiptHandle},
		{Id: aws.String("3"), ReceiptHandle: got[2].ReceiptHandle},
	}})
	sandboxtest.Must(t, err)
	s.sendGrouped(t, queue, "a", "a1")
	s.wantEmpty(t, queue, "a message that was deleted is sent again")
}

func (s suite) fifoLimits(t *testing.T) {
	for name, attributes := range map[string]map[string]string{"x.fifo": nil, "x": {"FifoQueue": "true"}, "y": {"ContentBasedDeduplication": "true"}} {
		_, err := s.client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(uuid.NewString() + name), Attributes: attributes})
		wantRefused(t, err, name)
	}
	queue := s.fifoQueue(t, map[string]string{"FifoQueue": "true"})
	group, id := aws.String("g"), aws.String("1")
	for what, in := range map[string]sqs.SendMessageInput{
		"no group":            {MessageDeduplicationId: id},
		"no deduplication id": {MessageGroupId: group},
		"a delay":             {MessageGroupId: group, MessageDeduplicationId: id, DelaySeconds: 1},
		"a space":             {MessageGroupId: aws.String("a b"), MessageDeduplicationId: id},
	} {
		in.QueueUrl, in.MessageBody = queue, aws.String("x")
		_, err := s.client.SendMessage(t.Context(), &in)
		wantRefused(t, err, what)
	}
}
