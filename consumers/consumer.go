package consumers

import (
	"context"
	"errors"
	"fmt"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// Consumer runs one handler over batches. It keeps nothing between batches, and
// is safe for concurrent use.
type Consumer struct {
	cfg    Config
	handle Handler
}

// New makes a consumer, or returns everything that is wrong with cfg.
func New(cfg Config) (*Consumer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return &Consumer{cfg: cfg, handle: wrapHandler(cfg)}, nil
}

// delays are the pauses between the attempts at one message.
var delays = backoff.Backoff{Min: 50 * time.Millisecond, Max: 2 * time.Second}

func wrapHandler(cfg Config) Handler {
	chain := append(append([]Middleware{}, cfg.Middleware...),
		Correlation(),
		Retry(cfg.Attempts, delays),
		Deadline(cfg.Timeout),
		Recover(),
	)
	h := cfg.Handler
	for i := len(chain) - 1; i >= 0; i-- {
		h = chain[i](h)
	}
	return Recover()(h) // middleware may panic as well
}

// HandleKinesis handles one batch of an event source mapping that has
// ReportBatchItemFailures. The response names, for each shard in the batch (there
// is one), the lowest sequence number that is to be delivered again; it is empty
// when none is.
//
// An error applies to the whole batch: it is returned when a record has no sequence
// number to be reported by; then nothing was handled.
func (c *Consumer) HandleKinesis(ctx context.Context, e awsevents.KinesisEvent) (awsevents.KinesisEventResponse, error) {
	tasks, err := unpack(e, c.cfg.Registry)
	if err != nil {
		return awsevents.KinesisEventResponse{}, fmt.Errorf("consumers: %s: %w", c.cfg.Name, err)
	}
	b := newBatch(tasks)
	work, cancel := c.workTime(ctx)
	defer cancel()
	b.run(work, c.cfg.Concurrency, func(t *task) outcome { return c.process(ctx, work, t) })
	if c.cfg.Observe != nil {
		c.cfg.Observe(ctx, b.report(c.cfg.Name, len(e.Records), c.cfg.Now()))
	}
	return b.response(), nil
}

// workTime is ctx less the margin in which no handler runs.
func (c *Consumer) workTime(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	margin := min(c.cfg.Margin, time.Until(deadline)/5)
	return context.WithDeadline(ctx, deadline.Add(-margin))
}

// process decides the outcome of one message: applied, stale, a dead letter, or failed. The handler runs
// under work; a dead letter may use the whole time of the function.
func (c *Consumer) process(ctx, work context.Context, t *task) outcome {
	err := t.broken
	if err == nil {
		err = c.handle(work, t.message)
	}
	switch {
	case err == nil:
		return outcome{kind: applied}
	case errors.Is(err, ErrStale):
		return outcome{kind: stale}
	case t.broken == nil && work.Err() != nil:
		return outcome{kind: unhandled, err: err} // out of time, whatever the error says
	case c.cfg.Policy == Halt || IsUnavailable(err):
		return outcome{kind: failed, err: err}
	}
	return c.writeDeadLetter(ctx, t, err)
}
