package sqsloop

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/banyan-fig/banyan/infra/awserr"
	"github.com/banyan-fig/banyan/infra/backoff"
)

// poll receives messages once, has them handled, and deletes those that were. The
// others are redelivered when their visibility ends, until the queue's redrive policy
// moves them to its dead-letter queue.
func (e *execution) poll(ctx context.Context) {
	batch, err := e.receive()
	if err != nil {
		e.recordProblem(err)
		_ = backoff.Sleep(e.working, pauseAfterError)
		return
	}
	e.report.Received += len(batch)
	if len(batch) == 0 {
		return
	}
	stop := e.extendVisibility(ctx, batch)
	done, failed, err := e.callHandler(batch)
	stop()
	e.recordProblem(err)
	e.report.Failed += len(failed)
	e.deleteHandled(ctx, done)
}

// pollGrace is how long a poll may take beyond its wait, retries included. A
// connection that hangs would block a loop that keeps sending heartbeats.
const pollGrace = 10 * time.Second

func (e *execution) receive() ([]types.Message, error) {
	e.report.Polls++
	ctx, cancel := context.WithTimeout(e.working, e.queue.Wait+pollGrace)
	defer cancel()
	out, err := e.SQS.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    &e.queue.URL,
		MaxNumberOfMessages:         int32(e.queue.Batch),
		VisibilityTimeout:           seconds(e.queue.Visibility),
		WaitTimeSeconds:             e.waitSeconds(),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		MessageAttributeNames:       []string{"All"},
	}, inRegionOf(e.queue.URL))
	if err != nil {
		return nil, fmt.Errorf("sqsloop: poll %s: %w", e.queue.URL, err)
	}
	return out.Messages, nil
}

func seconds(d time.Duration) int32 { return int32(d / time.Second) }

// waitSeconds leaves most of the time to the handler.
func (e *execution) waitSeconds() int32 {
	n := seconds(e.queue.Wait)
	if e.total == 0 {
		return n
	}
	return min(n, max(1, seconds((e.total-time.Since(e.started))/4)))
}

// callHandler runs the handler and separates what it has done from what failed.
func (e *execution) callHandler(batch []types.Message) (done, failed []types.Message, err error) {
	var answer events.SQSEventResponse
	err = recoverPanic(func() (err error) {
		answer, err = e.Handler(e.working, e.eventOf(batch))
		return err
	})
	if err != nil {
		return nil, batch, err
	}
	bad := map[string]bool{}
	for _, f := range answer.BatchItemFailures {
		known := slices.ContainsFunc(batch, func(m types.Message) bool { return aws.ToString(m.MessageId) == f.ItemIdentifier })
		if !known {
			return nil, batch, fmt.Errorf("sqsloop: the handler reported the failure of message %q, which is not in its batch: all count as failed", f.ItemIdentifier)
		}
		bad[f.ItemIdentifier] = true
	}
	for _, m := range batch {
		if bad[aws.ToString(m.MessageId)] {
			failed = append(failed, m)
		} else {
			done = append(done, m)
		}
	}
	return done, failed, nil
}

// eventOf is the event that an event source mapping would send.
func (e *execution) eventOf(batch []types.Message) events.SQSEvent {
	name, _ := parseQueueURL(e.queue.URL)
	region := cmp.Or(name.region(), e.Region)
	out := events.SQSEvent{Records: make([]events.SQSMessage, 0, len(batch))}
	for _, m := range batch {
		r := events.SQSMessage{
			MessageId: aws.ToString(m.MessageId), ReceiptHandle: aws.ToString(m.ReceiptHandle), Body: aws.ToString(m.Body),
			Md5OfBody: aws.ToString(m.MD5OfBody), Md5OfMessageAttributes: aws.ToString(m.MD5OfMessageAttributes),
			Attributes: m.Attributes, MessageAttributes: map[string]events.SQSMessageAttribute{},
			EventSource: "aws:sqs", EventSourceARN: name.arn(region), AWSRegion: region,
		}
		for k, a := range m.MessageAttributes {
			r.MessageAttributes[k] = events.SQSMessageAttribute{
				StringValue: a.StringValue, BinaryValue: a.BinaryValue, DataType: aws.ToString(a.DataType),
				StringListValues: []string{}, BinaryListValues: [][]byte{},
			}
		}
		out.Records = append(out.Records, r)
	}
	return out
}

// deleteHandled deletes messages and counts them.
func (e *execution) deleteHandled(ctx context.Context, messages []types.Message) {
	left, err := e.deleteMessages(ctx, messages)
	e.report.Deleted += len(messages) - left
	e.report.Undeleted += left
	e.recordProblem(err)
}

// deleteMessages deletes messages, retries those that the service failed to delete, and
// returns how many are left.
func (e *execution) deleteMessages(ctx context.Context, messages []types.Message) (left int, err error) {
	for batch := range slices.Chunk(messages, maxBatch) {
		rest, cause := e.deleteBatch(ctx, batch)
		left += rest
		if cause != nil {
			err = cause
		}
	}
	return left, err
}

func (e *execution) deleteBatch(ctx context.Context, batch []types.Message) (left int, err error) {
	open := make(map[string]types.DeleteMessageBatchRequestEntry, len(batch))
	for i, m := range batch {
		id := strconv.Itoa(i)
		open[id] = types.DeleteMessageBatchRequestEntry{Id: &id, ReceiptHandle: m.ReceiptHandle}
	}
	lost, cause := 0, errors.New("the answer leaves out some messages")
	err = retryFor(ctx, defaultPatience, awserr.IsPermanent, func(ctx context.Context) error {
		in := &sqs.DeleteMessageBatchInput{QueueUrl: &e.queue.URL}
		for _, entry := range open {
			in.Entries = append(in.Entries, entry)
		}
		out, err := e.SQS.DeleteMessageBatch(ctx, in, inRegionOf(e.queue.URL))
		if err != nil {
			return err
		}
		for _, ok := range out.Successful {
			delete(open, aws.ToString(ok.Id))
		}
		for _, f := range out.Failed {
			if f.SenderFault {
				delete(open, aws.ToString(f.Id))
				lost++
			}
			cause = fmt.Errorf("%s: %s", aws.ToString(f.Code), aws.ToString(f.Message))
		}
		if len(open) == 0 {
			return nil // another attempt cannot help those that were lost
		}
		return cause
	})
	if left = lost + len(open); left == 0 {
		return 0, nil
	}
	if err != nil {
		cause = err
	}
	return left, fmt.Errorf("sqsloop: delete %d handled messages of %s, which are redelivered: %w", left, e.queue.URL, cause)
}
