package kinesis_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/publisherstest"
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

// simulated is how many events TestSimulation publishes.
func simulated(t *testing.T) int {
	text := os.Getenv("BANYAN_SIMULATION_EVENTS")
	switch {
	case text == "" && testing.Short():
		return 6_000
	case text == "":
		return 100_000
	}
	total, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("BANYAN_SIMULATION_EVENTS: %v", err)
	}
	return total
}

// seeded is where randomness comes from: BANYAN_SIMULATION_SEED, or a new seed.
func seeded(t *testing.T) uint64 {
	seed := rand.Uint64()
	if text := os.Getenv("BANYAN_SIMULATION_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("BANYAN_SIMULATION_SEED: %v", err)
		}
	}
	t.Logf("again: BANYAN_SIMULATION_SEED=%d go test -run '%s' ./publishers/kinesis", seed, t.Name())
	return seed
}

// TestSimulation publishes through throttling, partial failures, time-outs with
// and without effect, slow answers and shards that split and merge all the
// while, and then reads the whole stream. BANYAN_SIMULATION_EVENTS sets how many
// events it publishes.
func TestSimulation(t *testing.T) {
	t.Parallel()
	total := simulated(t)
	for _, c := range []struct {
		name  string
		share float64
		cfg   kinesis.Config
	}{
		{"aggregated", 0.6, kinesis.Config{AggregateBytes: 2048, MaxPending: 5000}},
		{"cbor", 0.3, kinesis.Config{AggregateBytes: 1024, MaxPending: 3000, Protocol: kinesis.CBOR}},
		{"small", 0.05, kinesis.Config{AggregateBytes: 300, MaxRequestRecords: 20}},
		{"plain", 0.05, kinesis.Config{NoAggregation: true, MaxRequestRecords: 200}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // each waits more than it works
			simulate(t, c.cfg, seeded(t), int(float64(total)*c.share))
		})
	}
}

func simulate(t *testing.T, cfg kinesis.Config, seed uint64, total int) {
	injector, sandboxConfig := faulty(t, simulationPlan, seed)
	w := newWorld(t, 3, sandboxConfig)
	w.ctx = within(t, 10*patience)
	slow := &slowAnswers{rnd: rand.New(rand.NewPCG(seed, 98))}
	cfg.Client = slow.client(w)
	cfg.AttemptTimeout = 200 * time.Millisecond
	cfg.RateIncrease = 1000 // everything is that much faster here than in life
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
	w.join(&producing)
	flush(t, p)
	close(stop)
	w.join(&resharding)
	injector.Switch(false)

	var published []sent
	for _, part := range parts {
		published = append(published, part...)
	}
	duplicates := w.check(published)
	s := p.Stats()
	s.PerShard = nil
	t.Logf("%d events, %d duplicates, %d slow answers, faults %v, stats %+v", len(published), duplicates, slow.count, injector.Counts(), s)
	if s.Events != int64(len(published)) || s.Pending != 0 || s.Failed != 0 {
		t.Errorf("stats %+v", s)
	}
	if total > 50_000 && (s.Reshards == 0 || s.UnknownOutcomes == 0 || s.Throttles == 0 || s.Retries == 0 || duplicates == 0 || slow.count == 0) {
		t.Errorf("too calm to prove anything: %d duplicates, %d slow answers, %+v", duplicates, slow.count, s)
	}
}

// slowAnswers keeps answers of PutRecords back: some for a while, some for
// longer than an attempt may take. What was asked for takes effect at once.
type slowAnswers struct {
	inner http.RoundTripper
	mu    sync.Mutex
	rnd   *rand.Rand
	count int
}

func (s *slowAnswers) client(w *world) *awskinesis.Client {
	options := w.client.Options()
	client := *options.HTTPClient.(*http.Client)
	s.inner, client.Transport = client.Transport, s
	options.HTTPClient = &client
	return awskinesis.New(options)
}

func (s *slowAnswers) draw() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch p := s.rnd.Float64(); {
	case p < 0.01:
		s.count++
		return time.Hour
	case p < 0.1:
		s.count++
		return time.Duration(s.rnd.Int64N(int64(20 * time.Millisecond)))
	}
	return 0
}

func (s *slowAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".PutRecords") {
		return s.inner.RoundTrip(r)
	}
	res, err := s.inner.RoundTrip(r.WithContext(context.WithoutCancel(r.Context())))
	d := s.draw()
	if d == 0 || err != nil {
		return res, err
	}
	select {
	case <-time.After(d):
		return res, nil
	case <-r.Context().Done():
		_ = res.Body.Close()
		return nil, r.Context().Err()
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
	t.Parallel()
	seed := seeded(t)
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
			r, err := p.EnqueueEncoded(w.ctx, "k", publisherstest.Body("k", i))
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := r.Wait(w.ctx); err != nil {
				t.Error(err)
			}
		})
	}
	w.join(&publishing)
	seen := make(map[string]bool)
	for _, f := range w.read() {
		seen[f.data] = true
	}
	if len(seen) != 50 {
		t.Errorf("%d of 50 events are on the stream", len(seen))
	}
}
