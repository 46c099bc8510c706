package entitytest

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/infra/linktest"
)

// trouble is what goes wrong around the processes of a play.
type trouble struct {
	name string
	// odds are by what becomes of a command.
	odds map[linktest.Fate]float64
	// throttled is the share of the requests to DynamoDB that are.
	throttled float64
	// stops, jumps: processes are stopped for a while, and their clocks are set.
	stops, jumps bool
}

func troubles() []trouble {
	return []trouble{
		{name: "none"},
		{name: "throttling", throttled: 0.2},
		{name: "answers are lost", odds: map[linktest.Fate]float64{linktest.Unanswered: 0.04, linktest.Lose: 0.04}},
		{name: "commands come late, and twice", odds: map[linktest.Fate]float64{linktest.Late: 0.03, linktest.Repeat: 0.1}},
		{name: "processes are stopped", stops: true},
		{name: "clocks are set", jumps: true},
	}
}

// Troubles are what can go wrong, in the order in which seeds choose it: by their remainder.
func Troubles() (names []string) {
	for _, tr := range troubles() {
		names = append(names, tr.name)
	}
	return names
}

// Faults tries the store under random operations of several processes, while the owner changes
// there and back, and one of the troubles goes on, which the seed chooses.
func Faults(t *testing.T, cfg Config) {
	cfg = cfg.withDefaults()
	cfg.Through = nil
	alone(t, cfg)
	w, all := newWorld(t, cfg), troubles()
	in := all[cfg.Seed%uint64(len(all))].begin(t, w)
	in.besides(func() { w.beginMigration(t) })
	for range 2 {
		in.besides(func() { w.changeOwner(t) })
		in.run()
	}
	in.calm()
	in.check(t)
	if in.stops || in.late {
		return // what DynamoDB took behind the rollback, for nobody, stays there to be looked at
	}
	insist(t, "compare both databases", func(ctx context.Context) error { return w.compare(ctx, t) })
}

// shortLease is that of a process in a play: one that is stopped loses it soon.
const shortLease = 600 * time.Millisecond

// alone has a test run beside others where it has databases of its own.
func alone(t *testing.T, cfg Config) {
	if cfg.MongoDB == "" && cfg.DynamoDB == nil {
		t.Parallel()
	}
}

// troubled is a play in which things go wrong until it is calm.
type troubled struct {
	*play
	trouble
	mu    sync.Mutex
	rng   *rand.Rand
	over  bool
	gates []chan struct{} // of the processes that are stopped
	done  chan struct{}
	ended sync.WaitGroup
}

func (tr trouble) begin(t *testing.T, w *world) *troubled {
	t.Helper()
	in := &troubled{trouble: tr, rng: rand.New(rand.NewPCG(w.cfg.Seed, 0)), gates: make([]chan struct{}, playProcesses), done: make(chan struct{})}
	var lease time.Duration // the default, which a busy machine keeps
	if tr.stops {
		lease = shortLease
	}
	in.play = w.newPlay(t, w.cfg.Seed, tr.odds[linktest.Late] > 0, func(n int) network {
		return network{lease: lease, link: &linktest.Link{Choose: func(c linktest.Command) linktest.Fate { return in.choose(n, c) },
			DelayOf: func(linktest.Command) time.Duration { return time.Duration(in.intN(30)) * time.Millisecond }},
			over: func(next http.RoundTripper) http.RoundTripper { return throttle{next, in} }}
	})
	t.Cleanup(in.calm)
	in.ended.Go(in.disturb)
	return in
}

func (in *troubled) intN(n int) int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.rng.IntN(n)
}

// calm ends all trouble.
func (in *troubled) calm() {
	in.mu.Lock()
	if !in.over {
		in.over = true
		close(in.done)
	}
	in.mu.Unlock()
	in.ended.Wait()
}

// choose is what becomes of a command of a process, which waits while it is stopped.
func (in *troubled) choose(process int, c linktest.Command) linktest.Fate {
	in.mu.Lock()
	gate := in.gates[process]
	in.mu.Unlock()
	if gate != nil {
		<-gate
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over {
		return linktest.Deliver
	}
	roll := in.rng.Float64()
	if c.Store == "mongodb" { // whose driver then looks for the server for half a second
		roll *= 8
	}
	for fate := range linktest.Unanswered + 1 {
		if roll -= in.odds[fate]; roll < 0 {
			return fate
		}
	}
	return linktest.Deliver
}

// disturb stops processes and sets clocks, until all is calm.
func (in *troubled) disturb() {
	if !in.stops && !in.jumps {
		return
	}
	for {
		n := in.intN(playProcesses)
		if in.stops {
			in.stop(n)
		}
		if in.jumps {
			jumps := []time.Duration{time.Hour, -time.Hour, 3 * time.Second, -3 * time.Second, 0}
			in.processes[n].clock.set(jumps[in.intN(len(jumps))])
		}
		select {
		case <-in.done:
			return
		case <-time.After(time.Duration(20+in.intN(60)) * time.Millisecond):
		}
	}
}

// stop stops a process, as SIGSTOP does: it sends nothing, and then goes on as if nothing were.
// So its lease ends now and then, and a grant is used late.
func (in *troubled) stop(n int) {
	gate := make(chan struct{})
	in.mu.Lock()
	in.gates[n] = gate
	in.mu.Unlock()
	select {
	case <-in.done:
	case <-time.After(shortLease/4 + time.Duration(in.intN(int(3*shortLease/2)))):
	}
	in.mu.Lock()
	in.gates[n] = nil
	in.mu.Unlock()
	close(gate)
}

// throttle answers some requests as DynamoDB does that has no capacity left.
type throttle struct {
	http.RoundTripper
	*troubled
}

const throttledAnswer = `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"throttled by the test"}`

// RoundTrip implements http.RoundTripper.
func (t throttle) RoundTrip(r *http.Request) (*http.Response, error) {
	t.mu.Lock()
	throttled := !t.over && t.rng.Float64() < t.troubled.throttled
	t.mu.Unlock()
	if !throttled {
		return t.RoundTripper.RoundTrip(r)
	}
	_, _ = io.Copy(io.Discard, r.Body)
	_ = r.Body.Close()
	body := slices.Clone([]byte(throttledAnswer))
	return &http.Response{Status: "400 Bad Request", StatusCode: http.StatusBadRequest, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body))}, nil
}
