package keyedlock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banyan-fig/banyan/services/keyedlock"
)

func Example() {
	locks := keyedlock.New()
	release, err := locks.Acquire(context.Background(), "ada")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer release()
	fmt.Println("write, then publish")
	// Output: write, then publish
}

func TestOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locks := keyedlock.New()
		var holders sync.WaitGroup
		inside, most := 0, 0
		for range 50 {
			holders.Go(func() {
				release, err := locks.Acquire(t.Context(), "ada")
				if err != nil {
					t.Error(err)
					return
				}
				inside++ // the race detector sees it, too, if two are inside
				most = max(most, inside)
				time.Sleep(time.Second) // of the bubble's clock: all others wait
				inside--
				release()
			})
		}
		holders.Wait()
		if most != 1 {
			t.Errorf("%d held the lock of one key at the same time", most)
		}
	})
}

func TestWaitingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locks := keyedlock.New()
		release, err := locks.Acquire(t.Context(), "ada")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := locks.Acquire(ctx, "ada"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		release()
		if release, err = locks.Acquire(t.Context(), "ada"); err != nil {
			t.Fatal(err)
		}
		release()
	})
}
