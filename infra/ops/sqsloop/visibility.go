package sqsloop

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// extend keeps messages hidden while they are in work, three times in each
// visibility timeout, until it is told to stop.
func (e *execution) extend(ctx context.Context, batch []types.Message) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		for wait(ctx, e.queue.Visibility/3) {
			if err := e.hide(ctx, batch); ctx.Err() == nil {
				e.problem(err)
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

// hide hides messages for another visibility timeout.
func (e *execution) hide(ctx context.Context, batch []types.Message) error {
	in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &e.queue.URL}
	for i, m := range batch {
		id := strconv.Itoa(i)
		in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
			Id: &id, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: seconds(e.queue.Visibility),
		})
	}
	out, err := e.SQS.ChangeMessageVisibilityBatch(ctx, in)
	if err == nil && len(out.Failed) > 0 {
		err = errors.New(*out.Failed[0].Message)
	}
	if err != nil {
		return fmt.Errorf("sqsloop: hide messages of %s for longer: %w", e.queue.URL, err)
	}
	return nil
}
