package publisherstest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers"
)

// acknowledgedIsKeptAlready looks while others publish.
func acknowledgedIsKeptAlready(s *subject) {
	s.make(Options{})
	s.together(4, func(producer int) {
		key := fmt.Sprintf("key%d", producer)
		for i := range 5 {
			s.await(s.enqueue(key, i), id(key, i))
			if !s.has(key, i) {
				s.Errorf("%s was acknowledged and is not there", id(key, i))
			}
		}
	})
}

// everyReceiptHasTheSameOutcome reads receipts by Wait and by Done, before and after they complete.
func everyReceiptHasTheSameOutcome(s *subject) {
	s.make(Options{Held: true})
	var receipts []publishers.Receipt
	for i := range 20 {
		receipts = append(receipts, s.enqueue("key", i))
	}
	type answer struct {
		pos events.Position
		err error
	}
	answers := make([][]answer, 6)
	for i := range answers {
		answers[i] = make([]answer, len(receipts))
	}
	released := make(chan struct{})
	time.AfterFunc(time.Millisecond, func() { s.Release(); close(released) })
	s.together(len(answers), func(i int) {
		for j, r := range receipts {
			if i%2 == 0 {
				s.awaitDone(r)
			}
			answers[i][j].pos = s.await(r, id("key", j))
		}
	})
	<-released
	for i := range answers {
		for j, r := range receipts {
			pos, err := r.Wait(ended()) // already completed
			if got := (answer{pos, err}); got != answers[i][j] {
				s.Fatalf("%s: one caller got %+v, another %+v", id("key", j), answers[i][j], got)
			}
			select {
			case <-r.Done():
			default:
				s.Errorf("%s: Wait is over, Done is not", id("key", j))
			}
		}
	}
}

// awaitDone waits by the channel; the outcome is what Wait returns.
func (s *subject) awaitDone(r publishers.Receipt) {
	select {
	case <-r.Done():
	case <-time.After(patience):
		s.Errorf("Done stays open for %v", patience)
	}
}

// anEndedContextDoesNotWithdrawTheEvent ends while the event is in flight.
func anEndedContextDoesNotWithdrawTheEvent(s *subject) {
	s.make(Options{Held: true})
	r := s.enqueue("key", 0)
	select {
	case <-r.Done(): // it is kept while it cannot be passed on
		s.await(r, "the event")
		return
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	if _, err := r.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		s.Errorf("waiting in vain gave %v", err)
	}
	s.Release()
	s.await(r, "the event")
	s.check(map[string]int{"key": 1})
}

// anEndedContextLeavesADefiniteOutcome accepts either: the event is enqueued, or it is not.
func anEndedContextLeavesADefiniteOutcome(s *subject) {
	s.make(Options{})
	r, err := s.Publisher.EnqueueEncoded(ended(), "key", encoded("key", 0))
	if err == nil {
		s.await(r, "the event")
		s.check(map[string]int{"key": 1})
		return
	}
	if !errors.Is(err, context.Canceled) {
		s.Errorf("got %v", err)
	}
	s.await(s.enqueue("other", 0), "another event")
	s.check(map[string]int{"other": 1})
}

func invalidEventsAreRefused(s *subject) {
	s.make(Options{})
	ctx, cancel := limited()
	defer cancel()
	for _, c := range []struct{ key, data string }{
		{"", "{}"}, {strings.Repeat("é", events.MaxPartitionKey+1), "{}"}, {"\xff", "{}"}, {"key", ""},
	} {
		if _, err := s.Publisher.EnqueueEncoded(ctx, c.key, []byte(c.data)); !errors.Is(err, events.ErrMalformed) {
			s.Errorf("key %.10q, data %q: got %v, want events.ErrMalformed", c.key, c.data, err)
		}
	}
	if _, err := s.Publisher.Enqueue(ctx, events.Event{}); !errors.Is(err, events.ErrMalformed) {
		s.Errorf("the zero event: got %v, want events.ErrMalformed", err)
	}
	longest := strings.Repeat("é", events.MaxPartitionKey)
	s.await(s.enqueue(longest, 0), "an event with the longest key")
	s.check(map[string]int{longest: 1})
}
