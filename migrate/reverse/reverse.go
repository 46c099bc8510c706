package reverse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/infra/dynamostream"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/internal/worker"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/source"
	"github.com/banyan-fig/banyan/migrate/target"
)

var (
	// ErrEnded says that the way back has ended: changes of the table may have been missed.
	ErrEnded error = retry.Permanent("the way back has ended, and a rollback is no longer possible; " +
		"DynamoDB stays the owner: `banyan-migrate complete` ends the migration")
	// ErrDone is the cause of the end of a context whose work is complete.
	ErrDone = errors.New("done")
)

const (
	// pollEvery is how often a process looks for shards that nobody reads.
	pollEvery = 250 * time.Millisecond
	// listEvery is how often the shards are listed: DynamoDB allows ten requests a second.
	listEvery = time.Second
	// maxPages is how many pages of at most 1 MB a process holds at once.
	maxPages = 16
)

// Reverse carries the changes of one entity's table back to MongoDB. It is safe for
// concurrent use.
type Reverse struct {
	Plan    *plan.Plan
	Tables  *target.Tables
	Streams dynamostream.API
	Source  *source.Collection
	Control *control.Store
	Owners  *ownership.Table
	Worker  worker.Config // of [Reverse.WhileFollowing]
	// Conditional says that the server accepts collectionUUID, see mongoserver.AcceptsCollectionUUID.
	Conditional bool
	Log         *slog.Logger
}

// Active reports whether there is a way back in a phase.
func Active(phase ownership.Phase) bool {
	switch phase {
	case ownership.Shadowing, ownership.Switching, ownership.Switched, ownership.RollingBack:
		return true
	}
	return false
}

// session is what one call of Follow knows.
type session struct {
	*Reverse
	worker *worker.Worker
	pages  chan struct{} // one for each page that is held
	active atomic.Bool   // by the record, as last seen
	pace   dynamostream.Pace
	probed chan struct{} // holds one element when a barrier was carried

	stream   dynamostream.Stream // of assign; each lane has its own copy
	resolved time.Time           // when stream was looked up
	alert    time.Time           // until when it is looked often whether somebody holds writes
	token    string              // of the beginning, see position.Token

	mu      sync.Mutex
	shards  dynamostream.Shards
	listed  time.Time
	reading map[string]bool // shards that this process reads
}

// WhileFollowing runs fn while the way back is followed: by this process, as the worker that
// ctx is bound to or else one of its own, beside all others. The context of fn ends when that fails. The error is that of fn,
// with the reason where its context was ended.
func (r *Reverse) WhileFollowing(ctx context.Context, fn func(context.Context) error) error {
	w := worker.Of(ctx)
	if w == nil {
		own, err := worker.Start(ctx, r.Worker)
		if err != nil {
			return err
		}
		defer own.Stop()
		w, ctx = own, own.Bind(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { cancel(r.Follow(ctx, w)) })
	beside.Go(func() { cancel(w.AwaitLoss(ctx)) })
	err := fn(ctx)
	cause := context.Cause(ctx)
	cancel(ErrDone)
	beside.Wait()
	if err != nil && cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// Follow carries the shards that nobody else reads, as w, until ctx ends or an error that
// another attempt does not change. In phases without a way back it waits.
func (r *Reverse) Follow(ctx context.Context, w *worker.Worker) error {
	s := &session{Reverse: r, worker: w, pages: make(chan struct{}, maxPages), probed: make(chan struct{}, 1),
		reading: map[string]bool{}}
	g, within := errgroup.WithContext(ctx)
	g.Go(func() error { return s.assign(within, g) })
	g.Go(func() error { return s.retryMisfits(within) })
	err := g.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("carry the changes of the table %s back: %w", r.Plan.Target.Table, err)
}

// assign looks again and again for shards to read.
func (s *session) assign(ctx context.Context, g *errgroup.Group) error {
	for failures := 0; ; {
		err := s.assignOnce(ctx, g)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil || errors.Is(err, errBegun):
			failures = 0
		case errors.Is(err, worker.ErrLeaseLost) || retry.IsPermanent(err):
			return err
		default:
			s.Log.Warn("look for shards of the way back: failed, retrying", "error", err)
			if err := retry.Wait(ctx, min(failures, 7)); err != nil {
				return err
			}
			failures++
		}
		if err := s.attend(ctx); err != nil {
			return err
		}
	}
}

// Behind a barrier, it is looked alertEvery, for alertFor, whether somebody holds writes.
const (
	alertEvery = 20 * time.Millisecond
	alertFor   = 10 * time.Second
)

// attend waits until it is time to look for shards again. A rollback has the way back carry
// a barrier right before it holds writes; behind one, it is looked whether it does, and then
// the shards are read in a hurry.
func (s *session) attend(ctx context.Context) error {
	end := time.After(pollEvery)
	for {
		var look <-chan time.Time
		if time.Now().Before(s.alert) {
			look = time.After(alertEvery)
		} else {
			s.pace.Hurry(false)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-end:
			return nil
		case <-s.probed:
			s.alert = time.Now().Add(alertFor)
		case <-look:
			var head position
			err := s.rows().FindOne(ctx, bson.D{{Key: "_id", Value: s.rowID(s.stream.ARN, "")}}).Decode(&head)
			s.pace.Hurry(err == nil && head.Hurry)
		}
	}
}

func (s *session) assignOnce(ctx context.Context, g *errgroup.Group) error {
	if !s.worker.HoldsLease() {
		return worker.ErrLeaseLost
	}
	rec, err := s.Owners.Load(ctx, s.Plan.Entity)
	if err != nil {
		return err
	}
	s.active.Store(Active(rec.Phase))
	if !Active(rec.Phase) {
		return nil
	}
	rows, err := s.begun(ctx, rec)
	if err != nil {
		return err
	}
	shards, err := s.listShards(ctx)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if row.Done || shards.Has(row.ID.Shard) || s.isReading(row.ID.Shard) {
			continue
		}
		_, err := s.stream.Iterator(ctx, row.ID.Shard, row.place()) // the list may be older than the row
		if errors.Is(err, dynamostream.ErrTrimmed) {
			err = s.trimmed(ctx, row)
		}
		if err != nil {
			return err
		}
	}
	return s.takeFree(ctx, g, shards, rows)
}

func (s *session) listShards(ctx context.Context) (dynamostream.Shards, error) {
	s.mu.Lock()
	shards, listed := s.shards, s.listed
	s.mu.Unlock()
	if time.Since(listed) < listEvery {
		return shards, nil
	}
	shards, err := s.stream.Shards(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shards, s.listed = shards, time.Now()
	return shards, nil
}

// forgetShards has the shards listed at once.
func (s *session) forgetShards() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listed = time.Time{}
}

// takeFree begins to read half of the shards that nobody reads: others may look at the same
// time, and the rest is for the next time.
func (s *session) takeFree(ctx context.Context, g *errgroup.Group, shards dynamostream.Shards, rows map[string]*position) error {
	var free []string
	for _, shard := range shards.Ready(func(id string) bool { return rows[id] != nil && rows[id].Done }) {
		if s.isReading(shard.ID) {
			continue
		}
		if row := rows[shard.ID]; row != nil && row.Worker != s.worker.ID {
			if dead, err := s.worker.IsDead(ctx, row.Worker); err != nil {
				return err
			} else if !dead {
				continue
			}
		}
		free = append(free, shard.ID)
	}
	for _, shard := range free[:(len(free)+1)/2] {
		l, err := s.take(ctx, shard, rows[shard])
		if err != nil {
			return err
		}
		if l == nil {
			continue // another process was first
		}
		s.setReading(shard, true)
		g.Go(func() error {
			defer s.setReading(shard, false)
			return l.carryShard(ctx)
		})
	}
	return nil
}

func (s *session) isReading(shard string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reading[shard]
}

func (s *session) setReading(shard string, reading bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading[shard] = reading
}
