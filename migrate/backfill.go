package migrate

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/migrate/internal/state"
	"github.com/banyan-fig/banyan/migrate/source"
	"github.com/banyan-fig/banyan/migrate/target"
)

// backfill copies ranges until none is left, together with the backfills of other
// processes.
type backfill struct {
	e         *Engine
	heartbeat *heartbeat
	liveness  *liveness
	limit     *rate.Limiter
	fresh     bool
	mu        sync.Mutex
	busy      map[int]bool
	paused    bool
}

// errLeaseLost: this process was silent for too long and may no longer write.
var errLeaseLost = errors.New("this process lost its lease because it could not reach the control table in time; run it again")

func (e *Engine) newBackfill(p *heartbeat, v *liveness) *backfill {
	return &backfill{e: e, heartbeat: p, liveness: v, limit: rate.NewLimiter(rate.Inf, e.ChunkSize), busy: map[int]bool{}}
}

// run returns when every range is copied.
func (b *backfill) run(ctx context.Context) error {
	if err := b.awaitPlan(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	stop := make(chan struct{})
	g.Go(func() error { return b.watchSettings(ctx, stop) })
	g.Go(func() error {
		defer close(stop)
		workers, ctx := errgroup.WithContext(ctx)
		for range b.e.Workers {
			workers.Go(func() error { return b.copyRanges(ctx) })
		}
		return workers.Wait()
	})
	if err := g.Wait(); err != nil {
		return err
	}
	_, err := b.e.updateJob(context.WithoutCancel(ctx), func(j *job) bool {
		if j.Copied {
			return false
		}
		j.Copied, j.CopiedAt = true, time.Now().UTC()
		return true
	})
	return err
}

func (b *backfill) awaitPlan(ctx context.Context) error {
	for {
		j := &job{}
		if _, err := b.e.state.Load(ctx, jobKey, j); err != nil {
			return err
		}
		if b.fresh = j.Generation > 1; j.Planned {
			b.applySettings(j)
			return nil
		}
		if err := backoff.Sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// watchSettings applies pause and throttle as they change in the control table.
func (b *backfill) watchSettings(ctx context.Context, stop <-chan struct{}) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			j := &job{}
			if _, err := b.e.state.Load(ctx, jobKey, j); err != nil {
				return err
			}
			b.applySettings(j)
		}
	}
}

func (b *backfill) applySettings(j *job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.paused = j.Paused
	perSecond := b.e.Throttle
	if j.Throttle > 0 && (perSecond == 0 || j.Throttle < perSecond) {
		perSecond = j.Throttle
	}
	if perSecond == 0 {
		b.limit.SetLimit(rate.Inf)
		return
	}
	b.limit.SetLimit(rate.Limit(perSecond))
}

func (b *backfill) isPaused() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.paused
}

func (b *backfill) copyRanges(ctx context.Context) error {
	for {
		r, done, err := b.claimRange(ctx)
		if err != nil || done {
			return err
		}
		if r == nil {
			if err := backoff.Sleep(ctx, 200*time.Millisecond); err != nil {
				return err
			}
			continue
		}
		err = b.copyRange(ctx, r)
		b.mu.Lock()
		delete(b.busy, r.N)
		b.mu.Unlock()
		if err != nil && !errors.Is(err, state.ErrConflict) {
			return err
		}
	}
}

// claimRange claims a range under the lock, so that two workers of one process do not
// claim the same.
func (b *backfill) claimRange(ctx context.Context) (*rangeRow, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, done, err := b.e.claimRange(ctx, b.liveness, func(n int) bool { return b.busy[n] })
	if r != nil {
		b.busy[r.N] = true
	}
	return r, done, err
}

// readResult is a chunk that was read, or why it could not be.
type readResult struct {
	source.Chunk
	err error
}

// copyRange copies a range from its cursor, reading one chunk ahead. The cursor moves
// only past what is in the target.
func (b *backfill) copyRange(ctx context.Context, r *rangeRow) error {
	ctx, cancel := context.WithCancel(ctx)
	ahead := make(chan readResult, 1)
	var reader sync.WaitGroup
	reader.Go(func() { b.readAhead(ctx, unpackID(r.After), unpackID(r.To), ahead) })
	defer reader.Wait()
	defer cancel()
	for p := range ahead {
		if p.err != nil {
			return p.err
		}
		if err := b.writeChunk(ctx, r, p.Chunk); err != nil {
			return err
		}
		if len(p.Docs) > 0 {
			r.After = packID(p.Docs[len(p.Docs)-1].Lookup("_id"))
		}
		r.Copied += int64(len(p.Docs))
		r.Done = len(p.Docs) == 0
		if err := b.e.crash("chunk"); err != nil {
			return err
		}
		if err := b.e.state.Save(ctx, r); err != nil || r.Done {
			return err
		}
	}
	return ctx.Err()
}

// readAhead sends the range's chunks in order; an empty one is the last.
func (b *backfill) readAhead(ctx context.Context, after, to bson.RawValue, out chan<- readResult) {
	defer close(out)
	for {
		c, err := b.readChunk(ctx, after, to)
		select {
		case out <- readResult{c, err}:
		case <-ctx.Done():
			return
		}
		if err != nil || len(c.Docs) == 0 {
			return
		}
		after = c.Docs[len(c.Docs)-1].Lookup("_id")
	}
}

func (b *backfill) readChunk(ctx context.Context, after, to bson.RawValue) (source.Chunk, error) {
	for b.isPaused() {
		if err := backoff.Sleep(ctx, 200*time.Millisecond); err != nil {
			return source.Chunk{}, err
		}
	}
	return b.e.source.Read(ctx, after, to, b.e.ChunkSize)
}

func (b *backfill) writeChunk(ctx context.Context, r *rangeRow, c source.Chunk) error {
	if len(c.Docs) == 0 {
		return nil
	}
	if err := b.limit.WaitN(ctx, min(len(c.Docs), b.limit.Burst())); err != nil {
		return err
	}
	entries := make([]target.Entry, 0, len(c.Docs))
	for _, doc := range c.Docs {
		e, err := b.e.target.Encode(doc, c.At)
		if err != nil {
			return err
		}
		entries = append(entries, e)
		r.Bytes += int64(e.Size)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(b.e.Writers)
	for _, batch := range b.e.target.Batches(entries) {
		g.Go(func() error {
			if !b.heartbeat.holdsLease() {
				return errLeaseLost
			}
			return b.e.target.PutAbsent(ctx, batch, c.At, b.fresh)
		})
	}
	return g.Wait()
}
