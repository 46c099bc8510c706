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

	"github.com/banyan-fig/banyan/infra/backoff"
)

// extendVisibility keeps messages hidden while they are handled, three times in each
// visibility timeout, until stop is called.
func (e *execution) extendVisibility(ctx context.Context, batch []types.Message) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		for backoff.Sleep(ctx, e.queue.Visibility/3) == nil {
			if err := e.changeVisibility(ctx, batch); ctx.Err() == nil {
				e.recordProblem(err)
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

// changeVisibility hides messages for another visibility timeout. It gives up in time
// for the next attempt.
func (e *execution) changeVisibility(ctx context.Context, batch []types.Message) error {
	ctx, cancel := context.WithTimeout(ctx, max(e.queue.Visibility/4, time.Second))
	defer cancel()
	in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &e.queue.URL}
	for i, m := range batch {
		id := strconv.Itoa(i)
		in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
			Id: &id, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: seconds(e.queue.Visibility),
		})
	}
	out, err := e.SQS.ChangeMessageVisibilityBatch(ctx, in, inRegionOf(e.queue.URL))
	if err == nil && len(out.Failed) > 0 {
		f := out.Failed[0] // whose message is optional
		err = fmt.Errorf("%s: %s", aws.ToString(f.Code), aws.ToString(f.Message))
	}
	if err != nil {
		return fmt.Errorf("sqsloop: hide messages of %s for longer: %w", e.queue.URL, err)
	}
	return nil
}
