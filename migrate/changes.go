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
var ErrHistoryLost error = retry.Permanent("the position in the change stream is gone from the source's oplog, so deletes may have been missed; copy afresh with `banyan-migrate run --from-start`, then `banyan-migrate verify --repair`")

// changesRow is the state of the changes: who follows them, and from where.
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
	Markers     []string          `dynamodbav:"markers"` // the last ones passed
	Foreign     foreign           `dynamodbav:"foreign"`
	Error       string            `dynamodbav:"error"` // why following stopped
}

const changesKey = "changes"

// keptMarkers is how many passed markers are stored.
const keptMarkers = 32

// foreign sums up the writes that did not move the plan's stamp field.
type foreign struct {
	Writes int64     `dynamodbav:"writes" json:"writes"`
	LastID string    `dynamodbav:"lastId" json:"lastId,omitempty"`
	LastAt time.Time `dynamodbav:"lastAt" json:"lastAt,omitzero"`
}

// Changes is what status and progress tell of the change stream.
type Changes struct {
	Followed bool          `json:"followed"` // a process is following
	Applied  uint64        `json:"appliedUpTo"`
	Lag      time.Duration `json:"lagNanoseconds"` // negative while unknown
	Events   int64         `json:"events"`
	Foreign  foreign       `json:"foreign"`
	Error    string        `json:"error,omitempty"`
}

func (r *changesRow) summary(now time.Time) Changes {
	c := Changes{Followed: r.Worker != "", Applied: uint64(r.Applied), Lag: -1, Events: r.Events, Foreign: r.Foreign, Error: r.Error}
	if !r.CaughtUp.IsZero() {
		c.Lag = max(0, now.Sub(r.CaughtUp))
	}
	return c
}

func (e *Engine) sourceTime(ctx context.Context) (now stamp.ClusterTime, err error) {
	err = retry.Do(ctx, "ask MongoDB for its time", func(ctx context.Context) (err error) {
		now, err = e.source.Now(ctx)
		return err
	})
	return now, err
}

// awaitMarker inserts a marker and waits until the changes have passed it: then
// everything acknowledged before is in the target.
func (e *Engine) awaitMarker(ctx context.Context, epoch int64, poll time.Duration) (row *changesRow, err error) {
	err = e.marked(ctx, epoch, func(id string) error {
		row, err = e.awaitPassed(ctx, id, poll)
		return err
	})
	return row, err
}

// marked inserts a marker for as long as fn runs.
func (e *Engine) marked(ctx context.Context, epoch int64, fn func(id string) error) error {
	id := uuid.NewString()
	if err := e.source.InsertBarrier(ctx, id, epoch); err != nil {
		return err
	}
	defer func() {
		out, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = e.source.DeleteBarrier(out, id) // a marker left behind does no harm
	}()
	return fn(id)
}

// silence is how long the changes' state may stay as it is before waiting for
// them is given up: who follows saves it several times a second.
const silence = 30 * time.Second

func (e *Engine) awaitPassed(ctx context.Context, marker string, poll time.Duration) (*changesRow, error) {
	rev, since := int64(-1), time.Now()
	for {
		row := &changesRow{}
		if _, err := e.state.Load(ctx, changesKey, row); err != nil {
			return nil, err
		}
		if slices.Contains(row.Markers, marker) {
			return row, nil
		}
		if row.Rev != rev {
			rev, since = row.Rev, time.Now()
		} else if time.Since(since) > silence {
			return nil, fmt.Errorf("nobody has followed the changes for %s (%s); start `banyan-migrate run`", silence, row.Error)
		}
		if err := backoff.Sleep(ctx, poll); err != nil {
			return nil, fmt.Errorf("wait until the changes have passed a marker: %w", err)
		}
	}
}

// following runs fn while the changes are followed: by this process, if no
// other does.
func (e *Engine) following(ctx context.Context, fn func(context.Context, *Engine) error) error {
	sub, err := New(e.Config)
	if err != nil {
		return err
	}
	p, lost, stop, err := sub.beat(ctx)
	if err != nil {
		return err
	}
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return sub.follow(ctx, p, sub.watchWorkers()) })
	g.Go(func() error {
		select {
		case <-lost:
			return errPulse
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
