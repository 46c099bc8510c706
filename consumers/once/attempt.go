package once

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// commit brings every job to an end: in effect, dropped, or failed.
func (g *Group) commit(ctx context.Context, jobs []*job) {
	limit := g.cfg.Base
	for attempt := 1; len(jobs) > 0; attempt++ {
		left, wait, err := g.attempt(ctx, jobs)
		if err != nil && len(jobs) > 1 && !wait {
			g.alone(ctx, jobs) // one of them is to blame, and only that one should fail
			return
		}
		if err != nil && (!wait || attempt >= g.cfg.Attempts) {
			fail(left, fmt.Errorf("after %d attempts: %w", attempt, err))
			return
		}
		if wait && !g.pause(ctx, limit) {
			fail(left, fmt.Errorf("after %d attempts and %v: %w", attempt, g.cfg.Timeout, err))
			return
		}
		if wait {
			limit = min(2*limit, time.Second)
		}
		jobs = left
	}
}

func (g *Group) alone(ctx context.Context, jobs []*job) {
	for _, j := range jobs {
		g.commit(ctx, []*job{j})
	}
}

// attempt sends the jobs once. It finishes those that came to an end and
// returns the others; err and wait say whether and when to try these again.
func (g *Group) attempt(ctx context.Context, jobs []*job) (left []*job, wait bool, err error) {
	request := lines(g.cfg.Table, jobs)
	in := &dynamodb.TransactWriteItemsInput{TransactItems: make([]types.TransactWriteItem, len(request))}
	for i, l := range request {
		in.TransactItems[i] = l.write
	}
	if g.cfg.Requests != nil {
		g.cfg.Requests(len(request), len(jobs))
	}
	_, err = g.cfg.Client.TransactWriteItems(ctx, in)
	if err == nil {
		finish(jobs)
		return nil, false, nil
	}
	var cancelled *types.TransactionCanceledException
	if errors.As(err, &cancelled) && len(cancelled.CancellationReasons) == len(request) {
		return settle(jobs, request, cancelled)
	}
	return jobs, retryable(err), err
}

// settle reads why a transaction was cancelled, item by item: a step whose
// condition does not hold is dropped, the others are tried again, at once
// unless somebody else had an item in hand.
func settle(jobs []*job, request []line, cancelled *types.TransactionCanceledException) (left []*job, wait bool, err error) {
	dropped := map[*job]bool{}
	for i, reason := range cancelled.CancellationReasons {
		switch code := text(reason.Code); code {
		case "", "None":
		case "ConditionalCheckFailed":
			for _, j := range request[i].jobs {
				dropped[j] = true
			}
		case "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded":
			wait, err = true, cancelled
		default:
			return jobs, false, fmt.Errorf("item %d of the transaction: %w", i+1, &refusedError{code, text(reason.Message)})
		}
	}
	for _, j := range jobs {
		if dropped[j] {
			j.dropped = true
			close(j.done)
			continue
		}
		left = append(left, j)
	}
	if len(dropped) == 0 && err == nil {
		return left, true, cancelled // cancelled without a reason that we know
	}
	return left, wait, err
}

func finish(jobs []*job) {
	for _, j := range jobs {
		close(j.done)
	}
}

func fail(jobs []*job, err error) {
	for _, j := range jobs {
		j.err = err
		close(j.done)
	}
}

// pause waits a random part of limit, and is false when ctx ends before.
func (g *Group) pause(ctx context.Context, limit time.Duration) bool {
	timer := time.NewTimer(time.Duration(g.cfg.Random(int64(limit)) + 1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// retryable tells what may mend itself. The SDK has retried most of it a few
// times already; it does not retry what a transaction runs into with another.
func retryable(err error) bool {
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded",
			"TransactionInProgressException", "TransactionConflictException", "TransactionCanceledException",
			"InternalServerError", "ServiceUnavailable", "LimitExceededException":
			return true
		}
	}
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) && response.HTTPStatusCode() > 0 {
		return response.HTTPStatusCode() >= 500
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &api)
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
