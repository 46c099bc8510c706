package changes

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/source"
)

// keptBarriers is how many passed barriers are stored.
const keptBarriers = 32

// Barriers are how others wait for the process that follows the changes, whichever it is.
// They are safe for concurrent use.
type Barriers struct {
	Source  *source.Collection
	Control *control.Store
}

// Await inserts a barrier and waits until the changes have passed it, looking once a poll,
// and more often at first: then everything acknowledged before is in the target. It returns
// their state then.
func (b Barriers) Await(ctx context.Context, poll time.Duration) (row *control.Changes, err error) {
	err = b.With(ctx, func(id string) error {
		row, err = b.AwaitPassed(ctx, id, poll)
		return err
	})
	return row, err
}

// With inserts a barrier for as long as fn runs.
func (b Barriers) With(ctx context.Context, fn func(id string) error) error {
	id := uuid.NewString()
	if err := b.Source.InsertBarrier(ctx, id); err != nil {
		return err
	}
	defer func() {
		out, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = b.Source.DeleteBarrier(out, id) // a barrier left behind does no harm
	}()
	return fn(id)
}

// maxUnsaved bounds the wait for a barrier while the changes' state is not saved: the
// process that follows saves it several times a second.
const maxUnsaved = 30 * time.Second

// AwaitPassed waits until the changes have passed a barrier. It fails when nobody follows
// them.
func (b Barriers) AwaitPassed(ctx context.Context, barrier string, poll time.Duration) (*control.Changes, error) {
	rev, since := int64(-1), time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, poll) {
		row, err := b.Control.Changes(ctx)
		if err != nil {
			return nil, err
		}
		if slices.Contains(row.Barriers, barrier) {
			return row, nil
		}
		if row.Rev != rev {
			rev, since = row.Rev, time.Now()
		} else if time.Since(since) > maxUnsaved {
			return nil, fmt.Errorf("no process has followed the changes for %s (%s); start `banyan-migrate run`", maxUnsaved, row.Error)
		}
		if err := backoff.Sleep(ctx, pause); err != nil {
			return nil, fmt.Errorf("wait until the changes have passed a barrier: %w", err)
		}
	}
}
