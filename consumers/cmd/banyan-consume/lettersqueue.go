package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/banyan-fig/banyan/consumers/givenup"
)

// queueFlag is for batches of which only the positions were kept.
type queueFlag struct {
	Queue string `help:"Instead of letters, the batches that a mapping gave up: URL of its on-failure queue." placeholder:"URL"`
}

func (f queueFlag) validate(consumer string, filter filterFlags) error {
	switch {
	case (f.Queue == "") == (consumer == ""):
		return errors.New("either a consumer or a --queue is required")
	case f.Queue != "" && filter != filterFlags{}:
		return errors.New("the batches of a --queue cannot be filtered")
	}
	return nil
}

const (
	// mostBatches bounds the memory, and for how many others wait.
	mostBatches = 1000
	// holdList is for how long a list that is killed hides messages, holdBatch how long a
	// batch may take before somebody else receives it, too.
	holdList  = 30 * time.Second
	holdBatch = 20 * time.Minute
)

// batchesOf is how many messages are received where at most limit are wanted.
func batchesOf(limit int) int {
	if limit <= 0 {
		return mostBatches
	}
	return min(limit, mostBatches)
}

// batchJSON is a batch for programs.
type batchJSON struct {
	Message      string     `json:"message"`
	Function     string     `json:"function,omitempty"`
	Condition    string     `json:"condition,omitempty"`
	Stream       string     `json:"stream,omitempty"`
	Shard        string     `json:"shard,omitempty"`
	First        string     `json:"first,omitempty"`
	Last         string     `json:"last,omitempty"`
	Size         int        `json:"size,omitempty"`
	FirstArrived *time.Time `json:"first_arrived,omitempty"`
	At           *time.Time `json:"at,omitempty"`
	// Expires is when the stream deletes the first record; nil where that is not known.
	Expires *time.Time `json:"expires,omitempty"`
	Error   string     `json:"error,omitempty"`
}

// release lets others receive messages again.
func release(ctx context.Context, queue givenup.Queue, messages []givenup.Message, stderr io.Writer) {
	if err := queue.Hold(context.WithoutCancel(ctx), 0, messages...); err != nil {
		fmt.Fprintf(stderr, "some messages stay invisible for up to %v: %v\n", holdBatch, err)
	}
}

func (c *lettersListCommand) listQueue(ctx context.Context, sdk aws.Config, w, stderr io.Writer) error {
	queue := givenup.Queue{Client: sqs.NewFromConfig(sdk), URL: c.Queue}
	messages, err := queue.Receive(ctx, batchesOf(c.Limit), holdList)
	defer func() { release(ctx, queue, messages, stderr) }()
	if err != nil {
		return err
	}
	retention := retentions{client: kinesis.NewFromConfig(sdk), known: map[string]time.Duration{}}
	listed := []batchJSON{}
	for _, m := range messages {
		b := batchJSON{
			Message: m.ID, Function: m.Function, Condition: m.Condition, Stream: m.Stream, Shard: m.Shard, First: m.First, Last: m.Last,
			Size: m.Size, FirstArrived: unlessZero(m.FirstArrived), At: unlessZero(m.At),
		}
		if m.Err != nil {
			b.Error = m.Err.Error()
		} else if life := retention.of(ctx, m.Stream); life > 0 {
			b.Expires = unlessZero(m.FirstArrived.Add(life))
		}
		listed = append(listed, b)
	}
	if c.JSON {
		return printJSON(w, map[string]any{"batches": listed})
	}
	return printBatches(w, listed)
}

// retentions are those of streams, 0 where it is not known.
type retentions struct {
	client *kinesis.Client
	known  map[string]time.Duration
}

func (r retentions) of(ctx context.Context, stream string) time.Duration {
	life, asked := r.known[stream]
	if !asked {
		out, err := r.client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamARN: &stream})
		if err == nil && out.StreamDescriptionSummary != nil {
			life = time.Duration(aws.ToInt32(out.StreamDescriptionSummary.RetentionPeriodHours)) * time.Hour
		}
		r.known[stream] = life
	}
	return life
}

func printBatches(w io.Writer, listed []batchJSON) error {
	if len(listed) == 0 {
		_, err := fmt.Fprintln(w, "no batches were given up, or somebody redrives them")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "GIVEN UP\tEXPIRES\tRECORDS\tSHARD\tFIRST\tLAST\tFUNCTION\tWHY\n")
	for _, b := range listed {
		if b.Error != "" {
			fmt.Fprintf(t, "%s\t\t\t\t\t\t\t%s\n", printable(b.Message), printable(b.Error))
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", timeText(aws.ToTime(b.At)), timeText(aws.ToTime(b.Expires)), b.Size,
			printable(b.Shard), b.First, b.Last, printable(b.Function), printable(b.Condition))
	}
	return t.Flush()
}
