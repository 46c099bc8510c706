package outboxtable_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/publishers/outboxtable"
)

func entryOf(t testing.TB, key string, n int) outboxtable.Entry {
	t.Helper()
	e, err := outboxtable.NewEntryByClock(event(key, n))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// What an owner published by itself goes, what it did not stays for the sweep.
func TestCleaner(t *testing.T) {
	t.Parallel()
	for _, plan := range []string{"", "dynamodb.BatchWriteItem throttle=0.2 partial=0.4 timeout-after=0.1"} {
		w := newWorld(t)
		const n = 120
		for i := 1; i <= n+2; i++ {
			w.write(event(fmt.Sprint("k", i%7), i))
		}
		w.faults("delay 5ms\n" + plan)
		c := outboxtable.NewCleaner(w.dynamo, table)
		var owners sync.WaitGroup
		for i := 1; i <= n; i++ {
			owners.Go(func() {
				c.Forget(entryOf(t, fmt.Sprint("k", i%7), i))
				c.Forget(entryOf(t, fmt.Sprint("k", i%7), i))
			})
		}
		owners.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		err := c.Close(ctx)
		cancel()
		w.faults("")
		if err != nil && plan == "" {
			t.Error(err)
		}
		if left := w.items(); err == nil && left != 2 {
			t.Errorf("faults %q: %d items are left, want 2", plan, left)
		}
		c.Forget(entryOf(t, "k0", 1)) // no effect, no panic
		rep, err := w.relay(outboxtable.Config{}).Sweep(t.Context(), 0)
		if err != nil || rep.Published < 2 {
			t.Errorf("the sweep of the rest: %+v, %v", rep, err)
		}
	}
}

// A table that cannot be reached delays nobody.
func TestCleanerCloseEndsWithItsContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.faults("delay 1m\ndynamodb.BatchWriteItem timeout-before=1")
	c := outboxtable.NewCleaner(w.dynamo, table)
	for n := range 3000 {
		c.Forget(entryOf(t, "k", n))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	mustBe(t, c.Close(ctx), context.Canceled)
	if took := time.Since(began); took > 50*time.Second {
		t.Errorf("Close took %v", took)
	}
}
