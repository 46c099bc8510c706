package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/publishers"
	"github.com/banyan-fig/banyan/publishers/outboxtable"
)

// outbox publishes events that a process did not get to publish: every instance
// sweeps the outbox for what it or another one left there.
type outbox struct {
	cleaner  *outboxtable.Cleaner
	log      *slog.Logger
	stop     context.CancelFunc
	sweeping sync.WaitGroup
	swept    atomic.Int64
}

// openOutbox creates the table if it is missing and begins to sweep it.
func openOutbox(ctx context.Context, client *awsdynamodb.Client, c *command, p publishers.Publisher, log *slog.Logger) (*outbox, error) {
	if err := outboxtable.Ensure(ctx, client, c.OutboxTable); err != nil {
		return nil, err
	}
	relay, err := outboxtable.New(outboxtable.Config{
		Client: client, Table: c.OutboxTable, Publisher: p, DeadLetters: noDeadLetters{}, Claim: max(c.SweepAge, time.Second),
	})
	if err != nil {
		return nil, err
	}
	o := &outbox{cleaner: outboxtable.NewCleaner(client, c.OutboxTable), log: log}
	ctx, o.stop = context.WithCancel(context.WithoutCancel(ctx))
	o.sweeping.Go(func() {
		relay.SweepEvery(ctx, c.SweepEvery, c.SweepAge, func(r outboxtable.Report, err error) {
			o.swept.Add(int64(r.Published))
			if err != nil {
				log.ErrorContext(ctx, "sweeping the outbox failed; it is retried", "table", r.Table, "error", err)
			}
			if r.Published > 0 {
				log.InfoContext(ctx, "published events that were left in the outbox", "table", r.Table, "users", r.Keys, "events", r.Published)
			}
		})
	})
	return o, nil
}

// close ends the sweeping, and deletes what was published. What cannot be deleted
// does no harm.
func (o *outbox) close(ctx context.Context) {
	o.stop()
	o.sweeping.Wait()
	if err := o.cleaner.Close(ctx); err != nil {
		o.log.WarnContext(ctx, "the outbox was not cleaned up", "error", err)
	}
}

// noDeadLetters refuses: the service puts no event into its outbox that could not
// be published, so any other item stays there for people to inspect.
type noDeadLetters struct{}

var errUnknownItem = errors.New("the item in the outbox is not an event of the users service: inspect it there")

// Put implements outboxtable.DeadLetters.
func (noDeadLetters) Put(_ context.Context, d outboxtable.DeadLetter) error {
	return fmt.Errorf("item %s of key %s: %w", d.SortKey, d.PartitionKey, errUnknownItem)
}

// validateSweep keeps the sweep from events whose request still runs.
func (c *command) validateSweep() error {
	if c.SweepEvery < 10*time.Millisecond || c.SweepAge < 0 {
		return fmt.Errorf("--sweep-every must be at least 10ms and --sweep-age not negative, not %v and %v", c.SweepEvery, c.SweepAge)
	}
	return nil
}
