package once

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/awserr"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// commit decides every change: it takes effect, is dropped, or fails.
func (w *Writer) commit(ctx context.Context, changes []*pending) {
	for attempt := 1; len(changes) > 0; attempt++ {
		left, wait, err := w.sendOnce(ctx, changes)
		if err != nil && len(changes) > 1 && !wait {
			w.commitEachAlone(ctx, changes) // only the change that caused it should fail
			return
		}
		if err != nil && (!wait || attempt >= w.cfg.Attempts) {
			failAll(left, fmt.Errorf("after %d attempts: %w", attempt, err))
			return
		}
		if wait && w.cfg.Delays.Wait(ctx, attempt-1) != nil {
			failAll(left, fmt.Errorf("after %d attempts within %v: %w", attempt, w.cfg.Timeout, err))
			return
		}
		changes = left
	}
}

func (w *Writer) commitEachAlone(ctx context.Context, changes []*pending) {
	for _, p := range changes {
		w.commit(ctx, []*pending{p})
	}
}

// sendOnce sends the changes once. It completes those that took effect or were dropped and
// returns the others, with err when the request failed. wait says whether to send the
// others again after a delay.
func (w *Writer) sendOnce(ctx context.Context, changes []*pending) (left []*pending, wait bool, err error) {
	request := requestLines(w.cfg.Table, changes)
	in := &dynamodb.TransactWriteItemsInput{TransactItems: make([]types.TransactWriteItem, len(request))}
	for i, l := range request {
		in.TransactItems[i] = l.item
	}
	_, err = w.cfg.Client.TransactWriteItems(ctx, in)
	if err == nil {
		for _, p := range changes {
			close(p.done)
		}
		return nil, false, nil
	}
	if reasons := dynamo.CancellationReasons(err); len(reasons) == len(request) {
		return dropRefused(changes, request, reasons, err)
	}
	return changes, !awserr.IsPermanent(err), err
}

// dropRefused reads for each item why the transaction was cancelled. A change whose
// condition did not hold is dropped. The others are sent again, after a delay if an
// item was in another transaction, or throttled.
func dropRefused(
	changes []*pending, request []line, reasons []types.CancellationReason, cancelled error,
) (left []*pending, wait bool, err error) {
	dropped := map[*pending]bool{}
	for i, reason := range reasons {
		switch code := aws.ToString(reason.Code); code {
		case "", "None":
		case dynamo.CodeConditionFailed:
			for _, p := range request[i].changes {
				dropped[p] = true
			}
		case "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded":
			wait, err = true, cancelled
		default:
			rejected := &rejectedError{code, aws.ToString(reason.Message)}
			return changes, false, fmt.Errorf("item %d of the transaction: %w", i+1, rejected)
		}
	}
	for _, p := range changes {
		if dropped[p] {
			p.dropped = true
			close(p.done)
			continue
		}
		left = append(left, p)
	}
	if len(dropped) == 0 && err == nil {
		return left, true, cancelled // cancelled for an unknown reason
	}
	return left, wait, err
}

func failAll(changes []*pending, err error) {
	for _, p := range changes {
		p.err = err
		close(p.done)
	}
}
