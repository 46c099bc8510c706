package publisherstest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers"
)

// subject is a test with the publisher that it works on.
type subject struct {
	*testing.T
	harness Harness
	Subject
}

// make makes the publisher.
func (s *subject) make(o Options) {
	s.Helper()
	s.Subject = s.harness.New(s.T, o)
	s.Cleanup(func() {
		s.Release()
		ctx, cancel := limited()
		defer cancel()
		if err := s.Close(ctx); err != nil && !s.Failed() {
			s.Logf("at the end: %v", err)
		}
	})
}

// limited returns a context for every call. It does not end with the test, so
// that a test which fails can clean up.
func limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

// ended is a context that has ended.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// event makes the event of a key with a number. Its id names both.
func event(key string, number int) events.Event {
	return events.Event{
		ID: id(key, number), Source: "/publisherstest", Type: "test.counted", Version: 1,
		Time: time.Unix(1700000000, 0).UTC(), PartitionKey: key, Sequence: fmt.Sprintf("%020d", number),
		Data: json.RawMessage(`{"number":` + strconv.Itoa(number) + `,"text":"` + strings.Repeat("x", 100) + `"}`),
	}
}

func id(key string, number int) string { return key + "/" + strconv.Itoa(number) }

func encoded(key string, number int) []byte {
	data, err := events.Encode(event(key, number))
	if err != nil {
		panic(err) // a mistake of the suite
	}
	return data
}

// enqueue enqueues an event, which must not fail.
func (s *subject) enqueue(key string, number int) publishers.Receipt {
	ctx, cancel := limited()
	defer cancel()
	r, err := s.Publisher.EnqueueEncoded(ctx, key, encoded(key, number))
	if err != nil {
		s.Errorf("enqueue %s: %v", id(key, number), err)
		return completed{err}
	}
	if r == nil {
		s.Errorf("enqueue %s: no receipt and no error", id(key, number))
		return completed{}
	}
	return r
}

// completed is a receipt of what was never enqueued, so that a test can continue.
type completed struct{ err error }

func (r completed) Wait(context.Context) (events.Position, error) { return events.Position{}, r.err }

func (completed) Done() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// await waits for a receipt that must complete without error.
func (s *subject) await(r publishers.Receipt, what string) events.Position {
	ctx, cancel := limited()
	defer cancel()
	pos, err := r.Wait(ctx)
	if err != nil {
		s.Errorf("%s was not kept: %v", what, err)
	}
	return pos
}

// publish enqueues events 0 to n-1 of a key and waits for all of them.
func (s *subject) publish(key string, n int) {
	receipts := make([]publishers.Receipt, n)
	for i := range n {
		receipts[i] = s.enqueue(key, i)
	}
	for i, r := range receipts {
		s.await(r, id(key, i))
	}
}

// numbers returns the numbers of the kept events, by key.
func (s *subject) numbers() map[string][]int {
	s.Helper()
	ctx, cancel := limited()
	defer cancel()
	kept, err := s.Kept(ctx)
	if err != nil {
		s.Errorf("read what is kept: %v", err)
	}
	numbers := make(map[string][]int)
	for _, r := range kept {
		n, err := number(r)
		if err != nil {
			s.Error(err)
			continue
		}
		numbers[r.PartitionKey] = append(numbers[r.PartitionKey], n)
	}
	return numbers
}

// number returns the number of an event of the suite.
func number(r Record) (int, error) {
	e, err := events.Decode(r.Data)
	if err != nil {
		return 0, fmt.Errorf("kept under key %q: %w", r.PartitionKey, err)
	}
	key, digits, _ := strings.Cut(e.ID, "/")
	n, err := strconv.Atoi(digits)
	if err != nil || key != r.PartitionKey || e.PartitionKey != key {
		return 0, fmt.Errorf("event %q of key %q is kept under key %q", e.ID, e.PartitionKey, r.PartitionKey)
	}
	return n, nil
}

// check compares the kept events with how many of each key were published.
func (s *subject) check(published map[string]int) {
	s.Helper()
	numbers := s.numbers()
	for key, n := range published {
		if err := CheckOrder(key, numbers[key], n); err != nil {
			s.Error(err)
		}
		delete(numbers, key)
	}
	for key := range numbers {
		s.Errorf("events of key %q are kept, of which none was published", key)
	}
}

// has reports whether an event is kept.
func (s *subject) has(key string, number int) bool {
	s.Helper()
	return slices.Contains(s.numbers()[key], number)
}

// together runs do(0) to do(n-1) at once and waits for all.
func (s *subject) together(n int, do func(i int)) {
	s.Helper()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	s.join(&all)
}

// join waits for all, twice as long as each may take.
func (s *subject) join(all *sync.WaitGroup) {
	s.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		all.Wait()
	}()
	select {
	case <-done:
	case <-time.After(2 * patience):
		s.Fatal("some calls do not return, though their context has ended")
	}
}

// inTime waits for done and ends the test when that takes too long.
func (s *subject) inTime(done <-chan struct{}, what string) {
	s.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		s.Fatalf("%s: nothing for %v", what, patience)
	}
}

// eventually waits until a condition holds.
func (s *subject) eventually(what string, holds func() bool) {
	s.Helper()
	ctx, cancel := limited()
	defer cancel()
	for !holds() {
		if ctx.Err() != nil {
			s.Fatalf("never so: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
