package worker

import (
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/side"
)

// planners is how many ranges are written down at once.
const planners = 8

// Plan writes down the ranges into which divide divides a side, under the id of a planning that
// no other process uses, and returns how many there are.
func Plan(ctx context.Context, c *control.Store, planning string, size int,
	divide func(ctx context.Context, size int, each func(n int, r side.Range) error) (int, error)) (n int, err error) {
	g, adding := errgroup.WithContext(ctx)
	g.SetLimit(planners)
	n, err = divide(adding, size, func(n int, r side.Range) error {
		g.Go(func() error { return c.AddRange(adding, planning, n, r.From, r.To) })
		return adding.Err()
	})
	return n, errors.Join(g.Wait(), err)
}

// Ranges are those of one planning, as this worker last saw the ones that are left. Each is
// claimed by a save that is conditional on that, so nothing needs to be looked at before; all
// are read again only once there is none left to try.
type Ranges struct {
	worker   *Worker
	planning string

	mu     sync.Mutex
	free   []control.Range
	busy   map[int]bool // that this worker works on
	others int          // that other workers worked on when they were last looked at
	loaded time.Time
}

// Ranges are those of a planning.
func (w *Worker) Ranges(planning string) *Ranges {
	return &Ranges{worker: w, planning: planning, busy: map[int]bool{}}
}

// reloadEvery is the least time between two looks at all ranges.
const reloadEvery = 200 * time.Millisecond

// Slots bound what this process works on at once beside that, such as ranges of other entities.
type Slots interface {
	// Acquire waits for a slot, at most so long, and reports whether it got one.
	Acquire(ctx context.Context, timeout time.Duration) (bool, error)
	// Release gives it back.
	Release()
}

// ErrPaused is what work on a range ends with that is left as far as it is, for later.
var ErrPaused = errors.New("the work on a range pauses")

// Work calls do for ranges, n at once and each in a slot, nil for no bound, together with the
// workers of other processes, and returns all ranges once none is left: each is claimed by one
// worker, and again by another when that one has died. do notes how far it is, and
// [control.Range.Done], by saves of the range; it ends with [control.ErrConflict] where another
// worker has taken the range over, and with [ErrPaused] to have it claimed again. Where the
// planning is deleted meanwhile Work returns no ranges.
func (r *Ranges) Work(ctx context.Context, n int, slots Slots, do func(context.Context, *control.Range) error) ([]control.Range, error) {
	for {
		g, working := errgroup.WithContext(ctx)
		for range n {
			g.Go(func() error { return r.work(working, slots, do) })
		}
		if err := g.Wait(); err != nil {
			return nil, err
		}
		rows, err := r.worker.cfg.Control.Ranges(ctx, r.planning)
		if err != nil || !slices.ContainsFunc(rows, func(row control.Range) bool { return !row.Done }) {
			return rows, err
		}
	}
}

func (r *Ranges) work(ctx context.Context, slots Slots, do func(context.Context, *control.Range) error) error {
	for !r.isExhausted() {
		if slots != nil {
			if acquired, err := slots.Acquire(ctx, reloadEvery); err != nil {
				return err
			} else if !acquired {
				continue
			}
		}
		row, done, err := r.claim(ctx)
		if row != nil {
			err = do(ctx, row)
			r.release(row, err)
		}
		if slots != nil {
			slots.Release()
		}
		switch {
		case errors.Is(err, control.ErrConflict), errors.Is(err, ErrPaused):
		case err != nil || done:
			return err
		case row == nil:
			if err := backoff.Sleep(ctx, reloadEvery); err != nil {
				return err
			}
		}
	}
	return nil
}

// claim claims a range that no live worker has; nil when there is none at the moment, and
// done when this goroutine is not needed any more: what is left is done by others of this
// worker.
func (r *Ranges) claim(ctx context.Context) (claimed *control.Range, done bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if claimed, err = r.claimFreeLocked(ctx); claimed != nil || err != nil {
		return claimed, false, err
	}
	if !r.loaded.IsZero() && r.others == 0 {
		return nil, true, nil
	}
	if time.Since(r.loaded) < reloadEvery {
		return nil, false, nil
	}
	if err := r.loadLocked(ctx); err != nil {
		return nil, false, err
	}
	claimed, err = r.claimFreeLocked(ctx)
	return claimed, claimed == nil && r.others == 0, err
}

// claimFreeLocked claims one of the ranges that were free.
func (r *Ranges) claimFreeLocked(ctx context.Context) (*control.Range, error) {
	for len(r.free) > 0 {
		row := r.free[0]
		r.free = r.free[1:]
		row.Worker = r.worker.ID
		err := r.worker.cfg.Control.Save(ctx, &row)
		if err == nil {
			r.busy[row.N] = true
			return &row, nil
		}
		if !errors.Is(err, control.ErrConflict) {
			return nil, err
		}
		if r.others++; time.Since(r.loaded) > reloadEvery { // more of them are claimed by now
			if err := r.loadLocked(ctx); err != nil {
				return nil, err
			}
		}
	}
	return nil, nil
}

// loadLocked looks at all ranges. Each worker begins somewhere else among those that are free,
// so that several seldom try the same.
func (r *Ranges) loadLocked(ctx context.Context) error {
	rows, err := r.worker.cfg.Control.Ranges(ctx, r.planning)
	if err != nil {
		return err
	}
	var free []control.Range
	r.others = 0
	for _, row := range rows {
		if row.Done || r.busy[row.N] {
			continue
		}
		dead, err := r.worker.IsDead(ctx, row.Worker)
		if err != nil {
			return err
		}
		if dead || row.Worker == r.worker.ID {
			free = append(free, row)
		} else {
			r.others++
		}
	}
	if r.loaded = time.Now(); len(free) > 0 {
		h := fnv.New32a()
		_, _ = h.Write([]byte(r.worker.ID))
		first := int(h.Sum32() % uint32(len(free)))
		free = slices.Concat(free[first:], free[:first])
	}
	r.free = free
	return nil
}

// release notes that a range is no longer worked on, and why: another worker may have it now,
// or it waits.
func (r *Ranges) release(row *control.Range, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.busy, row.N)
	switch {
	case errors.Is(why, control.ErrConflict):
		r.others++
	case errors.Is(why, ErrPaused):
		r.free = append(r.free, *row)
	}
}

// isExhausted reports whether no range is left but those that this worker has.
func (r *Ranges) isExhausted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.loaded.IsZero() && len(r.free) == 0 && r.others == 0
}
