package kinesis_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/infra/local/fault"
	sandbox "github.com/banyan-fig/banyan/infra/local/kinesis"
	"github.com/banyan-fig/banyan/publishers/kinesis"
)

const simulationPlan = `delay 2ms
kinesis.PutRecords throttle=0.08 partial=0.15 timeout-before=0.06 timeout-after=0.06 internal=0.05 duplicate=0.05`

// faulty injects the plan by seed while on.
func faulty(t *testing.T, plan string, seed uint64) (*fault.Injector, sandbox.Config) {
	t.Helper()
	parsed, err := fault.Parse(plan)
	if err != nil {
		t.Fatal(err)
	}
	in, err := fault.New(parsed, seed)
	if err != nil {
		t.Fatal(err)
	}
	return in, sandbox.Config{Unlimited: true, Fault: func(operation, resource string) fault.Fault {
		return in.Draw("kinesis", operation, resource)
	}}
}

// TestSimulation publishes through throttling, partial failures, time-outs with
// and without effect, and shards that split and merge all the while, and then
// reads the whole stream.
func TestSimulation(t *testing.T) {
	total := 102_000
	if testing.Short() {
		total = 20_000
	}
	for name, cfg := range map[string]kinesis.Config{
		"aggregated": {AggregateBytes: 2048, MaxRequestBytes: 1 << 20},
		"small":      {AggregateBytes: 300, MaxRequestRecords: 20},
		"plain":      {NoAggregation: true, MaxRequestRecords: 50},
	} {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			n := total
			if name != "aggregated" {
				n = total / 10
			}
			simulate(t, cfg, seed, n)
		})
	}
}

func simulate(t *testing.T, cfg kinesis.Config, seed uint64, total int) {
	injector, sandboxConfig := faulty(t, simulationPlan, seed)
	w := newWorld(t, 3, sandboxConfig)
	p := w.publisher(cfg)
	stop := make(chan struct{})
	var resharding sync.WaitGroup
	resharding.Go(func() { w.reshardUntil(stop, seed) })

	const producers = 6
	parts := make([][]sent, producers)
	var producing sync.WaitGroup
	for i := range producers {
		producing.Go(func() { parts[i] = w.produce(p, rand.New(rand.NewPCG(seed, uint64(i))), i, total/producers) })
	}
	producing.Wait()
	flush(t, p)
	close(stop)
	resharding.Wait()
	injector.Switch(false)

	var published []sent
	for _, part := range parts {
		published = append(published, part...)
	}
	duplicates := w.check(published)
	s := p.Stats()
	t.Logf("%d events, %d duplicates, faults %v, stats %+v", len(published), duplicates, injector.Counts(), s)
	if s.Events != int64(len(published)) || s.Pending != 0 || s.Failed != 0 {
		t.Errorf("stats %+v", s)
	}
	if total > 100_000 && (s.Reshards == 0 || s.Doubts == 0 || s.Throttles == 0 || s.Retries == 0 || duplicates == 0) {
		t.Errorf("too calm to prove anything: %d duplicates, %+v", duplicates, s)
	}
}

// produce publishes to keys of its own: one hot, the others rare.
func (w *world) produce(p *kinesis.Publisher, rnd *rand.Rand, producer, n int) (published []sent) {
	next := make(map[string]int)
	for range n {
		key := fmt.Sprintf("p%d-%d", producer, min(rnd.IntN(60), rnd.IntN(60)))
		published = append(published, w.enqueue(p, key, next[key]))
		next[key]++
	}
	return published
}

func (w *world) reshardUntil(stop <-chan struct{}, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 99))
	for {
		select {
		case <-stop:
			return
		case <-time.After(10 * time.Millisecond):
		}
		open := w.open()
		if i := rnd.IntN(len(open)); len(open) < 3 || len(open) < 6 && rnd.IntN(2) == 0 {
			w.split(open[i])
		} else {
			i = min(i, len(open)-2)
			w.merge(open[i], open[i+1])
		}
	}
}

// TestOneHotKeyKeepsItsOrder has no other keys to hide behind.
func TestOneHotKeyKeepsItsOrder(t *testing.T) {
	seed := rand.Uint64()
	injector, sandboxConfig := faulty(t, simulationPlan, seed)
	w := newWorld(t, 2, sandboxConfig)
	p := w.publisher(kinesis.Config{AggregateBytes: 500, MaxPending: 100})
	var published []sent
	for i := range 3000 {
		published = append(published, w.enqueue(p, "hot", i))
	}
	flush(t, p)
	injector.Switch(false)
	if w.check(published) == 0 {
		t.Errorf("seed %d: not one duplicate: too calm to prove anything", seed)
	}
}

// TestConcurrentPublishersOfOneKeyLoseNothing has no order to check, only that
// each event is there.
func TestConcurrentPublishersOfOneKeyLoseNothing(t *testing.T) {
	w := newWorld(t, 1, sandbox.Config{Unlimited: true})
	p := w.publisher(kinesis.Config{MaxPending: 10})
	var publishing sync.WaitGroup
	for i := range 50 {
		publishing.Go(func() {
			r, err := p.EnqueueEncoded(context.Background(), "k", []byte(body("k", i)))
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := r.Wait(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	publishing.Wait()
	seen := make(map[string]bool)
	for _, f := range w.read() {
		seen[f.data] = true
	}
	if len(seen) != 50 {
		t.Errorf("%d of 50 events are on the stream", len(seen))
	}
}
