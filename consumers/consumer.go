package consumers

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// Consumer runs one handler over batches. Between batches it keeps which messages of an
// unfinished one are finished. It is safe for concurrent use.
type Consumer struct {
	cfg       Config
	handle    Handler
	memory    memory
	abandoned abandoned
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
		StopLoops(cfg.MaxChain),
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

// ErrWornOut is returned for a batch when too many handlers that were abandoned, since
// they ignored the end of their context, still run. Nothing was handled; the process must
// end, so that another one is given the batch. [function.Main] does that.
var ErrWornOut = fmt.Errorf("%d handlers that ignored the end of their context still run", maxAbandoned)

// maxAbandoned bounds what abandoned handlers can hold on to.
const maxAbandoned = 32

// abandoned counts handlers that run though nobody waits for them.
type abandoned struct{ n atomic.Int64 }

func (a *abandoned) add(n int) { a.n.Add(int64(n)) }

// HandleKinesis handles one batch of an event source mapping that has
// ReportBatchItemFailures. The response names, for each shard in the batch (there
// is one), the lowest sequence number that is to be delivered again; it is empty
// when none is.
//
// An error applies to the whole batch: it is returned when a record has no sequence
// number to be reported by, and [ErrWornOut]; then nothing was handled.
func (c *Consumer) HandleKinesis(ctx context.Context, e awsevents.KinesisEvent) (awsevents.KinesisEventResponse, error) {
	tasks, err := unpack(e, c.cfg.Registry)
	if err != nil {
		return awsevents.KinesisEventResponse{}, fmt.Errorf("consumers: %s: %w", c.cfg.Name, err)
	}
	if err := c.handleTasks(ctx, tasks, len(e.Records)); err != nil {
		return awsevents.KinesisEventResponse{}, err
	}
	return response(tasks), nil
}
