package demo

import (
	"bytes"
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/consumers/deadletter"
)

// malformedRecord is no event. Each consumer has to write it to its dead letters and
// go on.
var malformedRecord = []byte("\x00\x01 not an event \xff")

func (w *World) putMalformedRecord(ctx context.Context) error {
	_, err := w.aws.kinesis.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: aws.String(streamName),
		PartitionKey: aws.String("malformed"), Data: malformedRecord})
	if err != nil {
		return fmt.Errorf("put a malformed record on the stream %s: %w", streamName, err)
	}
	return nil
}

// checkDeadLetters checks that each consumer has the malformed record, whole, as its
// only dead letter.
func (w *World) checkDeadLetters(ctx context.Context, r *Report) error {
	store := deadletter.New(w.aws.dynamodb, deadLetterTable)
	return pollUntil(ctx, drainTimeout, func() (bool, error) {
		r.DeadLetters, r.DeadLettersWanted = 0, int64(len(consumerNames))
		for _, name := range consumerNames {
			page, err := store.List(ctx, name, deadletter.ListOptions{})
			if err != nil {
				return false, err
			}
			r.DeadLetters += int64(len(page.Letters))
			for _, l := range page.Letters {
				whole, err := store.Get(ctx, l.ID())
				if err != nil {
					return false, err
				}
				if !bytes.Equal(whole.Raw, malformedRecord) {
					r.Details = append(r.Details, fmt.Sprintf("%s wrote a dead letter for %s at %s: %s", name, l.EventType, l.Position, l.Reason))
				}
			}
		}
		return r.DeadLetters >= r.DeadLettersWanted, nil
	})
}
