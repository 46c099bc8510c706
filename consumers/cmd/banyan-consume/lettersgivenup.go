package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/banyan-fig/banyan/consumers/givenup"
)

// redriveQueue redrives the batches of a queue. Those that are not finished stay there.
func (c *lettersRedriveCommand) redriveQueue(ctx context.Context, sdk aws.Config, r *redriving) error {
	queue := givenup.Queue{Client: sqs.NewFromConfig(sdk), URL: c.Queue}
	messages, err := queue.Receive(ctx, batchesOf(c.Limit), holdBatch)
	defer func() { release(ctx, queue, messages, r.stderr) }() // all that are left
	if err != nil {
		return err
	}
	b := &batches{redriving: r, queue: queue, stream: kinesis.NewFromConfig(sdk)}
	if !strings.Contains(c.Function, "{consumer}") {
		b.instead = c.Function
	}
	var left []givenup.Message
	for i, m := range messages {
		done, err := b.redrive(ctx, m)
		if !done {
			left = append(left, m)
		}
		if err != nil {
			messages = append(left, messages[i+1:]...)
			return err
		}
	}
	messages = left
	return nil
}

// batches redrives what a queue names.
type batches struct {
	*redriving
	queue   givenup.Queue
	stream  *kinesis.Client
	instead string // function, of the one that gave up
}

// redrive reports whether the message was deleted. Its error is that ctx ended.
func (b *batches) redrive(ctx context.Context, m givenup.Message) (done bool, err error) {
	if err := b.limit.Wait(ctx); err != nil {
		return false, err
	}
	b.Selected++
	what := fmt.Sprintf("%s to %s of %s of %s", m.First, m.Last, m.Shard, m.Stream)
	if m.Err != nil {
		what = "message " + m.ID
	}
	if b.DryRun && m.Err == nil {
		_, err := fmt.Fprintf(b.stderr, "would redrive %s through %s\n", printable(what), printable(b.functionOf(m)))
		return false, err
	}
	err = m.Err
	if err == nil {
		err = b.deliver(ctx, m)
	}
	switch {
	case err == nil:
		b.Redriven++
	case ctx.Err() != nil:
		return false, err
	default:
		b.fail(what, redriveFailed{Stream: m.Stream, Shard: m.Shard, Position: m.First, Last: m.Last, Error: err.Error()})
	}
	b.progress.Do(func() { fmt.Fprintf(b.stderr, "batches redriven %d, failed %d\n", b.Redriven, b.Failed) })
	return err == nil, nil
}

func (b *batches) functionOf(m givenup.Message) string {
	if b.instead != "" {
		return b.instead
	}
	return m.Function
}

// deliver hands over the records, and deletes the message once all are handled.
func (b *batches) deliver(ctx context.Context, m givenup.Message) error {
	if err := b.queue.Hold(ctx, holdBatch, m); err != nil {
		return err
	}
	function := b.functionOf(m)
	n, err := m.Deliver(ctx, b.stream, func(ctx context.Context, payload []byte) ([]byte, error) {
		return invoke(ctx, b.client, function, payload)
	})
	if n > m.Size {
		fmt.Fprintf(b.stderr, "%s to %s: %d records were handled, where the batch had %d: others are between them\n", m.First, m.Last, n, m.Size)
	}
	if errors.Is(err, givenup.ErrExpired) {
		return fmt.Errorf("LOST, unless another copy is kept: %w; %d others were handled; the message stays in the queue", err, n)
	}
	if err != nil {
		return err
	}
	return b.queue.Delete(context.WithoutCancel(ctx), m)
}
