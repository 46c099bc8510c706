package outbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers"
	"github.com/banyan-fig/banyan/publishers/outbox"
)

// slow hands on to a publisher when it is told to.
type slow struct {
	publishers.Publisher
	asked, proceed chan struct{}
}

func (s *slow) EnqueueEncoded(ctx context.Context, key string, data []byte) (publishers.Receipt, error) {
	s.asked <- struct{}{}
	receipt := &late{done: make(chan struct{})}
	go func() {
		defer close(receipt.done)
		<-s.proceed
		if receipt.receipt, receipt.err = s.Publisher.EnqueueEncoded(context.WithoutCancel(ctx), key, data); receipt.err == nil {
			<-receipt.receipt.Done()
		}
	}()
	return receipt, nil
}

type late struct {
	receipt publishers.Receipt
	done    chan struct{}
	err     error
}

func (l *late) Done() <-chan struct{} { return l.done }

func (l *late) Wait(ctx context.Context) (events.Position, error) {
	select {
	case <-l.done:
	case <-ctx.Done():
		return events.Position{}, ctx.Err()
	}
	if l.err != nil {
		return events.Position{}, l.err
	}
	return l.receipt.Wait(ctx)
}

// A relay that ends in the middle of a sweep keeps its lease until the publisher has sent
// what it was given: the next one would publish the same, and more, before it.
func TestALeaseIsKeptWhileASweepIsBeingPublished(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pushTo("users", "key", 0)
	s := &slow{w.publisher(), make(chan struct{}, 1), make(chan struct{})}
	_, stop := w.relay(func(c *outbox.Config) { c.Publisher, c.Grace = s, time.Minute })
	<-s.asked // by the sweep, which had the event from before the start
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	select {
	case err := <-stopped:
		close(s.proceed)
		t.Fatalf("it ended (%v) while an event was in flight", err)
	case <-time.After(300 * time.Millisecond): // enough for one that does not wait
	}
	close(s.proceed)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	_, stop = w.relay()
	w.await("the event to be removed", func() bool { return w.waiting("users") == 0 })
	w.stop(stop)
	w.check(map[string]int{"key": 1})
}
