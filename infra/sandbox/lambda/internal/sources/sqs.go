package sources

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/streams"
)

// SQSAPI is what is used of the SQS client.
type SQSAPI interface {
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
}

// Queue is an SQS queue. It is safe for concurrent use.
type Queue struct {
	Client SQSAPI
	ARN    string
	Region string // shown to functions

	mu  sync.Mutex
	url string
}

// maxMessages is what one request to SQS receives or deletes at most.
const maxMessages = 10

// IsFIFO reports whether the queue of an ARN hands out messages in order.
func IsFIFO(arn string) bool { return strings.HasSuffix(arn, ".fifo") }

// Visibility asks for the queue's visibility timeout.
func (q *Queue) Visibility(ctx context.Context) (time.Duration, error) {
	url, err := q.resolve(ctx)
	if err != nil {
		return 0, err
	}
	name := types.QueueAttributeNameVisibilityTimeout
	out, err := q.Client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{name}})
	if err != nil {
		return 0, fmt.Errorf("asking for the visibility timeout of %s: %w", q.ARN, err)
	}
	seconds, err := strconv.Atoi(out.Attributes[string(name)])
	if err != nil {
		return 0, fmt.Errorf("reading the visibility timeout of %s: %w", q.ARN, err)
	}
	return time.Duration(seconds) * time.Second, nil
}

// Receive implements streams.Queue. It waits whole seconds.
func (q *Queue) Receive(ctx context.Context, limit int, wait time.Duration) ([]streams.Record, error) {
	url, err := q.resolve(ctx)
	if err != nil {
		return nil, err
	}
	out, err := q.Client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: int32(min(limit, maxMessages)), WaitTimeSeconds: int32((wait + time.Second - 1) / time.Second),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll}, MessageAttributeNames: []string{"All"},
	})
	if err != nil {
		return nil, fmt.Errorf("receiving from %s: %w", q.ARN, err)
	}
	var received []streams.Record
	for _, m := range out.Messages {
		event, err := q.event(m)
		if err != nil {
			return nil, fmt.Errorf("encoding message %s of %s: %w", deref(m.MessageId), q.ARN, err)
		}
		received = append(received, streams.Record{Sequence: deref(m.MessageId), Receipt: deref(m.ReceiptHandle), Event: event})
	}
	return received, nil
}

// Delete implements streams.Queue. All are tried, whatever becomes of some.
func (q *Queue) Delete(ctx context.Context, messages []streams.Record) error {
	url, err := q.resolve(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for len(messages) > 0 {
		n := min(len(messages), maxMessages)
		entries := make([]types.DeleteMessageBatchRequestEntry, n)
		for i := range entries {
			id := strconv.Itoa(i)
			entries[i] = types.DeleteMessageBatchRequestEntry{Id: &id, ReceiptHandle: &messages[i].Receipt}
		}
		messages = messages[n:]
		out, err := q.Client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: entries})
		if err != nil {
			failed = append(failed, fmt.Errorf("deleting messages of %s: %w", q.ARN, err))
		} else if len(out.Failed) > 0 {
			failed = append(failed, fmt.Errorf("deleting messages of %s: %d of %d failed, the first with %s",
				q.ARN, len(out.Failed), n, deref(out.Failed[0].Code)))
		}
	}
	return errors.Join(failed...)
}

// sqsEvent is a message as a function gets it (developer guide, "Using Lambda
// with Amazon SQS").
type sqsEvent struct {
	events.SQSMessage
	AttributesMD5 string `json:"md5OfMessageAttributes,omitempty"`
}

func (q *Queue) event(m types.Message) ([]byte, error) {
	out := sqsEvent{AttributesMD5: deref(m.MD5OfMessageAttributes), SQSMessage: events.SQSMessage{
		MessageId: deref(m.MessageId), ReceiptHandle: deref(m.ReceiptHandle), Body: deref(m.Body), Md5OfBody: deref(m.MD5OfBody),
		Attributes: map[string]string{}, MessageAttributes: map[string]events.SQSMessageAttribute{},
		EventSource: "aws:sqs", EventSourceARN: q.ARN, AWSRegion: q.Region,
	}}
	maps.Copy(out.Attributes, m.Attributes)
	for name, a := range m.MessageAttributes {
		out.MessageAttributes[name] = events.SQSMessageAttribute{
			DataType: deref(a.DataType), StringValue: a.StringValue, BinaryValue: a.BinaryValue,
			StringListValues: []string{}, BinaryListValues: [][]byte{},
		}
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // which would make six bytes of one
	err := e.Encode(out)
	return bytes.TrimSpace(text.Bytes()), err
}

func (q *Queue) send(ctx context.Context, body string) error {
	url, err := q.resolve(ctx)
	if err != nil {
		return err
	}
	if _, err := q.Client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body}); err != nil {
		return fmt.Errorf("sending to %s: %w", q.ARN, err)
	}
	return nil
}

// resolve finds the queue's address once.
func (q *Queue) resolve(ctx context.Context) (string, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.url != "" {
		return q.url, nil
	}
	name := q.ARN[strings.LastIndex(q.ARN, ":")+1:]
	out, err := q.Client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
	if err != nil {
		return "", fmt.Errorf("finding the queue %s: %w", q.ARN, err)
	}
	q.url = deref(out.QueueUrl)
	return q.url, nil
}
