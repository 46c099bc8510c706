// Package sqstest states what Banyan relies on in SQS, as tests against the
// official client. The same suite runs on the sandbox and on other
// implementations.
package sqstest

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/google/uuid"
)

// Skip leaves out one test for a peer that differs from the documented
// service, and says how.
type Skip struct{ Test, Why string }

type suite struct {
	client *sqs.Client
}

// Run runs the suite. It creates queues with random names and deletes them.
func Run(t *testing.T, client *sqs.Client, skips ...Skip) {
	s := suite{client}
	tests := []struct {
		name string
		run  func(*testing.T)
	}{
		{"QueueLifecycle", s.queueLifecycle},
		{"UnknownQueue", s.unknownQueue},
		{"Attributes", s.attributes},
		{"InvalidAttributes", s.invalidAttributes},
		{"SendReceiveDelete", s.sendReceiveDelete},
		{"MessageAttributes", s.messageAttributes},
		{"Visibility", s.visibility},
		{"ChangeVisibility", s.changeVisibility},
		{"OnlyTheNewestHandleDeletes", s.onlyTheNewestHandleDeletes},
		{"InvalidHandle", s.invalidHandle},
		{"Delay", s.delay},
		{"LongPollEndsWithAMessage", s.longPollEndsWithAMessage},
		{"LongPollEndsEmpty", s.longPollEndsEmpty},
		{"Batches", s.batches},
		{"BatchLimits", s.batchLimits},
		{"ReceiveLimits", s.receiveLimits},
		{"MessageSize", s.messageSize},
		{"InvalidText", s.invalidText},
		{"Redrive", s.redrive},
		{"RedriveToNowhere", s.redriveToNowhere},
		{"Purge", s.purge},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if i := slices.IndexFunc(skips, func(s Skip) bool { return s.Test == test.name }); i >= 0 {
				t.Skip(skips[i].Why)
			}
			test.run(t)
		})
	}
}

func (s suite) queue(t *testing.T, attributes map[string]string) *string {
	t.Helper()
	out, err := s.client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("conformance-" + uuid.NewString()), Attributes: attributes})
	fatal(t, err)
	t.Cleanup(func() {
		_, err := s.client.DeleteQueue(context.WithoutCancel(t.Context()), &sqs.DeleteQueueInput{QueueUrl: out.QueueUrl})
		if err != nil && !is[*types.QueueDoesNotExist](err) {
			t.Errorf("delete queue: %v", err)
		}
	})
	return out.QueueUrl
}

func (s suite) send(t *testing.T, queue *string, body string) *sqs.SendMessageOutput {
	t.Helper()
	out, err := s.client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: queue, MessageBody: &body})
	fatal(t, err)
	return out
}

// receive receives once; a visibility of 0 is the queue's (the client does not
// send a zero).
func (s suite) receive(t *testing.T, queue *string, visibility, wait int32) []types.Message {
	t.Helper()
	out, err := s.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queue, MaxNumberOfMessages: 10, VisibilityTimeout: visibility, WaitTimeSeconds: wait,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll}, MessageAttributeNames: []string{"All"}})
	fatal(t, err)
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
	fatal(t, err)
	return out.Attributes[string(name)]
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func wantError[E error](t *testing.T, err error, what string) {
	t.Helper()
	if !is[E](err) {
		t.Errorf("%s: error %v, want a %T", what, err, *new(E))
	}
}

// wantRefused is for client errors that the service does not model.
func wantRefused(t *testing.T, err error, what string) {
	t.Helper()
	refused, ok := errors.AsType[smithy.APIError](err)
	if !ok || strings.Contains(refused.ErrorCode(), "Internal") || refused.ErrorCode() == "UnknownError" {
		t.Errorf("%s: error %v, want it refused", what, err)
	}
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s suite) queueLifecycle(t *testing.T) {
	ctx, queue := t.Context(), s.queue(t, map[string]string{"VisibilityTimeout": "7"})
	name := (*queue)[strings.LastIndexByte(*queue, '/')+1:]
	got, err := s.client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
	fatal(t, err)
	if *got.QueueUrl != *queue {
		t.Errorf("URL %s, want %s", *got.QueueUrl, *queue)
	}
	list, err := s.client.ListQueues(ctx, &sqs.ListQueuesInput{QueueNamePrefix: &name})
	fatal(t, err)
	if !slices.Equal(list.QueueUrls, []string{*queue}) {
		t.Errorf("queues %q", list.QueueUrls)
	}
	_, err = s.client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{"VisibilityTimeout": "7"}})
	fatal(t, err) // the same again
	_, err = s.client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{"VisibilityTimeout": "8"}})
	wantError[*types.QueueNameExists](t, err, "another queue of the name")
	_, err = s.client.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: queue})
	fatal(t, err)
	_, err = s.client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
	wantError[*types.QueueDoesNotExist](t, err, "a deleted queue")
	_, err = s.client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("no spaces")})
	wantRefused(t, err, "a name with a space")
}

func (s suite) unknownQueue(t *testing.T) {
	ctx, queue := t.Context(), aws.String(*s.queue(t, nil)+"-not")
	_, err := s.client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue, MessageBody: aws.String("x")})
	wantError[*types.QueueDoesNotExist](t, err, "SendMessage")
	_, err = s.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue})
	wantError[*types.QueueDoesNotExist](t, err, "ReceiveMessage")
	_, err = s.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: queue})
	wantError[*types.QueueDoesNotExist](t, err, "GetQueueAttributes")
}

func (s suite) attributes(t *testing.T) {
	queue := s.queue(t, map[string]string{"DelaySeconds": "1"})
	_, err := s.client.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: queue, Attributes: map[string]string{"MessageRetentionPeriod": "60", "VisibilityTimeout": "5"}})
	fatal(t, err)
	out, err := s.client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: queue, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	fatal(t, err)
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
	queue := s.queue(t, nil)
	for name, value := range map[string]string{"VisibilityTimeout": "43201", "DelaySeconds": "901", "MessageRetentionPeriod": "59", "MaximumMessageSize": "1", "Colour": "green"} {
		_, err := s.client.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: queue, Attributes: map[string]string{name: value}})
		wantRefused(t, err, name+"="+value)
	}
}

func (s suite) purge(t *testing.T) {
	queue := s.queue(t, nil)
	s.send(t, queue, "x")
	_, err := s.client.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: queue})
	fatal(t, err)
	s.wantEmpty(t, queue, "purged")
	_, err = s.client.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: queue})
	wantError[*types.PurgeQueueInProgress](t, err, "purge again within a minute")
}
