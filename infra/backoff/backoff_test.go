package backoff_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
)

func TestDelay(t *testing.T) {
	lowest, highest := func() float64 { return 0 }, func() float64 { return math.Nextafter(1, 0) }
	for _, c := range []struct {
		b       backoff.Backoff
		attempt int
		from    time.Duration
		to      time.Duration
	}{
		{backoff.Backoff{Min: 20 * time.Millisecond, Max: time.Second}, 0, 10 * time.Millisecond, 20 * time.Millisecond},
		{backoff.Backoff{Min: 20 * time.Millisecond, Max: time.Second}, 1, 20 * time.Millisecond, 40 * time.Millisecond},
		{backoff.Backoff{Min: 20 * time.Millisecond, Max: time.Second}, 5, 320 * time.Millisecond, 640 * time.Millisecond},
		{backoff.Backoff{Min: 20 * time.Millisecond, Max: time.Second}, 6, 500 * time.Millisecond, time.Second},
		{backoff.Backoff{Min: 20 * time.Millisecond, Max: time.Second}, math.MaxInt, 500 * time.Millisecond, time.Second},
		{backoff.Backoff{Min: time.Second}, 10, 500 * time.Millisecond, time.Second},
		{backoff.Backoff{Min: 1, Max: math.MaxInt64}, 200, math.MaxInt64 / 2, math.MaxInt64},
		{backoff.Backoff{}, 3, 1, 1},
	} {
		c.b.Random = lowest
		from := c.b.Delay(c.attempt)
		c.b.Random = highest
		to := c.b.Delay(c.attempt)
		if from < c.from || from > c.from+1 || to > c.to || to < c.to-time.Duration(float64(c.to)*1e-9)-2 {
			t.Errorf("%+v after attempt %d: %v to %v, want %v to %v", c.b, c.attempt, from, to, c.from, c.to)
		}
	}
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, start := backoff.Backoff{Min: time.Minute}, time.Now()
		if err := b.Wait(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited < 30*time.Second || waited > time.Minute {
			t.Errorf("waited %v", waited)
		}
	})
}

func TestSleepEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("shutting down")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		start := time.Now()
		if err := backoff.Sleep(ctx, time.Hour); !errors.Is(err, cause) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := backoff.Sleep(ctx, 0); !errors.Is(err, cause) {
			t.Errorf("after the end: %v", err)
		}
	})
}
