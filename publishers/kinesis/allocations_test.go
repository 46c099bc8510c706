package kinesis_test

import (
	"bytes"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/publishers/kinesis"
)

// These count what a caller allocates while the publisher itself has nothing to
// do, since the runtime counts for all goroutines together.

// idle returns a publisher that sends nothing before it is flushed.
func idle(t *testing.T) (*world, *kinesis.Publisher) {
	w := newWorld(t, 1, sandbox.Config{Unlimited: true})
	return w, w.publisher(kinesis.Config{Linger: time.Hour, AggregateBytes: 1 << 20, MaxPending: 100_000})
}

func TestEnqueueEncodedDoesNotAllocate(t *testing.T) {
	w, p := idle(t)
	data := bytes.Repeat([]byte("x"), 100)
	keys := make([]string, 100)
	for i := range keys {
		keys[i] = fmt.Sprint("key", i)
	}
	i := 0
	enqueue := func() {
		if _, err := p.EnqueueEncoded(w.ctx, keys[i%len(keys)], data); err != nil {
			t.Fatal(err)
		}
		i++
	}
	for range 5000 { // as deep as the queue will be
		enqueue()
	}
	flush(t, p)
	if n := testing.AllocsPerRun(4000, enqueue); n != 0 {
		t.Errorf("%v allocations an event", n)
	}
}

// TestNewKeysHardlyAllocate: a key that was never seen costs a part of an
// allocation, for many at a time.
func TestNewKeysHardlyAllocate(t *testing.T) {
	w, p := idle(t)
	data := []byte("x")
	keys := make([]string, 60_000)
	for i := range keys {
		keys[i] = fmt.Sprintf("a key of some length %08d", i)
	}
	next := 0
	enqueue := func(n int) (mallocs uint64) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range n {
			if _, err := p.EnqueueEncoded(w.ctx, keys[next], data); err != nil {
				t.Fatal(err)
			}
			next++
		}
		runtime.ReadMemStats(&after)
		flush(t, p)
		return after.Mallocs - before.Mallocs
	}
	enqueue(25_000) // more than are remembered
	const n = 10_000
	if each := float64(enqueue(n)) / n; each > 0.2 {
		t.Errorf("%.2f allocations an event", each)
	}
}

// TestEnqueueAllocatesTheEncodedEventAtMost: some dozens share their memory.
func TestEnqueueAllocatesTheEncodedEventAtMost(t *testing.T) {
	w, p := idle(t)
	e := joined(t, "user")
	enqueue := func() {
		if _, err := p.Enqueue(w.ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	for range 2000 {
		enqueue()
	}
	flush(t, p)
	if n := testing.AllocsPerRun(1000, enqueue); n > 1 {
		t.Errorf("%v allocations an event", n)
	}
}

// TestPublishDoesNotAllocate has many callers wait at once, and counts until all
// of them do: nothing is sent meanwhile.
func TestPublishDoesNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("with the race detector, pools forget on purpose")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it empties the pools, the runtime's own too
	w, p := idle(t)
	const callers = 500
	e := joined(t, "user")
	start := make(chan struct{})
	var calling sync.WaitGroup
	round := func() (mallocs uint64) {
		for range callers {
			calling.Go(func() {
				<-start
				if _, err := p.Publish(w.ctx, e); err != nil {
					t.Error(err)
				}
			})
		}
		awaitGoroutines(t, callers)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		close(start)
		for p.Stats().Pending < callers && w.ctx.Err() == nil {
			time.Sleep(5 * time.Millisecond) // looking allocates
		}
		runtime.ReadMemStats(&after)
		flush(t, p)
		w.join(&calling)
		start = make(chan struct{})
		return after.Mallocs - before.Mallocs
	}
	for range 3 {
		round() // fills the pools
	}
	least := round()
	for range 5 {
		least = min(least, round())
	}
	if each := float64(least) / callers; each > 0.2 {
		t.Errorf("%.2f allocations an event", each)
	}
}

// awaitGoroutines waits until n of this package's tests wait for their start.
func awaitGoroutines(t *testing.T, n int) {
	buf := make([]byte, 4<<20)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if strings.Count(string(buf[:runtime.Stack(buf, true)]), "[chan receive]") >= n {
			return
		}
	}
	t.Fatal("the callers do not start")
}
