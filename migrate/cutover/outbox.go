package cutover

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// Outbox names events that wait in a store to be published, the first thousand or so.
type Outbox func(ctx context.Context) (waiting []string, err error)

// passOutbox waits, before writes are held, until what waits now in the store that is left
// has been published, for as long as the changes may lag. So a hold is not spent on what a
// killed process has left there, nor where nothing publishes.
func (c *attempt) passOutbox(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, c.Plan.Budgets.Lag)
	defer cancel()
	var first []string
	err := c.awaitOutbox(within, 20*time.Millisecond, func(now []string) []string {
		if first == nil {
			first = now
		}
		first = slices.DeleteFunc(first, func(event string) bool { return !slices.Contains(now, event) })
		return first
	})
	if err != nil && ctx.Err() == nil && within.Err() != nil {
		return c.refuse(" %w: let an instance of the owning service, or the relay, run", err)
	}
	return err
}

// emptyOutbox waits until nothing waits in the store that is left, whose writes have ended.
// What was left there would be published behind events of the next owner, if at all.
func (c *attempt) emptyOutbox(ctx context.Context) error {
	return c.awaitOutbox(ctx, 2*time.Millisecond, func(now []string) []string { return now })
}

// awaitOutbox looks until nothing is left of what waits.
func (c *attempt) awaitOutbox(ctx context.Context, pause time.Duration, left func(now []string) []string) error {
	look := c.Outboxes[c.from]
	if look == nil {
		return nil
	}
	began := time.Now()
	for attempt := 0; ; attempt++ {
		now, err := look(ctx)
		if err != nil {
			return err
		}
		now = left(now)
		if len(now) == 0 {
			return nil
		}
		if (backoff.Backoff{Min: pause, Max: 10 * pause}).Wait(ctx, attempt) != nil {
			return fmt.Errorf("events have waited for %s to be published, %s among them", time.Since(began).Round(time.Millisecond), now[0])
		}
	}
}
