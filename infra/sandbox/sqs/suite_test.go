// The suite states what Banyan relies on in SQS, as tests against the
// official client. The same suite runs on the sandbox and on other
// implementations.

package sqs_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

type suite struct {
	client *sqs.Client
}

// conforms runs the suite. It creates queues with random names, and leaves them.
func conforms(t *testing.T, client *sqs.Client, skips ...sandboxtest.Skip) {
	s := suite{client}
	sandboxtest.Run(t, []sandboxtest.Case{
		{Name: "QueueLifecycle", Run: s.queueLifecycle},
		{Name: "UnknownQueue", Run: s.unknownQueue},
		{Name: "Attributes", Run: s.attributes},
		{Name: "InvalidAttributes", Run: s.invalidAttributes},
		{Name: "SendReceiveDelete", Run: s.sendReceiveDelete},
		{Name: "MessageAttributes", Run: s.messageAttributes},
		{Name: "Visibility", Run: s.visibility},
		{Name: "ChangeVisibility", Run: s.changeVisibility},
		{Name: "OnlyTheNewestHandleDeletes", Run: s.onlyTheNewestHandleDeletes},
		{Name: "Delay", Run: s.delay},
		{Name: "LongPollEndsWithAMessage", Run: s.longPollEndsWithAMessage},
		{Name: "LongPollEndsEmpty", Run: s.longPollEndsEmpty},
		{Name: "Batches", Run: s.batches},
		{Name: "BatchLimits", Run: s.batchLimits},
		{Name: "ReceiveLimits", Run: s.receiveLimits},
		{Name: "MessageSize", Run: s.messageSize},
		{Name: "InvalidText", Run: s.invalidText},
		{Name: "Redrive", Run: s.redrive},
		{Name: "FIFO", Run: s.fifo},
		{Name: "FIFOLimits", Run: s.fifoLimits},
	}, skips...)
}

func (s suite) queue(t *testing.T, attributes map[string]string) *string {
	t.Helper()
	queue, err := s.create(t, attributes)
	sandboxtest.Must(t, err)
	return queue
}

func (s suite) create(t *testing.T, attributes map[string]string) (*string, error) {
	out, err := s.client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("conformance-" + uuid.NewString()), Attributes: attributes})
	if err != nil {
		return nil, err
	}
	return out.QueueUrl, nil
}

func (s suite) send(t *testing.T, queue *string, body string) *sqs.SendMessageOutput {
	t.Helper()
	out, err := s.client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: queue, MessageBody: &body})
	sandboxtest.Must(t, err)
	return out
}

// receive receives once; a visibility of 0 is the queue's (the client does not
// send a zero).
func (s suite) receive(t *testing.T, queue *string, visibility, wait int32) []types.Message {
	t.Helper()
	out, err := s.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queue, MaxNumberOfMessages: 10,
		VisibilityTimeout: visibility, WaitTimeSeconds: wait,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll}})
	sandboxtest.Must(t, err)
	return out.Messages
}

func (s suite) receiveOne(t *testing.T, queue *string, visibility, wait int32) types.Message {
	t.Helper()
	messages := s.receive(t, queue, visibility, wait)
	if len(messages) != 1 {
		t.Fatalf("%d messages, want one", len(messages))
	}
	return messages[0]
}

func (s suite) wantEmpty(t *testing.T, queue *string, why string) {
	t.Helper()
	if m := s.receive(t, queue, 0, 0); len(m) != 0 {
		t.Errorf("%s: received %q", why, *m[0].Body)
	}
}

func (s suite) attribute(t *testing.T, queue *string, name types.QueueAttributeName) string {
	t.Helper()
	out, err := s.client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: queue, AttributeNames: []types.QueueAttributeName{name}})
	sandboxtest.Must(t, err)
	return out.Attributes[string(name)]
}

// wantRefused is for client errors that the service does not model.
func wantRefused(t *testing.T, err error, what string) {
	t.Helper()
	refused, ok := errors.AsType[smithy.APIError](err)
	if !ok || strings.Contains(refused.ErrorCode(), "Internal") || refused.ErrorCode() == "UnknownError" {
		t.Errorf("%s: error %v, want it refused", what, err)
	}
}

func (s suite) queueLifecycle(t *testing.T) {
	ctx, queue := t.Context(), s.queue(t, map[string]string{"VisibilityTimeout": "7"})
	name := (*queue)[strings.LastIndexByte(*queue, '/')+1:]
	got, err := s.client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
	sandboxtest.Must(t, err)
	if *got.QueueUrl != *queue {
		t.Errorf("URL %s, want %s", *got.QueueUrl, *queue)
	}
	_, err = s.client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{"VisibilityTimeout": "7"}})
	sandboxtest.Must(t, err) // the same again
	_, err = s.client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{"VisibilityTimeout": "8"}})
	sandboxtest.WantError[*types.QueueNameExists](t, err, "another queue of the name")
	_, err = s.client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(name + "-not")})
	sandboxtest.WantError[*types.QueueDoesNotExist](t, err, "GetQueueUrl of a queue that does not exist")
	_, err = s.client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("no spaces")})
	wantRefused(t, err, "a name with a space")
}

func (s suite) unknownQueue(t *testing.T) {
	ctx, queue := t.Context(), aws.String(*s.queue(t, nil)+"-not")
	_, err := s.client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue, MessageBody: aws.String("x")})
	sandboxtest.WantError[*types.QueueDoesNotExist](t, err, "SendMessage")
	_, err = s.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue})
	sandboxtest.WantError[*types.QueueDoesNotExist](t, err, "ReceiveMessage")
	_, err = s.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: queue})
	sandboxtest.WantError[*types.QueueDoesNotExist](t, err, "GetQueueAttributes")
}

func (s suite) attributes(t *testing.T) {
	queue := s.queue(t, map[string]string{"DelaySeconds": "1", "MessageRetentionPeriod": "60", "VisibilityTimeout": "5"})
	out, err := s.client.GetQueueAttributes(t.Context(),
		&sqs.GetQueueAttributesInput{QueueUrl: queue, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	sandboxtest.Must(t, err)
	for name, want := range map[string]string{
		"DelaySeconds": "1", "MessageRetentionPeriod": "60", "VisibilityTimeout": "5", "ReceiveMessageWaitTimeSeconds": "0",
		"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "0", "ApproximateNumberOfMessagesDelayed": "0",
	} {
		if got := out.Attributes[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if arn := out.Attributes["QueueArn"]; !strings.HasPrefix(arn, "arn:aws:sqs:") {
		t.Errorf("QueueArn %q", arn)
	}
	created, err := strconv.ParseInt(out.Attributes["CreatedTimestamp"], 10, 64)
	if age := time.Since(time.Unix(created, 0)); err != nil || age < -time.Minute || age > time.Minute {
		t.Errorf("CreatedTimestamp %q", out.Attributes["CreatedTimestamp"])
	}
}

func (s suite) invalidAttributes(t *testing.T) {
	for name, value := range map[string]string{
		"VisibilityTimeout": "43201", "DelaySeconds": "901", "MessageRetentionPeriod": "59", "MaximumMessageSize": "1", "Colour": "green",
		"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:not","maxReceiveCount":"2"}`,
	} {
		_, err := s.create(t, map[string]string{name: value})
		wantRefused(t, err, name+"="+value)
	}
}
