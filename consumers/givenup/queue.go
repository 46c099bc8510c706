package givenup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// SQS is what a [Queue] needs of *sqs.Client.
type SQS interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	ChangeMessageVisibilityBatch(
		context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options),
	) (*sqs.ChangeMessageVisibilityBatchOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
}

// Queue is the on-failure queue of a mapping. Safe for concurrent use.
type Queue struct {
	Client SQS
	URL    string
}

// Message is a message of the queue.
type Message struct {
	ID string
	Batch
	// Err is why it has no Batch, see [Parse].
	Err     error
	receipt string
}

const (
	receiveAtOnce = 10 // messages of a request
	waitSeconds   = 1  // of an empty request: more than 0, so that all servers of the queue are asked
)

// Receive receives the messages of the queue, at most most, and sorts them as their shards had
// them. Others do not receive them for hold.
func (q Queue) Receive(ctx context.Context, most int, hold time.Duration) ([]Message, error) {
	var all []Message
	index := map[string]int{} // of the messages in all, by id
	for len(all) < most {
		out, err := q.Client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &q.URL, MaxNumberOfMessages: min(receiveAtOnce, int32(most-len(all))),
			WaitTimeSeconds: waitSeconds, VisibilityTimeout: int32(hold.Seconds()),
		})
		if err != nil {
			return all, fmt.Errorf("receive from the queue %s: %w", q.URL, err)
		}
		before := len(all)
		for _, m := range out.Messages {
			received := Message{ID: aws.ToString(m.MessageId), receipt: aws.ToString(m.ReceiptHandle)}
			received.Batch, received.Err = Parse(aws.ToString(m.Body))
			if i, again := index[received.ID]; again { // hold was over: its receipt is another one now
				all[i] = received
				continue
			}
			index[received.ID] = len(all)
			all = append(all, received)
		}
		if len(all) == before {
			break
		}
	}
	slices.SortStableFunc(all, func(a, b Message) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Shard, b.Shard), cmp.Compare(position(a.First).String(), position(b.First).String()))
	})
	return all, nil
}

// Hold keeps messages from others for so long from now on; 0 gives them back.
func (q Queue) Hold(ctx context.Context, hold time.Duration, messages ...Message) error {
	for chunk := range slices.Chunk(messages, receiveAtOnce) {
		in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &q.URL}
		for i, m := range chunk {
			in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &m.receipt, VisibilityTimeout: int32(hold.Seconds()),
			})
		}
		out, err := q.Client.ChangeMessageVisibilityBatch(ctx, in)
		if err == nil {
			err = failureOf(out.Failed)
		}
		if err != nil {
			return fmt.Errorf("change for how long messages of the queue %s are invisible: %w", q.URL, err)
		}
	}
	return nil
}

// Delete deletes a message for good.
func (q Queue) Delete(ctx context.Context, m Message) error {
	out, err := q.Client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{
		QueueUrl: &q.URL, Entries: []types.DeleteMessageBatchRequestEntry{{Id: aws.String("0"), ReceiptHandle: &m.receipt}},
	})
	if err == nil {
		err = failureOf(out.Failed)
	}
	if err != nil {
		return fmt.Errorf("delete message %s of the queue %s: %w", m.ID, q.URL, err)
	}
	return nil
}

func failureOf(failed []types.BatchResultErrorEntry) error {
	if len(failed) == 0 {
		return nil
	}
	return errors.New(aws.ToString(failed[0].Code) + ": " + aws.ToString(failed[0].Message))
}
