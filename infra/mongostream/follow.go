package mongostream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// retryDelay is the pause after a transient error.
var retryDelay = backoff.Backoff{Min: 20 * time.Millisecond, Max: 5 * time.Second}

// Follower follows one change stream. Run may be called by one goroutine at a
// time, the rest is safe for concurrent use.
type Follower struct {
	cfg   Config
	ready chan struct{}
	once  sync.Once

	mu      sync.Mutex
	session *session // while the lease is held
	status  Status   // the counts and errors of all sessions
}

// New checks cfg. It sends no request; Run does.
func New(cfg Config) (*Follower, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	f := &Follower{cfg: cfg.withDefaults(), ready: make(chan struct{})}
	f.status.Name = cfg.Name
	return f, nil
}

// Ready is closed when the follower has the lease, its start is stored and the
// stream was opened once: no change from then on can be missed.
func (f *Follower) Ready() <-chan struct{} { return f.ready }

// Run waits for the lease and follows until ctx ends, which is no error, or
// a permanent error ends it: [ErrHistoryLost], [ErrInvalidated],
// [ErrEventTooLarge], [ErrNoStream], [ErrCheckpointRefused], a refusal of the server,
// or an error of a callback that is not transient. When ctx ends, changes in flight
// are waited for and the position is stored. A follower that loses its lease waits
// for it again.
func (f *Follower) Run(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		p, err := f.acquire(ctx)
		if err == nil {
			owner, epoch := f.cfg.Checkpoint.Holder()
			f.cfg.Log.Info("following", "name", f.cfg.Name, "owner", owner, "epoch", epoch)
			err = f.followWithLease(ctx, p)
		}
		if err != nil && ctx.Err() == nil {
			err = f.recordError(fmt.Errorf("follow %q: %w", f.cfg.Name, err))
			if f.isFinal(err) {
				return err
			}
			_ = retryDelay.Wait(ctx, attempt)
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// isFinal reports whether err ends Run, and not only the session.
func (f *Follower) isFinal(err error) bool {
	if _, ofStream := errors.AsType[streamError](err); ofStream || errors.Is(err, ErrCheckpointRefused) {
		return true
	}
	return !errors.Is(err, ErrLeaseLost) && !f.cfg.Transient(err)
}

// acquire waits until this follower has the lease.
func (f *Follower) acquire(ctx context.Context) (Position, error) {
	standby := false
	for attempt := 0; ; attempt++ {
		p, acquired, err := f.cfg.Checkpoint.Acquire(ctx)
		switch {
		case ctx.Err() != nil:
			return Position{}, ctx.Err()
		case errors.Is(err, ErrCheckpointRefused):
			return Position{}, fmt.Errorf("acquire the lease: %w", err)
		case err != nil:
			_ = f.recordError(fmt.Errorf("acquire the lease of %q: %w", f.cfg.Name, err))
		case acquired:
			return p, nil
		default:
			if !standby {
				standby = true
				f.cfg.Log.Info("standing by: another process is following", "name", f.cfg.Name)
			}
			attempt = 0
		}
		if err := backoff.Sleep(ctx, max(retryDelay.Delay(attempt), f.cfg.Lease/8)); err != nil {
			return Position{}, err
		}
	}
}

// followWithLease follows as long as the lease is held.
func (f *Follower) followWithLease(ctx context.Context, from Position) error {
	s := &session{f: f, cfg: &f.cfg, checkpoint: f.cfg.Checkpoint, queue: make(chan *item, f.cfg.Window), saveNow: make(chan struct{}, 1)}
	s.progress.position = from
	ctx, s.cancel = context.WithCancelCause(ctx)
	defer s.cancel(nil)
	f.setSession(s)
	defer f.clearSession(s)

	lasting, end := s.withGrace(ctx)
	defer end()
	var acknowledging, beside sync.WaitGroup
	acknowledging.Go(func() { s.acknowledgeAll(lasting) })
	stopped := make(chan struct{})
	beside.Go(func() { s.saveAndRenew(lasting, stopped) })
	if s.cfg.WhileHeld != nil {
		beside.Go(func() {
			if err := s.cfg.WhileHeld(ctx); err != nil && ctx.Err() == nil {
				s.cancel(err)
			}
		})
	}
	s.cancel(s.readUntilStopped(ctx))
	close(s.queue)
	acknowledging.Wait()
	close(stopped)
	beside.Wait()
	return s.finish(ctx)
}

// session is the time of holding the lease once.
type session struct {
	f          *Follower
	cfg        *Config
	checkpoint Checkpoint
	cancel     context.CancelCauseFunc // ends the session; the first cause counts
	queue      chan *item              // in the order of the stream
	progress   progress
	saveNow    chan struct{}
	saving     sync.Mutex
	swept      time.Time
	chunk      *Chunk // read, and waiting for its position in the stream
	chunkAt    time.Time
	shortAwait bool           // the stream was opened while a chunk was waiting
	last       bson.Timestamp // of the last change handled
	index      int
	lastDDL    string
	enqueued   atomic.Int64 // changes and chunks
}

func (s *session) inFlight() int { return int(max(0, s.enqueued.Load()-s.progress.count())) }

// withGrace returns a context that ends Grace after ctx, or at once when ctx ends
// because the lease was lost.
func (s *session) withGrace(ctx context.Context) (context.Context, func()) {
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), ErrLeaseLost) {
			cancel()
			return
		}
		time.AfterFunc(s.cfg.Grace, cancel)
	})
	return lasting, func() { cancel(); stop() }
}

// finish stores the last position, releases the lease and returns why the session ended.
func (s *session) finish(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, ErrLeaseLost) {
		return cause
	}
	if errors.Is(cause, context.Canceled) {
		cause = nil
	}
	out, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	err := s.checkpoint.Save(out, s.progress.toSave())
	if err == nil {
		err = s.checkpoint.Release(out, cause)
	}
	if err != nil { // the next one waits until the lease runs out, and repeats a little
		_ = s.f.recordError(fmt.Errorf("store the last position of %q: %w", s.cfg.Name, err))
	}
	return cause
}

// saveAndRenew stores the position and renews the lease, until stopped is closed.
func (s *session) saveAndRenew(ctx context.Context, stopped <-chan struct{}) {
	tick := time.NewTicker(min(s.cfg.SaveEvery, s.cfg.Lease/6))
	defer tick.Stop()
	saved, renewed := time.Now(), time.Now()
	for {
		atOnce := false
		select {
		case <-stopped:
			return
		case <-ctx.Done():
			return
		case <-s.saveNow:
			atOnce = true
		case <-tick.C:
		}
		now := time.Now()
		due := now.Sub(saved) >= s.cfg.SaveEvery && s.progress.isDirty()
		if !due && !atOnce && now.Sub(renewed) < s.cfg.Lease/3 {
			continue
		}
		err := s.save(ctx)
		if err == nil {
			saved, renewed = now, now
		}
		if errors.Is(err, ErrLeaseLost) || errors.Is(err, ErrCheckpointRefused) {
			s.cancel(err)
			return
		}
	}
}

// save stores the position. A transient error is only recorded, unless the lease ran
// out meanwhile.
func (s *session) save(ctx context.Context) error {
	s.saving.Lock()
	defer s.saving.Unlock()
	err := s.checkpoint.Save(ctx, s.progress.toSave())
	if err == nil {
		return nil
	}
	s.progress.markUnsaved()
	switch {
	case errors.Is(err, ErrLeaseLost), errors.Is(err, ErrCheckpointRefused):
		return err
	case !s.checkpoint.Held():
		return fmt.Errorf("%w: %w", ErrLeaseLost, err)
	}
	return s.f.recordError(fmt.Errorf("store the position of %q: %w", s.cfg.Name, err))
}

// SaveNow stores the position soon, and not only after Config.SaveEvery.
func (f *Follower) SaveNow() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.session == nil {
		return
	}
	select {
	case f.session.saveNow <- struct{}{}:
	default:
	}
}
