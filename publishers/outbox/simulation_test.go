package outbox_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/publishers/outbox"
)

// Faults of MongoDB and Kinesis, several relays at once that come and go, and
// writers that do not care: no event is lost, none is behind its successor for
// good, and nothing waits in the end.
func TestSimulation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	quick := func(c *outbox.Config) {
		c.Lease, c.SweepEvery, c.Remember = 5*time.Second, 50*time.Millisecond, 2000
	}
	stop := make(chan struct{})
	published := w.write(4, stop)
	w.faults.set(0.03, 0.2)
	random := seeded(t)
	_, first := w.start(quick)
	for range 6 {
		_, second := w.start(quick)
		time.Sleep(time.Duration(200+random.IntN(600)) * time.Millisecond) // their life
		w.stop(first)
		first = second
	}
	w.await("something to be proved", func() bool { return w.written.Load() >= 100 && w.faults.hits() > 0 })
	close(stop)
	numbers := published()
	w.faults.set(0, 0.2)
	w.awaitEmpty()
	w.stop(first)
	total := 0
	for _, n := range numbers {
		total += n
	}
	w.faults.set(0, 0)
	t.Logf("%d events, %d came again, %d faults", total, w.check(numbers), w.faults.hits())
}

// seeded logs the seed of what it returns.
func seeded(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// Two relays of one name at once: one works, the other takes over when it ends.
func TestOfTwoRelaysOneIsActive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, stopA := w.relay()
	b, stopB := w.start()
	for n := range 20 {
		w.must(w.push(w.ctx, "doc", "key", n))
	}
	w.awaitEmpty()
	if a.Status().Published != 20 || b.Status().Published != 0 || b.Status().Follower.Following {
		t.Errorf("both work: %+v, %+v", a.Status(), b.Status())
	}
	w.stop(stopA)
	for n := range 20 {
		w.must(w.push(w.ctx, "doc", "key", 20+n))
	}
	w.awaitEmpty()
	w.stop(stopB)
	if n := w.check(map[string]int{"key": 40}); n > 0 {
		t.Errorf("%d events came again", n)
	}
}

// Two relays of different names at once publish everything twice, and harm nothing
// else.
func TestTwoRelaysOfTheSameEventsAreHarmless(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, stopA := w.relay()
	_, stopB := w.relay(func(c *outbox.Config) { c.Name = "other" })
	for n := range 50 {
		w.must(w.push(w.ctx, "doc", "key", n))
	}
	w.await("both to be through", func() bool { return len(w.read()) >= 100 })
	w.awaitEmpty()
	w.stop(stopA)
	w.stop(stopB)
	w.checkConverged(map[string]int{"key": 50})
}
