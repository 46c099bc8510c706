package backfill

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestEntitiesShareTheLimitsOfAProcess: ranges wait for each other's slots, and the rate is
// that of both together.
func TestEntitiesShareTheLimitsOfAProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimits(1, 100)
		if acquired, err := l.acquire(t.Context(), time.Second); err != nil || !acquired {
			t.Fatal(acquired, err)
		}
		if acquired, err := l.acquire(t.Context(), time.Second); err != nil || acquired {
			t.Fatal("a second slot of one", err)
		}
		time.AfterFunc(time.Second, l.release)
		if acquired, err := l.acquire(t.Context(), time.Minute); err != nil || !acquired {
			t.Fatal(acquired, err)
		}
		began := time.Now()
		done := make(chan error, 2)
		for range 2 {
			go func() { done <- l.await(t.Context(), 500) }()
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began).Round(100 * time.Millisecond); took != 9900*time.Millisecond { // but for the first ten
			t.Errorf("1000 documents at 100 a second took %s", took)
		}
	})
}
