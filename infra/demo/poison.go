package demo

import (
	"bytes"
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/consumers/deadletter"
)

// poison is what somebody's mistake puts on the stream: bytes that are no
// event. Each consumer has to keep it as a dead letter and go on.
var poison = []byte("\x00\x01 not an event \xff")

func (w *World) putPoison(ctx context.Context) error {
	_, err := w.aws.kinesis.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: aws.String(streamName), PartitionKey: aws.String("poison"), Data: poison})
	if err != nil {
		return fmt.Errorf("put a record that is no event: %w", err)
	}
	return nil
}

// deadLetters checks that the poison, and nothing else, was given up by each
// consumer, every byte of it kept.
func (w *World) deadLetters(ctx context.Context, r *Report) error {
	store := deadletter.New(w.aws.dynamodb, deadLetterTable)
	return settle(ctx, patience, func() (bool, error) {
		r.DeadLetters, r.DeadLettersWanted = 0, int64(len(consumerNames))
		for _, name := range consumerNames {
			page, err := store.List(ctx, name, deadletter.ListOptions{})
			if err != nil {
				return false, err
			}
			r.DeadLetters += int64(len(page.Letters))
			for _, l := range page.Letters {
				whole, err := store.Get(ctx, name, l.Position)
				if err != nil {
					return false, err
				}
				if !bytes.Equal(whole.Raw, poison) {
					r.Details = append(r.Details, fmt.Sprintf("%s gave up %s %s: %s", name, l.EventType, l.Position, l.Reason))
				}
			}
		}
		return r.DeadLetters >= r.DeadLettersWanted, nil
	})
}
