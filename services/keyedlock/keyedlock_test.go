package keyedlock_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/services/keyedlock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOneAfterTheOther(t *testing.T) {
	order := keyedlock.New()
	var people sync.WaitGroup
	inside, most := 0, 0
	for range 50 {
		people.Go(func() {
			release, err := order.Acquire(t.Context(), "ada")
			if err != nil {
				t.Error(err)
				return
			}
			inside++ // the race detector sees it, too, if two are inside
			most = max(most, inside)
			time.Sleep(100 * time.Microsecond)
			inside--
			release()
		})
	}
	people.Wait()
	if most != 1 {
		t.Errorf("%d held the lock of one key at the same time", most)
	}
}

func TestWaitingEnds(t *testing.T) {
	order := keyedlock.New()
	release, err := order.Acquire(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := order.Acquire(ctx, "ada"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	release()
	if release, err = order.Acquire(t.Context(), "ada"); err != nil {
		t.Fatal(err)
	}
	release()
}
