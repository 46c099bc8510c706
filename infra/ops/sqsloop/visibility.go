package sqsloop

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
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

// hide hides messages for another visibility timeout. It gives up in time for the
// next attempt.
func (e *execution) hide(ctx context.Context, batch []types.Message) error {
	ctx, cancel := context.WithTimeout(ctx, max(e.queue.Visibility/4, time.Second))
	defer cancel()
	in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &e.queue.URL}
	for i, m := range batch {
		id := strconv.Itoa(i)
		in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
			Id: &id, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: seconds(e.queue.Visibility),
		})
	}
	out, err := e.SQS.ChangeMessageVisibilityBatch(ctx, in, at(e.queue.URL))
	if err == nil && len(out.Failed) > 0 {
		f := out.Failed[0] // whose message is optional
		err = fmt.Errorf("%s: %s", aws.ToString(f.Code), aws.ToString(f.Message))
	}
	if err != nil {
		return fmt.Errorf("sqsloop: hide messages of %s for longer: %w", e.queue.URL, err)
	}
	return nil
}
