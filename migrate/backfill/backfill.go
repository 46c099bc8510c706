// Package backfill copies one side of a migration to the other: [Backfill.Plan] divides it
// into ranges, and [Backfill.Run] of any number of processes claims and copies them.
//
// A chunk is put only where nothing stands, not even a tombstone, with the source time as
// of which it was read. So no order between copies and changes matters: a copy that comes
// late neither brings back what was deleted nor replaces what is newer.
package backfill

import (
	"context"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/internal/worker"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/side"
)

// Sizes bound what is done at once of one entity.
type Sizes struct {
	Range   int // documents in a range; 0 chooses by the size of the side
	Chunk   int // documents read at once
	Writers int // concurrent writes of each range
}

// From is the side that is copied.
type From interface {
	EstimatedCount(context.Context) (int64, error)
	// Divide calls each with ranges of about size documents, in their order; together
	// they are the whole. It returns how many there are.
	Divide(ctx context.Context, size int, each func(n int, r side.Range) error) (int, error)
	// ReadRange returns up to limit documents from the beginning of a range.
	ReadRange(ctx context.Context, r side.Range, limit int) (side.Chunk, error)
	// Load is how busy it is besides.
	Load(context.Context) (side.Load, error)
}

// To is the side that is filled.
type To interface {
	// Batches makes batches of documents that were read as of a time, but for those that
	// this side cannot hold.
	Batches(docs []bson.Raw, at stamp.ClusterTime) ([]side.Batch, []*side.Misfit, error)
}

// Backfill copies the ranges of one migration. It is safe for concurrent use.
type Backfill struct {
	From    From
	To      To
	Control *control.Store
	Sizes   Sizes
	Limits  *Limits // of the process
}

// copier is one run of a backfill.
type copier struct {
	*Backfill
	worker *worker.Worker
	limit  *rate.Limiter
	// planning is the id of the ranges that are copied.
	planning string
	fresh    bool // the target may hold items of an earlier copy
	mu       sync.Mutex
	paused   bool
}

// Run copies ranges until none is left, together with the runs of other processes, once
// [Backfill.Plan] has written them down. It returns when every range is copied, of the
// planning that counts then: another process may begin afresh meanwhile.
func (b *Backfill) Run(ctx context.Context, w *worker.Worker) error {
	for {
		copied, err := b.copyPlanning(ctx, w)
		if err != nil || copied {
			return err
		}
	}
}

// copyPlanning copies the ranges of one planning, and reports whether it still counts.
func (b *Backfill) copyPlanning(ctx context.Context, w *worker.Worker) (copied bool, err error) {
	c := &copier{Backfill: b, worker: w, limit: rate.NewLimiter(rate.Inf, b.Sizes.Chunk)}
	if err := c.awaitPlan(ctx); err != nil {
		return false, err
	}
	g, ctx := errgroup.WithContext(ctx)
	stop := make(chan struct{})
	g.Go(func() error { return c.watchSettings(ctx, stop) })
	g.Go(func() error {
		defer close(stop)
		_, err := w.Ranges(c.planning).Work(ctx, cap(b.Limits.slots), c, c.copyRange)
		return err
	})
	if err := g.Wait(); err != nil {
		return false, err
	}
	j, err := b.Control.UpdateJob(context.WithoutCancel(ctx), func(j *control.Job) bool {
		if j.Copied || j.Planning != c.planning {
			return false
		}
		j.Copied, j.CopiedAt = true, time.Now().UTC()
		return true
	})
	return err == nil && j.Planning == c.planning, err
}

func (c *copier) awaitPlan(ctx context.Context) error {
	for i := 0; ; i++ {
		j, err := c.Control.Job(ctx)
		if err != nil {
			return err
		}
		if c.planning, c.fresh = j.Planning, j.Generation > 1; c.planning != "" {
			c.applySettings(j, side.Load{})
			return nil
		}
		if err := retry.Wait(ctx, min(i, 3)); err != nil {
			return err
		}
	}
}

// watchSettings applies pause and throttle as they change in the control table.
func (c *copier) watchSettings(ctx context.Context, stop <-chan struct{}) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			j, err := c.Control.Job(ctx)
			if err != nil {
				return err
			}
			load, err := c.From.Load(ctx)
			if err != nil {
				load = side.Load{} // whoever reads meets the reason
			}
			c.applySettings(j, load)
		}
	}
}

func (c *copier) applySettings(j *control.Job, load side.Load) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = j.Paused || j.Waits(load) != ""
	if j.Throttle == 0 {
		c.limit.SetLimit(rate.Inf)
		return
	}
	c.limit.SetLimit(rate.Limit(j.Throttle))
}

func (c *copier) isPaused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.paused
}

// Acquire implements [worker.Slots]: none is to be had while copying pauses.
func (c *copier) Acquire(ctx context.Context, timeout time.Duration) (bool, error) {
	if c.isPaused() {
		return false, backoff.Sleep(ctx, timeout)
	}
	return c.Limits.acquire(ctx, timeout)
}

// Release implements [worker.Slots].
func (c *copier) Release() { c.Limits.release() }

// copyRange copies a range from its cursor: while one chunk is written, the next is read,
// encoded and begun. The cursor moves only past what is in the target.
func (c *copier) copyRange(ctx context.Context, r *control.Range) error {
	ctx, cancel := context.WithCancel(ctx)
	var begun *writing
	defer func() {
		cancel()
		_ = begun.wait() // it was cancelled, or is written
	}()
	slots := make(chan struct{}, c.Sizes.Writers)
	err := side.ReadAhead(ctx, side.Range{From: r.After, To: r.To}, c.readChunk, func(chunk side.Chunk) (err error) {
		before := begun
		if begun, err = c.beginChunk(ctx, chunk, slots); err != nil {
			begun = before
			return err
		}
		return c.advance(ctx, r, before)
	})
	if err != nil {
		return err
	}
	r.Done = true
	return c.advance(ctx, r, begun)
}

// advance moves the cursor of a range past a chunk, nil for none, once it is written.
func (c *copier) advance(ctx context.Context, r *control.Range, w *writing) error {
	if err := w.wait(); err != nil {
		return err
	}
	if w != nil {
		r.After = w.Next
		r.Copied += int64(len(w.Docs))
		r.Bytes += w.bytes
	} else if !r.Done {
		return nil
	}
	return c.Control.Save(ctx, r)
}

func (c *copier) readChunk(ctx context.Context, r side.Range) (side.Chunk, error) {
	if c.isPaused() {
		return side.Chunk{}, worker.ErrPaused // its slot is another entity's
	}
	return c.From.ReadRange(ctx, r, c.Sizes.Chunk)
}

// writing is a chunk that is being written.
type writing struct {
	side.Chunk
	bytes int64
	group *errgroup.Group
}

// wait waits until all is written.
func (w *writing) wait() error {
	if w == nil {
		return nil
	}
	return w.group.Wait()
}

// beginChunk begins to write a chunk, with as many requests at once as there are free slots.
func (c *copier) beginChunk(ctx context.Context, chunk side.Chunk, slots chan struct{}) (*writing, error) {
	if err := c.limit.WaitN(ctx, min(len(chunk.Docs), c.limit.Burst())); err != nil {
		return nil, err
	}
	if err := c.Limits.await(ctx, len(chunk.Docs)); err != nil {
		return nil, err
	}
	batches, misfits, err := c.To.Batches(chunk.Docs, chunk.At)
	if err != nil {
		return nil, err
	}
	for _, m := range misfits {
		if err := c.Control.SetAside(ctx, m, chunk.At); err != nil {
			return nil, err
		}
	}
	w := &writing{Chunk: chunk}
	w.group, ctx = errgroup.WithContext(ctx)
	for _, batch := range batches {
		w.bytes += int64(batch.Size())
		w.group.Go(func() error {
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
			case <-ctx.Done():
				return ctx.Err()
			}
			if !c.worker.HoldsLease() {
				return worker.ErrLeaseLost
			}
			return batch.Fill(ctx, c.fresh)
		})
	}
	return w, nil
}
