package publisherstest

import (
	"context"
	"errors"
	"time"

	"github.com/banyan-fig/banyan/publishers"
)

const (
	// mostSmall is the number of events that fill a small publisher for certain.
	mostSmall = 1000
	// moment is how long a call has to block to count as waiting.
	moment = 50 * time.Millisecond
)

// fill enqueues events of a key until one is refused, and returns the receipts and
// the error of the last.
func (s *subject) fill(key string, limit func() (context.Context, context.CancelFunc)) (receipts []publishers.Receipt, err error) {
	s.Helper()
	for i := range mostSmall + 1 {
		ctx, cancel := limit()
		r, err := s.Publisher.EnqueueEncoded(ctx, key, encoded(key, i))
		cancel()
		if err != nil {
			return receipts, err
		}
		receipts = append(receipts, r)
	}
	s.Fatalf("%d events were accepted by a publisher that was to be small", mostSmall+1)
	return nil, nil
}

func briefly() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), moment)
}

func fullWaits(s *subject) {
	if s.harness.NeverWaits {
		s.Skip("it never waits")
	}
	s.make(Options{Small: true, Held: true})
	receipts, err := s.fill("key", briefly)
	if !errors.Is(err, context.DeadlineExceeded) {
		s.Fatalf("at the limit: %v", err)
	}
	n := len(receipts)
	var waiting publishers.Receipt
	in := make(chan struct{})
	go func() {
		defer close(in)
		waiting = s.enqueue("key", n)
	}()
	select {
	case <-in:
		s.Error("the limit was reached, and one more event is accepted")
	case <-time.After(moment):
	}
	s.Release()
	s.inTime(in, "an event waits for a place that is there")
	for i, r := range append(receipts, waiting) {
		s.await(r, id("key", i))
	}
	s.check(map[string]int{"key": n + 1})
}

func fullRefuses(s *subject) {
	if s.harness.Full == nil {
		s.Skip("it never refuses")
	}
	s.make(Options{Small: true, Held: true, Refuse: true})
	receipts, err := s.fill("key", limited)
	if !errors.Is(err, s.harness.Full) {
		s.Fatalf("at the limit: %v, want %v", err, s.harness.Full)
	}
	n := len(receipts)
	s.Release()
	for i, r := range receipts {
		s.await(r, id("key", i))
	}
	receipts = append(receipts, s.enqueueSoon("key", n))
	s.await(receipts[n], id("key", n))
	s.check(map[string]int{"key": n + 1})
}

// enqueueSoon tries until there is capacity again: what was kept may take a moment to
// be forwarded.
func (s *subject) enqueueSoon(key string, number int) publishers.Receipt {
	s.Helper()
	ctx, cancel := limited()
	defer cancel()
	var r publishers.Receipt
	s.eventually("there is capacity again", func() (accepted bool) {
		var err error
		r, err = s.Publisher.EnqueueEncoded(ctx, key, encoded(key, number))
		if err != nil && !errors.Is(err, s.harness.Full) {
			s.Fatalf("there must be capacity again: %v", err)
		}
		return err == nil
	})
	return r
}
