package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Spool is one open file. Safe for concurrent use. It must be closed.
type Spool struct {
	cfg     Config
	lock    *lock
	store   *store // the writer's own
	ctx     context.Context
	cancel  context.CancelFunc // ends the writer without writing the rest
	writing sync.WaitGroup
	work    chan struct{} // holds a token when the writer should check for work
	arrived chan struct{} // holds a token when there is more to drain

	inFlight atomic.Int64 // forwarded, not yet acknowledged

	closeOnce sync.Once
	closeErr  error

	mu       sync.Mutex // everything below
	closed   bool       // no event is enqueued any more
	ending   bool       // the writer ends when all is written
	broken   error
	queue    intake
	kept     state // as the last transaction left it
	oldest   time.Time
	outcome  outcome // what the drain has completed, and the file does not record yet
	calls    []*call
	drain    draining
	salvages []Salvage
	trouble  trouble
	fileSize int64
}

// Open opens the spool at Config.Path, or creates it. It reads the whole file. A damaged
// file is renamed, and every readable event in it is copied into a new
// one: the log and [Status] say what was lost, if anything. ctx bounds the
// waiting for another process; the spool lives until [Spool.Close].
//
// Errors are ErrLocked, ErrNotSpool and ErrFormat, and those of the file system.
func Open(ctx context.Context, cfg Config) (*Spool, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s, err := open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("publishers/spool: open %s: %w", cfg.Path, err)
	}
	return s, nil
}

func open(ctx context.Context, cfg Config) (*Spool, error) {
	l, err := acquireLock(ctx, cfg.Path, cfg.LockTimeout)
	if err != nil {
		return nil, err
	}
	st, found, err := prepare(&cfg)
	if err != nil {
		l.release()
		return nil, err
	}
	s := &Spool{
		cfg: cfg, lock: l, store: st,
		work: make(chan struct{}, 1), arrived: make(chan struct{}, 1),
		kept: st.state, oldest: found.oldest, salvages: found.reports, fileSize: found.fileBytes,
	}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.queue.init(s)
	s.writing.Go(s.write)
	return s, nil
}

// prepare creates, checks, salvages and compacts the file, as needed.
func prepare(cfg *Config) (*store, *examination, error) {
	info, err := os.Stat(cfg.Path)
	switch {
	case errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 && info.Mode().IsRegular():
		if err := createStore(cfg.Path); err != nil {
			return nil, nil, err
		}
	case err != nil:
		return nil, nil, err
	case info.Mode().Perm()&0o077 != 0 && info.Mode().IsRegular():
		if err := os.Chmod(cfg.Path, 0o600); err != nil {
			return nil, nil, fmt.Errorf("it can be read by others, and events may hold personal data: %w", err)
		}
	}
	found, err := examine(cfg.Path)
	if err != nil {
		return nil, nil, err
	}
	if found.damage != nil {
		if found, err = replaceDamaged(cfg, found); err != nil {
			return nil, nil, err
		}
	}
	if found.wasteful() {
		if found, err = compact(cfg, found); err != nil {
			return nil, nil, err
		}
	}
	st, err := openStore(cfg.Path, found, cfg)
	return st, found, err
}

func replaceDamaged(cfg *Config, damaged *examination) (*examination, error) {
	report, err := salvage(cfg.Path, damaged, cfg.Now())
	if err != nil {
		return nil, err
	}
	cfg.Log.Error("spool file was damaged", "path", cfg.Path, "report", report.String())
	found, err := examine(cfg.Path)
	if err == nil && found.damage != nil {
		err = fmt.Errorf("the salvaged file: %w", found.damage)
	}
	return found, err
}

// Close ends a drain, writes what was enqueued, and releases the file. Nothing
// is enqueued any more, and callers that wait for capacity get [ErrClosed]. When ctx ends
// first, the receipts of what is not written are ErrClosed, and Close says how
// many. A disk that does not answer holds it up beyond ctx. A second Close waits
// for the first and returns the same.
func (s *Spool) Close(ctx context.Context) error {
	s.closeOnce.Do(func() {
		if err := s.shutdown(ctx); err != nil {
			s.closeErr = fmt.Errorf("publishers/spool: close %s: %w", s.cfg.Path, err)
		}
	})
	return s.closeErr
}

func (s *Spool) shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.queue.rejectWaiters(s.errClosed())
	drained := s.drain.stop()
	s.mu.Unlock()
	select {
	case <-drained:
	case <-ctx.Done():
	}
	stop := context.AfterFunc(ctx, s.cancel)
	defer stop()
	s.mu.Lock()
	s.ending = true
	s.mu.Unlock()
	s.wake()
	s.writing.Wait()
	s.cancel()
	s.mu.Lock()
	left := s.queue.failAll(s.errClosed())
	s.failCallsLocked(ErrClosed)
	s.mu.Unlock()
	err := s.store.db.Close()
	s.lock.release()
	if left > 0 {
		return fmt.Errorf("%d events were enqueued and not written, and their receipts say so: %w%s", left, errors.Join(ctx.Err(), err), s.lastFailureText())
	}
	return err
}

// errClosed needs no lock.
func (s *Spool) errClosed() error {
	return fmt.Errorf("not enqueued: the spool at %s: %w", s.cfg.Path, ErrClosed)
}

// wake makes the writer check for work.
func (s *Spool) wake() { signal(s.work) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // a signal is there already
	}
}

// trouble is the last failure.
type trouble struct {
	err   error
	at    time.Time
	lasts bool // nothing has worked since
}

// noteFailure notes a failure and logs the first of a series. It locks mu.
func (s *Spool) noteFailure(what string, err error) {
	s.mu.Lock()
	first := !s.trouble.lasts
	s.trouble = trouble{fmt.Errorf("%s: %w", what, err), s.cfg.Now(), true}
	s.mu.Unlock()
	if first {
		s.cfg.Log.Warn("spool: "+what, "path", s.cfg.Path, "error", err)
	}
}

// noteSuccess ends a series of failures.
func (s *Spool) noteSuccess() {
	s.mu.Lock()
	after := s.trouble.lasts
	s.trouble.lasts = false
	s.mu.Unlock()
	if after {
		s.cfg.Log.Info("spool: works again", "path", s.cfg.Path)
	}
}

// lastFailureText says why nothing moves, for messages about waiting. It locks mu.
func (s *Spool) lastFailureText() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble.lasts {
		return "; last failure: " + s.trouble.err.Error()
	}
	return ""
}
