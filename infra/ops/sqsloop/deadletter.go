package sqsloop

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// The attributes that a dead letter has besides its own.
const (
	// AttributeReason is why the message was given up.
	AttributeReason = "banyan-reason"
	// AttributeSource is the URL of the queue that it was in.
	AttributeSource = "banyan-source"
)

// The bounds of SQS for message attributes, and ours for a reason.
const (
	maxAttributes = 10
	maxReason     = 512
)

// bury moves messages to the queue of dead letters: each is deleted only once
// it is there. One that cannot be moved stays and comes again.
func (e *execution) bury(ctx context.Context, dead []types.Message, reason error) {
	var kept []types.Message
	for _, m := range dead {
		if err := e.keep(ctx, m, reason); err != nil {
			e.report.Failed++
			e.problem(err)
			continue
		}
		kept = append(kept, m)
	}
	e.report.Buried += len(kept)
	left, err := e.delete(ctx, kept)
	e.report.Undeleted += left
	e.problem(err)
}

// keep sends one message to the dead letters, with the reason where that fits.
func (e *execution) keep(ctx context.Context, m types.Message, reason error) error {
	in := &sqs.SendMessageInput{QueueUrl: &e.queue.DeadLetters, MessageBody: m.Body, MessageAttributes: e.attributes(m, reason)}
	send := func(ctx context.Context) error { _, err := e.SQS.SendMessage(ctx, in, at(*in.QueueUrl)); return err }
	err := persist(ctx, DefaultPatience, refused, send)
	if err != nil && refused(err) {
		in.MessageAttributes = m.MessageAttributes // the reason may be what is too much
		err = persist(ctx, DefaultPatience, refused, send)
	}
	if err != nil {
		return fmt.Errorf("sqsloop: keep message %s as a dead letter in %s: %w", aws.ToString(m.MessageId), e.queue.DeadLetters, err)
	}
	return nil
}

func (e *execution) attributes(m types.Message, reason error) map[string]types.MessageAttributeValue {
	out := maps.Clone(m.MessageAttributes)
	if out == nil {
		out = map[string]types.MessageAttributeValue{}
	}
	for _, own := range [][2]string{{AttributeReason, sendable(reason.Error())}, {AttributeSource, e.queue.URL}} {
		if len(out) < maxAttributes {
			out[own[0]] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(own[1])}
		}
	}
	return out
}

// sendable shortens a reason and takes out what SQS does not carry.
func sendable(s string) string {
	runes := []rune(strings.ToValidUTF8(s, "?"))
	runes = runes[:min(len(runes), maxReason)]
	for i, r := range runes {
		if r < ' ' && !slices.Contains([]rune{'\t', '\n', '\r'}, r) || r == 0xFFFE || r == 0xFFFF {
			runes[i] = '?'
		}
	}
	if len(runes) == 0 {
		return "unknown"
	}
	return string(runes)
}
