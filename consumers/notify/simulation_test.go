package notify_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/notify"
	"github.com/banyan-fig/banyan/consumers/notify/channel/channeltest"
	"github.com/banyan-fig/banyan/consumers/notify/store"
)

// TestSimulation delivers events several times and at the same time, beside sweeps, to a
// provider that refuses. Then each device has each message once. Where answers are lost
// too, the table breaks off and processes are killed, it has it at least once, or at most
// once, as the template says. Nothing stays unfinished.
func TestSimulation(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprintf("calm/seed=%d", seed), func(t *testing.T) { t.Parallel(); simulate(t, seed, false) })
		t.Run(fmt.Sprintf("rough/seed=%d", seed), func(t *testing.T) { t.Parallel(); simulate(t, seed, true) })
	}
}

const (
	simulatedUsers  = 4
	simulatedEvents = 10
)

func simulate(t *testing.T, seed uint64, rough bool) {
	faults := streamtest.NewFaults(seed, 0)
	if rough {
		faults.Every = 12
	}
	w := newWorld(t, faults, func(c *notify.Config) { c.Limit = store.Limit{Burst: 1000, Every: time.Second} })
	var tokens [simulatedUsers][2]string
	for u := range simulatedUsers {
		for d := range 2 {
			tokens[u][d] = w.device(user(u), d)
		}
	}
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 3))
	draw := func(n int) int { mu.Lock(); defer mu.Unlock(); return random.IntN(n) }
	w.apns.Answer(func(channeltest.Push, int) channeltest.Answer {
		switch n := draw(10); {
		case n == 0:
			return channeltest.Answer{Status: 503}
		case n == 1:
			return channeltest.Answer{Status: 429, Header: map[string]string{"Retry-After": "20"}}
		case n == 2 && rough:
			return channeltest.Answer{Lost: true}
		}
		return channeltest.Answer{}
	})
	deliver(w, draw, rough)
	w.settle(faults)
	for u := range simulatedUsers {
		for _, name := range []string{"follow", "once"} {
			checkDeliveries(w, tokens[u], user(u), name, rough)
		}
	}
}

func user(u int) string { return fmt.Sprintf("user-%d", u) }

// deliver sends each notification about twice, by several processes at once.
func deliver(w *world, draw func(int) int, rough bool) {
	var processes sync.WaitGroup
	for range 4 {
		processes.Go(func() {
			for range simulatedUsers * simulatedEvents {
				ctx, kill := w.t.Context(), context.CancelFunc(func() {})
				if rough && draw(8) == 0 {
					ctx, kill = context.WithTimeout(ctx, time.Duration(draw(8))*time.Millisecond)
				}
				n := w.notification(user(draw(simulatedUsers)), []string{"follow", "once"}[draw(2)], fmt.Sprint(draw(simulatedEvents)))
				_, _, err := w.Send(ctx, n)
				kill()
				if errors.Is(err, notify.ErrInvalid) || err != nil && !rough && !errors.Is(err, notify.ErrClaimed) {
					w.t.Error(err)
				}
				if draw(20) == 0 {
					w.pass(15 * time.Second)
					if _, err := w.Sweep(w.t.Context()); err != nil && !rough {
						w.t.Error(err)
					}
				}
			}
		})
	}
	processes.Wait()
}

// settle is what happens when all is well again: every event is delivered until it is
// done, and sweeps send what is due.
func (w *world) settle(faults *streamtest.Faults) {
	faults.Every = 0
	w.apns.Answer(nil)
	w.pass(time.Hour)
	for u := range simulatedUsers {
		for e := range simulatedEvents {
			for _, name := range []string{"follow", "once"} {
				_, err := w.send(user(u), name, fmt.Sprint(e))
				must(w.t, err)
			}
		}
	}
	_, err := w.Sweep(w.t.Context())
	must(w.t, err)
	for shard := range store.Shards {
		due, err := w.store.Due(w.t.Context(), shard, store.Pointer{}, 1, w.clock().Add(1000*time.Hour))
		if err != nil || len(due) > 0 {
			w.t.Errorf("shard %d still has %d, %v", shard, len(due), err)
		}
	}
}

func checkDeliveries(w *world, tokens [2]string, user, name string, rough bool) {
	title := map[string]string{"follow": "Bob follows you", "once": "Paid"}[name]
	for _, token := range tokens {
		times := map[string]int{}
		for _, p := range w.apns.Accepted(token) {
			if p.Title == title {
				times[p.Collapse]++
			}
		}
		if len(times) != simulatedEvents && (name == "follow" || !rough) {
			w.t.Errorf("%s: %d of %d of %s arrived", user, len(times), simulatedEvents, name)
		}
		for id, n := range times {
			if n > 1 && (name == "once" || !rough) {
				w.t.Errorf("%s: %s %s arrived %d times", user, name, id, n)
			}
		}
	}
}
