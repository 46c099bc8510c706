package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/internal/state"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
)

// ErrHistoryLost says that the position in the change stream is no longer in the
// source's oplog.
var ErrHistoryLost error = retry.Permanent("the position in the change stream is no longer in the source's oplog, so deletes may have been missed; " +
	"copy afresh with `banyan-migrate run --from-start`, then `banyan-migrate verify --repair`")

// changesRow is the state of the changes: which worker follows them, and from where.
type changesRow struct {
	state.Row
	Worker string            `dynamodbav:"worker"`
	Start  stamp.ClusterTime `dynamodbav:"start"` // followed from here while Token is empty
	Token  []byte            `dynamodbav:"token"`
	// Invalidated says that Token is that of an invalidation: resume behind it.
	Invalidated bool              `dynamodbav:"invalidated"`
	Applied     stamp.ClusterTime `dynamodbav:"applied"`  // everything up to this source time is in the target
	CaughtUp    time.Time         `dynamodbav:"caughtUp"` // when the stream last held nothing more
	SavedAt     time.Time         `dynamodbav:"savedAt"`
	Events      int64             `dynamodbav:"events"`
	Barriers    []string          `dynamodbav:"barriers"` // the last ones passed
	OutOfBand   OutOfBandWrites   `dynamodbav:"outOfBand"`
	Error       string            `dynamodbav:"error"` // why following stopped
}

const changesKey = "changes"

// keptBarriers is how many passed barriers are stored.
const keptBarriers = 32

// OutOfBandWrites sums up the updates that did not set the plan's versionField.
type OutOfBandWrites struct {
	Writes int64     `dynamodbav:"writes" json:"writes"`
	LastID string    `dynamodbav:"lastId" json:"lastId,omitempty"`
	LastAt time.Time `dynamodbav:"lastAt" json:"lastAt,omitzero"`
}

// Changes is what status and progress show of the change stream.
type Changes struct {
	Followed  bool            `json:"followed"` // a process is following
	Applied   uint64          `json:"appliedUpTo"`
	Lag       time.Duration   `json:"lagNanoseconds"` // negative while unknown
	Events    int64           `json:"events"`
	OutOfBand OutOfBandWrites `json:"outOfBand"`
	Error     string          `json:"error,omitempty"`
}

func (r *changesRow) summary(now time.Time) Changes {
	c := Changes{Followed: r.Worker != "", Applied: uint64(r.Applied), Lag: -1, Events: r.Events, OutOfBand: r.OutOfBand, Error: r.Error}
	if !r.CaughtUp.IsZero() {
		c.Lag = max(0, now.Sub(r.CaughtUp))
	}
	return c
}

func (e *Engine) sourceTime(ctx context.Context) (now stamp.ClusterTime, err error) {
	err = retry.Do(ctx, "read the cluster time of MongoDB", func(ctx context.Context) (err error) {
		now, err = e.source.Now(ctx)
		return err
	})
	return now, err
}

// awaitBarrier inserts a barrier and waits until the changes have passed it: then
// everything acknowledged before is in the target.
func (e *Engine) awaitBarrier(ctx context.Context, epoch int64, poll time.Duration) (row *changesRow, err error) {
	err = e.withBarrier(ctx, epoch, func(id string) error {
		row, err = e.awaitBarrierPassed(ctx, id, poll)
		return err
	})
	return row, err
}

// withBarrier inserts a barrier for as long as fn runs.
func (e *Engine) withBarrier(ctx context.Context, epoch int64, fn func(id string) error) error {
	id := uuid.NewString()
	if err := e.source.InsertBarrier(ctx, id, epoch); err != nil {
		return err
	}
	defer func() {
		out, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = e.source.DeleteBarrier(out, id) // a barrier left behind does no harm
	}()
	return fn(id)
}

// maxUnsaved bounds the wait for a barrier while the changes' state is not saved: the
// process that follows saves it several times a second.
const maxUnsaved = 30 * time.Second

func (e *Engine) awaitBarrierPassed(ctx context.Context, barrier string, poll time.Duration) (*changesRow, error) {
	rev, since := int64(-1), time.Now()
	for {
		row := &changesRow{}
		if _, err := e.state.Load(ctx, changesKey, row); err != nil {
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
		if err := backoff.Sleep(ctx, poll); err != nil {
			return nil, fmt.Errorf("wait until the changes have passed a barrier: %w", err)
		}
	}
}

// whileFollowing runs fn while the changes are followed: by this process, if no
// other does.
func (e *Engine) whileFollowing(ctx context.Context, fn func(context.Context, *Engine) error) error {
	sub, err := New(e.Config)
	if err != nil {
		return err
	}
	p, lost, stop, err := sub.startHeartbeat(ctx)
	if err != nil {
		return err
	}
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return sub.follow(ctx, p, sub.newLiveness()) })
	g.Go(func() error {
		select {
		case <-lost:
			return errLeaseLost
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	g.Go(func() error {
		if err := fn(ctx, sub); err != nil {
			return err
		}
		return errDone
	})
	if err := g.Wait(); !errors.Is(err, errDone) {
		return err
	}
	return nil
}
