package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/idempotency"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is set by hand.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func newStore(t *testing.T, faults *streamtest.Faults) (*idempotency.Store, *clock) {
	t.Helper()
	db, c := streamtest.NewDynamoDB(t), &clock{}
	return idempotency.New(idempotency.Config{
		Client: db.Client(faults), Table: db.CreateTable(idempotency.TableInput), Lock: time.Minute, Keep: time.Hour, Now: c.now,
	}), c
}

type receipt struct{ Cents int }

// TestOneEffect: of many calls at once one has the effect; the others get its answer, or are
// told that it is in progress.
func TestOneEffect(t *testing.T) {
	s, clock := newStore(t, nil)
	var effects, answers atomic.Int32
	call := func() error {
		got, err := idempotency.Do(t.Context(), s, "order#1", func(context.Context) (receipt, error) {
			return receipt{100 + int(effects.Add(1))}, nil
		})
		if err == nil && got.Cents == 101 {
			answers.Add(1)
		}
		return err
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := call(); err != nil && (!errors.Is(err, idempotency.ErrInProgress) || !consumers.IsUnavailable(err)) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	before := answers.Load()
	if err := call(); err != nil || effects.Load() != 1 || answers.Load() != before+1 || before == 0 {
		t.Errorf("%v, %d effects, %d answers", err, effects.Load(), answers.Load())
	}
	clock.ahead.Store(int64(61 * time.Minute))
	if err := call(); err != nil || effects.Load() != 2 {
		t.Errorf("an answer that expired: %v, %d effects", err, effects.Load())
	}
}

func TestWhatFailsMayBeHadAgain(t *testing.T) {
	s, clock := newStore(t, nil)
	broke := errors.New("broke")
	do := func(err error) error {
		_, got := idempotency.Do(t.Context(), s, "k", func(context.Context) (int, error) { return 1, err })
		return got
	}
	if err := do(broke); err != broke { //nolint:errorlint // it must be the very one
		t.Errorf("got %v", err)
	}
	func() {
		defer func() { recover() }()                                                                      //nolint:errcheck // it is ours
		idempotency.Do(t.Context(), s, "k", func(context.Context) (int, error) { panic("at the disco") }) //nolint:errcheck // it does not return
	}()
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := idempotency.Do(ctx, s, "k", func(context.Context) (int, error) { cancel(); return 0, ctx.Err() }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := do(nil); err != nil {
		t.Errorf("after an error, a panic and an end of the context: %v", err)
	}
	// A process that died within the effect, which here is one that does not return.
	stuck, hang := make(chan struct{}), make(chan struct{})
	late := make(chan error)
	go func() {
		_, err := idempotency.Do(t.Context(), s, "dead", func(context.Context) (int, error) { close(stuck); <-hang; return 1, nil })
		late <- err
	}()
	<-stuck
	second := func() (int, error) {
		return idempotency.Do(t.Context(), s, "dead", func(context.Context) (int, error) { return 2, nil })
	}
	if _, err := second(); !errors.Is(err, idempotency.ErrInProgress) {
		t.Errorf("while it may live: %v", err)
	}
	clock.ahead.Store(int64(61 * time.Second))
	if got, err := second(); err != nil || got != 2 {
		t.Errorf("when the lock ended: %d, %v", got, err)
	}
	close(hang)
	if err := <-late; err == nil || !strings.Contains(err.Error(), "took longer than the lock") {
		t.Errorf("the late one: %v", err)
	}
	if got, err := second(); err != nil || got != 2 {
		t.Errorf("the late one replaced the answer: %d, %v", got, err)
	}
}

func TestWhatCannotBeKept(t *testing.T) {
	s, _ := newStore(t, nil)
	for key, c := range map[string]struct {
		answer any
		want   string
	}{
		"":                        {1, "must have 1 to 2036 bytes"},
		strings.Repeat("k", 2037): {1, "must have 1 to 2036 bytes"},
		"a channel":               {make(chan int), "the effect happened, and its answer"},
		"large":                   {strings.Repeat("x", 400<<10), "more than 380 KiB"},
	} {
		_, err := idempotency.Do(t.Context(), s, key, func(context.Context) (any, error) { return c.answer, nil })
		if !consumers.IsPermanent(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.20q: %v, want %q", key, err, c.want)
		}
	}
	if _, err := idempotency.Do(t.Context(), s, strings.Repeat("k", 2036), func(context.Context) (int, error) { return 1, nil }); err != nil {
		t.Errorf("the longest key: %v", err)
	}
}

// TestUnderFaults: calls in a table whose answers are late, lost and refused, from a seed. An
// effect whose answer a caller has got is had once, and all callers have got the same.
func TestUnderFaults(t *testing.T) {
	seed := rand.Uint64()
	faults := streamtest.NewFaults(seed, 4)
	s, _ := newStore(t, faults)
	var mu sync.Mutex
	effects, answers := map[string]int{}, map[string]map[int]bool{}
	var all sync.WaitGroup
	for i := range 60 {
		key := fmt.Sprint(i % 6)
		all.Go(func() {
			got, err := idempotency.Do(t.Context(), s, key, func(context.Context) (int, error) {
				mu.Lock()
				defer mu.Unlock()
				effects[key]++
				return effects[key], nil
			})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				if answers[key] == nil {
					answers[key] = map[int]bool{}
				}
				answers[key][got] = true
			} else if !consumers.IsUnavailable(err) {
				t.Errorf("seed %d: %v", seed, err)
			}
		})
	}
	all.Wait()
	for key, n := range effects {
		if n > 1 || len(answers[key]) > 1 {
			t.Errorf("seed %d: key %s: %d effects, answers %v", seed, key, n, answers[key])
		}
	}
}

func TestMiddleware(t *testing.T) {
	s, _ := newStore(t, nil)
	calls := 0
	h := idempotency.Middleware(s, nil)(func(context.Context, consumers.Message) error {
		if calls++; calls == 1 {
			return errors.New("again")
		}
		return consumers.ErrStale
	})
	m := consumers.Message{ID: "m"}
	for i, want := range []string{"again", "<nil>", consumers.ErrStale.Error()} {
		if err := h(t.Context(), m); fmt.Sprint(err) != want {
			t.Errorf("call %d: %v, want %s", i+1, err, want)
		}
	}
	if err := h(t.Context(), consumers.Message{}); !errors.Is(err, idempotency.ErrKey) || calls != 2 {
		t.Errorf("without a key: %v, %d calls", err, calls)
	}
}
