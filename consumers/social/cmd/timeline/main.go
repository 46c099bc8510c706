// Command timeline is the Lambda function that keeps timelines from events. Besides what
// package function reads, its environment is
//
//	TIMELINE_TABLE       its table, default banyan-timeline
//	TIMELINE_THRESHOLD   followers beyond which an author is a celebrity, default 10000
//	TIMELINE_QUEUE_URL   SQS queue for what is left of a fan-out; without one the handler of
//	                     a post does all of it, and the author's later events wait
//
// It is invoked by the stream and by that queue, a standard one, whose mapping must have
// ReportBatchItemFailures. Its role may sqs:SendMessage there, besides what the mapping
// needs: sqs:ReceiveMessage, sqs:DeleteMessage and sqs:GetQueueAttributes.
package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/function"
	"github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/consumers/source"
	"github.com/banyan-fig/banyan/events/social"
)

const (
	tableVariable     = "TIMELINE_TABLE"
	thresholdVariable = "TIMELINE_THRESHOLD"
	queueVariable     = "TIMELINE_QUEUE_URL"
)

func main() { function.Main(spec()) }

func spec() function.Spec {
	return function.Spec{
		Name:     "timeline",
		Registry: social.Registry(),
		Sources:  []source.Source{source.Kinesis(), source.SQS(source.Raw)},
		Tables:   []function.Table{{Variable: tableVariable, Default: timeline.DefaultTable}},
		Handler:  newHandler,
	}
}

func newHandler(e function.Env) (consumers.Handler, error) {
	cfg := timeline.Config{Client: e.DynamoDB, Table: e.Table(tableVariable)}
	if text := e.Getenv(thresholdVariable); text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%s must be a number of followers from 1, not %q", thresholdVariable, text)
		}
		cfg.Threshold = int(n)
	}
	if url := e.Getenv(queueVariable); url != "" {
		cfg.Enqueue = enqueue(sqs.NewFromConfig(e.AWS, withoutChain), url)
	}
	m, err := timeline.New(cfg)
	if err != nil {
		return nil, err
	}
	queue := source.SQS().Name()
	return func(ctx context.Context, msg consumers.Message) error {
		if msg.Source == queue {
			return m.Continue(ctx, msg.Raw)
		}
		return m.Handle(ctx, msg)
	}, nil
}

// withoutChain keeps the ids and the call chain out of continuations: a page calls the next
// as often as there are pages, which is no loop to be stopped.
func withoutChain(o *sqs.Options) { o.APIOptions = nil }

func enqueue(client *sqs.Client, url string) func(context.Context, []byte) error {
	return func(ctx context.Context, body []byte) error {
		_, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String(string(body))})
		if err != nil {
			return fmt.Errorf("send to %s, of %s: %w", url, queueVariable, err)
		}
		return nil
	}
}
