package follow

import (
	"context"
	"fmt"
)

// settleAll takes what was handled in the order of the stream, waits for its
// receipts, and moves the position over it. After a failure nothing moves any
// more; the rest is only taken away, so that nobody waits for room.
func (s *session) settleAll(ctx context.Context) {
	failed := false
	for it := range s.queue {
		if it.flushed != nil {
			close(it.flushed)
			continue
		}
		if failed {
			continue
		}
		if err := s.settle(ctx, it); err != nil {
			failed = true
			s.stop(err)
		}
	}
}

func (s *session) settle(ctx context.Context, it *item) error {
	for _, r := range it.receipts {
		if _, err := r.Wait(ctx); err != nil {
			return fmt.Errorf("%s was not published: %w", it, err)
		}
	}
	if it.change != nil && s.cfg.Done != nil {
		if err := s.untilDone(ctx, it.change); err != nil {
			return fmt.Errorf("finish %s: %w", it, err)
		}
	}
	s.progress.move(it)
	return nil
}

// untilDone tries again what passes: the stream cannot be read again from before
// a change whose successors are handled already.
func (s *session) untilDone(ctx context.Context, c *Change) error {
	for attempt := 0; ; attempt++ {
		err := s.cfg.Done(ctx, *c)
		if err == nil || ctx.Err() != nil || !s.cfg.Passing(err) {
			return err
		}
		s.f.note(fmt.Errorf("finish %s: %w", c, err))
		if !s.lease.held() {
			return errLeaseLost
		}
		if s.f.pause(ctx, backoff(attempt)) != nil {
			return err
		}
	}
}

// String names it in messages.
func (it *item) String() string {
	if it.change != nil {
		return it.change.String()
	}
	return "a chunk read beside the stream"
}

// push queues an item, waiting while the window is full.
func (s *session) push(ctx context.Context, it *item) error {
	select {
	case s.queue <- it:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if it.flushed == nil {
		s.pushed.Add(1)
	}
	return nil
}

// flush waits until all that was handled is settled.
func (s *session) flush(ctx context.Context) error {
	it := &item{flushed: make(chan struct{})}
	if err := s.push(ctx, it); err != nil {
		return err
	}
	select {
	case <-it.flushed:
		return context.Cause(ctx) // of a failure before it
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
