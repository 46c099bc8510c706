package publisherstest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/publishers"
)

// close closes the publisher with a generous deadline.
func (s *subject) close() {
	s.Helper()
	ctx, cancel := limited()
	defer cancel()
	if err := s.Close(ctx); err != nil {
		s.Errorf("close: %v", err)
	}
}

func closeKeepsWhatWasEnqueued(s *subject) {
	s.make(Options{})
	var receipts []publishers.Receipt
	for i := range 200 {
		receipts = append(receipts, s.enqueue("key", i))
	}
	s.close()
	for i, r := range receipts {
		if _, err := r.Wait(ended()); err != nil {
			s.Errorf("after Close, %s: %v", id("key", i), err)
		}
	}
	s.check(map[string]int{"key": 200})
}

func closedRefusesEvents(s *subject) {
	s.make(Options{})
	s.publish("key", 1)
	s.close()
	ctx, cancel := limited()
	defer cancel()
	if _, err := s.Publisher.EnqueueEncoded(ctx, "key", encoded("key", 1)); !errors.Is(err, s.harness.Closed) {
		s.Errorf("after Close: %v, want %v", err, s.harness.Closed)
	}
	if _, err := s.Publisher.Enqueue(ctx, event("key", 1)); !errors.Is(err, s.harness.Closed) {
		s.Errorf("after Close: %v, want %v", err, s.harness.Closed)
	}
	s.close()
	s.check(map[string]int{"key": 1})
}

// closeReleasesWaitingCallers closes a publisher that cannot pass anything on, while
// other callers wait for capacity and for receipts.
func closeReleasesWaitingCallers(s *subject) {
	if s.harness.NeverWaits {
		s.Skip("it never waits")
	}
	s.make(Options{Small: true, Held: true})
	receipts, _ := s.fill("key", briefly)
	n := len(receipts)
	var outcome error
	out := make(chan struct{})
	go func() {
		defer close(out)
		ctx, cancel := limited()
		defer cancel()
		r, err := s.Publisher.EnqueueEncoded(ctx, "key", encoded("key", n))
		if err == nil {
			_, err = r.Wait(ctx)
		}
		outcome = err
	}()
	time.Sleep(moment)
	ctx, cancel := context.WithTimeout(context.Background(), 4*moment)
	defer cancel()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = s.Close(ctx) // it may run out of time
	}()
	s.inTime(closed, "Close lasts beyond its deadline")
	s.inTime(out, "a caller that waited for capacity still waits")
	if outcome != nil && !errors.Is(outcome, s.harness.Closed) {
		s.Errorf("a caller that waited for capacity got %v", outcome)
	}
	for i, r := range receipts {
		s.awaitDone(r)
		if _, err := r.Wait(ended()); err == nil && !s.has("key", i) {
			s.Errorf("%s was acknowledged and is not there", id("key", i))
		}
	}
}

func publishingAndClosingRace(s *subject) {
	s.make(Options{})
	var mu sync.Mutex
	acknowledged := make(map[string]int)
	var publishing sync.WaitGroup
	for i := range 6 {
		publishing.Go(func() {
			key := fmt.Sprintf("key%d", i)
			for n := 0; ; n++ {
				if err := s.attempt(key, n); err != nil {
					if !errors.Is(err, s.harness.Closed) {
						s.Error(err)
					}
					return
				}
				mu.Lock()
				acknowledged[key] = n + 1
				mu.Unlock()
			}
		})
	}
	s.eventually("an event of each key is acknowledged", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(acknowledged) == 6
	})
	s.close()
	s.join(&publishing)
	numbers := s.numbers()
	for key, n := range acknowledged {
		// One more may be kept, that was not acknowledged.
		if CheckOrder(key, numbers[key], n) != nil && CheckOrder(key, numbers[key], n+1) != nil {
			s.Errorf("%d events of %s were acknowledged, kept are %v", n, key, numbers[key])
		}
	}
}

func (s *subject) attempt(key string, number int) error {
	ctx, cancel := limited()
	defer cancel()
	r, err := s.Publisher.EnqueueEncoded(ctx, key, encoded(key, number))
	if err != nil {
		return err
	}
	_, err = r.Wait(ctx)
	return err
}
