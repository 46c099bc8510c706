package follow

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Follower follows one change stream. Run may be called by one goroutine at a
// time, the rest is safe for concurrent use.
type Follower struct {
	cfg   Config
	ready chan struct{}
	once  sync.Once

	mu      sync.Mutex
	session *session // while the lease is ours
	status  Status   // what outlives a session
}

// New checks cfg. Nothing is asked of the server before Run.
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
// something stops it for good: [ErrHistoryLost], [ErrInvalidated],
// [ErrEventTooLarge], [ErrNoStream], a refusal of the server, or an error of a
// handler or a receipt that does not pass. When ctx ends, changes in flight are
// waited for and the position is stored. A follower that loses its lease waits
// for it again.
func (f *Follower) Run(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		l, row, err := f.acquire(ctx)
		if err == nil {
			f.cfg.Log.Info("following", "name", f.cfg.Name, "owner", l.owner, "epoch", l.epoch)
			err = f.hold(ctx, l, row)
		}
		if err != nil && ctx.Err() == nil {
			err = f.note(fmt.Errorf("follow %q: %w", f.cfg.Name, err))
			if !errors.Is(err, errLeaseLost) && !f.cfg.Passing(err) {
				return err
			}
			_ = f.pause(ctx, backoff(attempt))
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// hold follows as long as the lease is ours.
func (f *Follower) hold(ctx context.Context, l *lease, row *checkpoint) error {
	s := &session{f: f, cfg: &f.cfg, lease: l, queue: make(chan *item, f.cfg.Window)}
	s.progress.position = row.position()
	ctx, s.cancel = context.WithCancelCause(ctx)
	defer s.cancel(nil)
	f.enter(s)
	defer f.leave(s)

	lasting, over := s.outlast(ctx)
	defer over()
	var settling, keeping sync.WaitGroup
	settling.Go(func() { s.settleAll(lasting) })
	kept := make(chan struct{})
	keeping.Go(func() { s.keep(lasting, kept) })

	err := s.follow(ctx)
	s.stop(err)
	close(s.queue)
	settling.Wait()
	close(kept)
	keeping.Wait()
	return s.end(ctx)
}

// session is one time of holding the lease.
type session struct {
	f        *Follower
	cfg      *Config
	lease    *lease
	cancel   context.CancelCauseFunc
	queue    chan *item // in the order of the stream
	progress progress
	swept    time.Time
	chunk    *Chunk // read, and waiting for its place in the stream
	chunkAt  time.Time
	hasty    bool           // the stream was opened while a chunk was waiting
	last     bson.Timestamp // of the last change handed out
	index    int
	pushed   atomic.Int64 // changes and chunks
}

func (s *session) inFlight() int { return int(max(0, s.pushed.Load()-s.progress.count())) }

// outlast gives a context that ends Grace after ctx, or at once when ctx ends
// because the lease was lost.
func (s *session) outlast(ctx context.Context) (context.Context, func()) {
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), errLeaseLost) {
			cancel()
			return
		}
		time.AfterFunc(s.cfg.Grace, cancel)
	})
	return lasting, func() { cancel(); stop() }
}

// stop ends the session; the first reason counts.
func (s *session) stop(err error) { s.cancel(err) }

// end stores the last position, lets go of the lease and says why it ended.
func (s *session) end(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, errLeaseLost) {
		return cause
	}
	out, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(s.cfg.Lease, 2*time.Second))
	defer cancel()
	err := s.lease.save(out, s.progress.toSave())
	if err == nil {
		err = s.lease.release(out)
	}
	if err != nil { // the next one waits until the lease runs out, and repeats a little
		s.f.note(fmt.Errorf("store the last position of %q: %w", s.cfg.Name, err))
	}
	if errors.Is(cause, context.Canceled) {
		return nil
	}
	return cause
}

// keep stores the position and renews the lease, until kept is closed.
func (s *session) keep(ctx context.Context, kept <-chan struct{}) {
	tick := time.NewTicker(min(s.cfg.SaveEvery, s.cfg.Lease/6))
	defer tick.Stop()
	saved, renewed := s.cfg.Now(), s.cfg.Now()
	for {
		select {
		case <-kept:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := s.cfg.Now()
		due := now.Sub(saved) >= s.cfg.SaveEvery && s.progress.isDirty()
		if !due && now.Sub(renewed) < s.cfg.Lease/3 {
			continue
		}
		err := s.save(ctx)
		if err == nil {
			saved, renewed = now, now
		}
		if errors.Is(err, errLeaseLost) {
			s.stop(err)
			return
		}
	}
}

// save stores the position. An error that passes is only noted, unless the lease
// ran out over it.
func (s *session) save(ctx context.Context) error {
	err := s.lease.save(ctx, s.progress.toSave())
	if err == nil {
		return nil
	}
	s.progress.unsaved()
	if errors.Is(err, errLeaseLost) {
		return err
	}
	if !s.lease.held() {
		return fmt.Errorf("%w: %w", errLeaseLost, err)
	}
	s.f.note(fmt.Errorf("store the position of %q: %w", s.cfg.Name, err))
	return err
}

// backoff doubles from 20 ms to 5 s, each cut by up to a half at random.
func backoff(attempt int) time.Duration {
	d := min(20*time.Millisecond<<min(attempt, 10), 5*time.Second)
	return d/2 + rand.N(d/2)
}

func (f *Follower) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
