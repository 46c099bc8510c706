package mongostream

import (
	"context"
	"fmt"
)

// Ack waits until the work that Handle started for a change is complete, and returns
// its error. A nil Ack says that it is complete already.
type Ack func(ctx context.Context) error

// item is a part of the stream in flight: a change, a chunk or a heartbeat.
type item struct {
	change    *Change // nil for others
	ack       Ack
	advance   func(*Position) // moves the position behind this item
	flushed   chan struct{}   // not nil: closed when everything before is acknowledged
	heartbeat bool            // it alone is not worth a save
}

// String names the item in messages.
func (it *item) String() string {
	if it.change != nil {
		return it.change.String()
	}
	return "a chunk read beside the stream"
}

// acknowledgeAll awaits the items in the order of the stream and moves the position
// over each. After a failure the position stays; the rest is only dequeued, so
// that no sender blocks on a full queue.
func (s *session) acknowledgeAll(ctx context.Context) {
	failed := false
	for it := range s.queue {
		if it.flushed != nil {
			close(it.flushed)
			continue
		}
		if failed {
			continue
		}
		if err := s.acknowledge(ctx, it); err != nil {
			failed = true
			s.cancel(err)
		}
	}
}

func (s *session) acknowledge(ctx context.Context, it *item) error {
	if it.ack != nil {
		if err := it.ack(ctx); err != nil {
			return fmt.Errorf("complete %s: %w", it, err)
		}
	}
	if it.change != nil && s.cfg.Done != nil {
		if err := s.callDone(ctx, it.change); err != nil {
			return fmt.Errorf("finish %s: %w", it, err)
		}
	}
	s.progress.advance(it)
	return nil
}

// callDone retries transient errors: the stream cannot be read again from before a
// change whose successors are handled already.
func (s *session) callDone(ctx context.Context, c *Change) error {
	for attempt := 0; ; attempt++ {
		err := s.cfg.Done(ctx, *c)
		if err == nil || ctx.Err() != nil || !s.cfg.Transient(err) {
			return err
		}
		s.f.recordError(fmt.Errorf("finish %s: %w", c, err))
		if !s.checkpoint.Held() {
			return ErrLeaseLost
		}
		if retryDelay.Wait(ctx, attempt) != nil {
			return err
		}
	}
}

// enqueue waits while the window is full.
func (s *session) enqueue(ctx context.Context, it *item) error {
	select {
	case s.queue <- it:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if it.flushed == nil {
		s.enqueued.Add(1)
	}
	return nil
}

// flush waits until everything handled is acknowledged.
func (s *session) flush(ctx context.Context) error {
	it := &item{flushed: make(chan struct{})}
	if err := s.enqueue(ctx, it); err != nil {
		return err
	}
	select {
	case <-it.flushed:
		return context.Cause(ctx) // an earlier failure
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
