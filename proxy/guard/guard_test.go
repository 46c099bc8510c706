package guard_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goccy/go-yaml"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/proxy/guard"
	"github.com/banyan-fig/banyan/proxy/observation"
	"github.com/banyan-fig/banyan/proxy/override"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a guard with the route x, and its time.
type world struct {
	testing.TB
	*guard.Guard
	table *override.Table
	now   time.Time
	audit bytes.Buffer
}

func newWorld(t testing.TB, b guard.Budget, store override.Store) *world {
	t.Helper()
	w := &world{TB: t, now: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)}
	now := func() time.Time { return w.now }
	w.table = override.New(override.Config{Store: store, Now: now, Log: slog.New(slog.NewTextHandler(&w.audit, nil))})
	w.Guard = guard.New(guard.Config{Overrides: w.table, Now: now})
	w.do(w.SetBudgets(map[string]guard.Budget{"x": b}))
	return w
}

func (w *world) do(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// send has n exchanges observed.
func (w *world) send(n int, side observation.Side, cause observation.Cause) {
	o := observation.Observation{Route: "x", Side: side, Cause: cause, Total: 10 * time.Millisecond}
	if !(&o).Failed() {
		o.FirstByte = 10 * time.Millisecond
	}
	for range n {
		w.Observe(&o)
	}
}

// mode is the override's in force, "" for none.
func (w *world) mode() string {
	if o, ok := w.table.Of("x"); ok {
		return o.Mode
	}
	return ""
}

// seconds lets time pass, with each second's observations, until the mode changes, and
// returns how many it took; most for no change.
func (w *world) seconds(most int, each func()) int {
	before := w.mode()
	for n := range most {
		w.now = w.now.Add(time.Second)
		if each != nil {
			each()
		}
		w.Check()
		if w.mode() != before {
			return n + 1
		}
	}
	return most
}

// failing and healthy are a second of both sides.
func (w *world) failing() {
	w.send(10, observation.New, observation.UpstreamStatus)
	w.send(10, observation.Legacy, observation.None)
}

func (w *world) healthy() {
	w.send(10, observation.New, observation.None)
	w.send(10, observation.Legacy, observation.None)
}

// TestCauses: what the client did, and what is nobody's fault, never turns a route, however
// much there is of it; what the upstream or the mapping did does.
func TestCauses(t *testing.T) {
	for _, cause := range observation.Causes() {
		w := newWorld(t, guard.Budget{Errors: 1, Latency: guard.Latency{Over: 100 * time.Millisecond, Share: 1}}, nil)
		w.seconds(30, w.healthy)
		took := w.seconds(60, func() {
			w.send(500, observation.New, cause)
			w.send(10, observation.New, observation.None)
			w.send(10, observation.Legacy, observation.None)
		})
		fault := cause.Fault()
		if want := fault == observation.Upstream || fault == observation.Mapping; (w.mode() == override.Legacy) != want {
			t.Errorf("%s, fault %d: the mode is %q after %d s", cause, fault, w.mode(), took)
		}
	}
	w := newWorld(t, guard.Budget{Errors: 1}, nil)
	slowClient := &observation.Observation{Route: "x", Side: observation.New, Cause: observation.TotalTimeout, FirstByte: 1}
	slowUpload := &observation.Observation{Route: "x", Side: observation.New, Cause: observation.TotalTimeout, BytesIn: 1}
	w.seconds(60, func() { w.Observe(slowClient); w.Observe(slowUpload) })
	if w.mode() != "" {
		t.Error("a total limit that ran out while the client was slow turns the route")
	}
}

// TestFlagger1501LowTrafficIsJudged: there a canary with few requests was never judged, or
// judged by nothing.
func TestFlagger1501LowTrafficIsJudged(t *testing.T) {
	w := newWorld(t, guard.Budget{Errors: 1}, nil)
	if w.seconds(3600, nil); w.mode() != "" {
		t.Fatal("turned back without a request")
	}
	if w.seconds(60, func() { w.send(1-min(w.now.Second(), 1), observation.New, observation.Connect) }); w.mode() != "" {
		t.Fatal("turned back for a single failure")
	}
	failed := 0
	w.seconds(3600, func() {
		if w.now.Second()%20 == 0 {
			w.send(1, observation.New, observation.Connect)
			failed++
		}
	})
	if w.mode() != override.Legacy || failed > 8 {
		t.Errorf("with 3 requests a minute, all failing, the mode is %q after %d", w.mode(), failed)
	}
}

// away is a store that cannot be reached.
type away struct {
	override.Store
	cut atomic.Bool
}

func (a *away) Load(ctx context.Context) (override.State, error) {
	if a.cut.Load() {
		return override.State{}, errors.New("away")
	}
	return a.Store.Load(ctx)
}

// TestFlagger1801ABreachIsActedOn: there it was told of and nothing done. The
// second that tells of it has the override in force, with the store away too, and says why.
func TestFlagger1801ABreachIsActedOn(t *testing.T) {
	store := &away{Store: override.NewFile(filepath.Join(t.TempDir(), "overrides.json"))}
	w := newWorld(t, guard.Budget{Errors: 1}, store)
	other := newWorld(t, guard.Budget{Errors: 1}, store)
	w.seconds(60, w.healthy)
	store.cut.Store(true)
	if took := w.seconds(60, w.failing); w.mode() != override.Legacy || took > 10 {
		t.Fatalf("with the store away the mode is %q after %d s", w.mode(), took)
	}
	for _, v := range w.Verdicts() {
		if v.State != "back" {
			t.Errorf("verdict %+v", v)
		}
	}
	o, _ := w.table.Of("x")
	if o.By != guard.By || o.Attempt != 1 || !strings.Contains(o.Why, "% of the requests failed") || !strings.Contains(o.Why, "0% of the legacy app's") {
		t.Errorf("the override is %+v", o)
	}
	if n := strings.Count(w.audit.String(), "route=x"); n != 1 {
		t.Errorf("%d lines of audit:\n%s", n, &w.audit)
	}
	store.cut.Store(false)
	w.do(w.table.Sync(t.Context()))
	w.do(other.table.Sync(t.Context()))
	if other.mode() != override.Legacy {
		t.Error("the decision is not shared")
	}
	w.do(other.table.Clear(t.Context(), "x", "ann", "mended, she thinks"))
	w.do(w.table.Sync(t.Context()))
	if w.mode() != "" || w.seconds(60, w.failing) > 10 || w.mode() != override.Legacy {
		t.Error("what was cleared and still fails is not turned back")
	}
}

// TestOutageOfBoth: what the legacy app cannot do either is no reason to go back to it.
func TestOutageOfBoth(t *testing.T) {
	w := newWorld(t, guard.Budget{Errors: 1}, nil)
	w.seconds(60, w.healthy)
	w.seconds(300, func() {
		w.send(10, observation.New, observation.UpstreamStatus)
		w.send(10, observation.Legacy, observation.UpstreamStatus)
	})
	if w.mode() != "" {
		t.Error("turned back in an outage of both sides")
	}
	for name, legacy := range map[string]observation.Observation{
		"fallback": {Side: observation.Legacy, Fallback: true}, "shadow": {Side: observation.ShadowLegacy},
	} {
		for _, cause := range []observation.Cause{observation.Connect, observation.None} {
			w := newWorld(t, guard.Budget{Errors: 1}, nil)
			legacy.Route, legacy.Cause = "x", cause
			w.seconds(60, func() {
				w.send(1, observation.New, observation.Connect)
				w.Observe(&legacy)
			})
			if (w.mode() == "") != (cause == observation.Connect) {
				t.Errorf("%s with cause %q: mode %q", name, cause, w.mode())
			}
		}
	}
}

func TestLatency(t *testing.T) {
	const limit = 100 * time.Millisecond
	fast := observation.Observation{FirstByte: limit / 2, Total: time.Hour} // a client that reads slowly
	slow := observation.Observation{FirstByte: limit * 2, Total: limit * 2}
	upload := observation.Observation{FirstByte: limit * 2, Total: limit * 2, BytesIn: 1}
	gone := observation.Observation{Cause: observation.ClientGone, Total: limit * 2} // a client with a limit of its own
	soon := observation.Observation{Cause: observation.ClientGone, Total: limit / 2}
	hung := observation.Observation{Cause: observation.FirstByteTimeout, Total: limit * 20}
	for _, c := range []struct {
		name         string
		judged, base observation.Observation
		want         bool
	}{
		{"slow", slow, fast, true}, {"both slow", slow, slow, false}, {"fast", fast, slow, false}, {"upload", upload, fast, false},
		{"gone", gone, fast, true}, {"gone soon", soon, fast, false}, {"hung", hung, fast, true},
	} {
		w := newWorld(t, guard.Budget{Latency: guard.Latency{Over: limit, Share: 5}}, nil)
		c.judged.Route, c.judged.Side, c.base.Route = "x", observation.New, "x"
		took := w.seconds(60, func() {
			for range 20 {
				w.Observe(&c.judged)
				w.Observe(&c.base)
			}
		})
		if (w.mode() == override.Legacy) != c.want || c.want && took > 10 {
			t.Errorf("%s: mode %q after %d s", c.name, w.mode(), took)
		}
	}
}

// TestDiffs: differences of a shadow's answers, which no client has, turn nothing back.
func TestDiffs(t *testing.T) {
	w := newWorld(t, guard.Budget{Diffs: 1}, nil)
	differ := func() {
		for i := range 20 {
			w.Compared("x", i < 4)
		}
	}
	if w.seconds(120, func() { differ(); w.send(20, observation.ShadowNew, observation.Connect) }); w.mode() != "" {
		t.Error("a shadow is turned back")
	}
	if took := w.seconds(120, func() { differ(); w.send(20, observation.New, observation.None) }); w.mode() != override.Legacy || took > 10 {
		t.Errorf("the mode is %q after %d s", w.mode(), took)
	}
}

// TestHysteresis: back, for a while that doubles, a trial of few, and forward once it went well.
func TestHysteresis(t *testing.T) {
	budget := guard.Budget{Errors: 1, RetryAfter: 10 * time.Minute, RetryPercent: 5}
	store := override.NewFile(filepath.Join(t.TempDir(), "overrides.json"))
	w := newWorld(t, budget, store)
	w.seconds(60, w.healthy)
	expect := func(what, mode string, attempt, from, to, took int) {
		t.Helper()
		o, _ := w.table.Last("x")
		if o.Mode != mode || o.Attempt != attempt || took < from || took > to {
			t.Fatalf("%s: after %d s there is %+v", what, took, o)
		}
		w.do(w.table.Sync(t.Context()))
	}
	expect("a breach", override.Legacy, 1, 2, 10, w.seconds(100, w.failing))
	expect("it is not tried for 10 min", override.Split, 1, 600, 600, w.seconds(5000, w.healthy))
	if o, _ := w.table.Of("x"); o.Percent != 5 || w.Verdicts()[0].State != "trial" {
		t.Fatalf("the trial is %+v", o)
	}
	expect("it fails again", override.Legacy, 2, 2, 20, w.seconds(100, w.failing))

	now := w.now // another process takes over
	w = newWorld(t, budget, store)
	w.now = now
	w.do(w.table.Sync(t.Context()))
	expect("then not for 20 min", override.Split, 2, 1200, 1200, w.seconds(5000, nil))
	expect("no request is no success", override.Split, 2, 5000, 5000, w.seconds(5000, nil))
	expect("enough of them are", "", 2, 2, 2, w.seconds(5000, w.healthy))
	w.seconds(600, w.healthy)
	expect("a third time the same day", override.Legacy, 3, 2, 10, w.seconds(100, w.failing))
	expect("40 min", override.Split, 3, 2400, 2400, w.seconds(5000, nil))
	expect("the trial takes 10", "", 3, 600, 600, w.seconds(5000, w.healthy))
	w.now = w.now.Add(25 * time.Hour)
	w.seconds(60, w.healthy)
	expect("and much later", override.Legacy, 1, 2, 10, w.seconds(100, w.failing))
	w.do(w.table.Clear(t.Context(), "x", "ann", "mended"))
	if w.seconds(2000, w.healthy); w.mode() != "" {
		t.Errorf("after an operator cleared it the mode is %q", w.mode())
	}

	w = newWorld(t, guard.Budget{Errors: 1}, nil)
	w.seconds(100, w.failing)
	if w.seconds(100_000, nil); w.mode() != override.Legacy {
		t.Error("without retryAfter it does not stay back")
	}
}

// TestOperators: a guard acts on what an operator turned, too, unless it is pinned.
func TestOperators(t *testing.T) {
	for _, pin := range []bool{false, true} {
		w := newWorld(t, guard.Budget{Errors: 1, RetryAfter: time.Minute}, nil)
		w.do(w.table.Apply(override.Override{Route: "x", Mode: override.Split, Percent: 50, By: "ann", Why: "more", Pinned: pin}))
		w.seconds(100, w.failing)
		if (w.mode() == override.Split) != pin {
			t.Errorf("pinned %v: the mode is %q", pin, w.mode())
		}
		if v := w.Verdicts()[0]; pin && (v.Evidence != 1 || v.State != "pinned" || v.New != 100 || v.Legacy != 0) {
			t.Errorf("verdict %+v", v)
		}
		w.do(w.table.Apply(override.Override{Route: "x", Mode: override.Legacy, By: "ann", Why: "maintenance"}))
		if w.seconds(1000, nil); w.mode() != override.Legacy {
			t.Errorf("the guard tries what ann turned back: %q", w.mode())
		}
	}
}

func TestBudgets(t *testing.T) {
	var b guard.Budget
	src := "{errors: 1, latency: {over: 300ms, share: 5}, diffs: 0.1, retryAfter: 15m, retryPercent: 5, sustained: 10s, falseAlarm: 2160h}"
	if err := yaml.UnmarshalWithOptions([]byte(src), &b, yaml.Strict()); err != nil || b.Latency.Over != 300*time.Millisecond || b.Validate() != nil {
		t.Errorf("%+v, %v, %v", b, err, b.Validate())
	}
	w := newWorld(t, guard.Budget{Errors: 1}, nil)
	for i, bad := range []guard.Budget{
		{}, {Errors: -1}, {Errors: 91}, {Errors: 1, Latency: guard.Latency{Share: 1}}, {Errors: 1, RetryAfter: -1},
		{Errors: 1, RetryPercent: 5}, {Errors: 1, Sustained: 2 * time.Hour}, {Errors: 1, FalseAlarm: time.Minute},
	} {
		if err := w.SetBudgets(map[string]guard.Budget{"x": bad}); err == nil || !strings.Contains(err.Error(), `"x"`) {
			t.Errorf("%d: %+v is valid: %v", i, bad, err)
		}
	}
	w.send(3, observation.New, observation.Connect)
	w.Check()
	before := w.Verdicts()[0]
	w.do(w.SetBudgets(map[string]guard.Budget{"x": {Errors: 1}, "y": {Diffs: 1}}))
	if after := w.Verdicts(); before.Evidence == 0 || after[0] != before || len(after) != 2 {
		t.Errorf("a reload changes %+v to %+v", before, after)
	}
	w.do(w.SetBudgets(nil))
	if w.send(1, observation.New, observation.Connect); len(w.Verdicts()) != 0 {
		t.Error("a budget remains")
	}
}

// TestConcurrent: while everything happens at once, no observation is counted as another's,
// so a route that only its clients trouble stays, and one that fails goes.
func TestConcurrent(t *testing.T) {
	table := override.New(override.Config{})
	g := guard.New(guard.Config{Overrides: table})
	budgets := func(n int) map[string]guard.Budget {
		b := guard.Budget{Errors: 1, Latency: guard.Latency{Over: time.Second, Share: 1}}
		return map[string]guard.Budget{"good": b, "bad": b, fmt.Sprint(n): b}
	}
	if err := g.SetBudgets(budgets(0)); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { g.Run(ctx) })
	for range 4 {
		all.Go(func() {
			for ; ctx.Err() == nil; runtime.Gosched() {
				for _, side := range []observation.Side{observation.New, observation.Legacy} {
					g.Observe(&observation.Observation{Route: "good", Side: side, FirstByte: 1})
					g.Observe(&observation.Observation{Route: "good", Side: side, Cause: observation.ClientGone})
					g.Observe(&observation.Observation{Route: "good", Side: side, Cause: observation.ClientMalformed})
				}
				g.Observe(&observation.Observation{Route: "bad", Side: observation.New, Cause: observation.UpstreamCut})
				g.Observe(&observation.Observation{Route: "bad", Side: observation.Legacy, FirstByte: 1})
			}
		})
	}
	deadline := time.Now().Add(30 * time.Second)
	for n := 0; ; n++ {
		g.Check()
		for _, v := range g.Verdicts() {
			if v.Route == "good" && (v.New != 0 || v.Legacy != 0) || v.Route == "bad" && v.NewRequests > 0 && v.Budget == "errors" && v.New != 100 {
				t.Errorf("verdict %+v", v)
			}
		}
		if err := g.SetBudgets(budgets(n)); err != nil {
			t.Error(err)
		}
		if _, turned := table.Of("bad"); turned && n > 20 || t.Failed() {
			break
		}
		if time.Now().After(deadline) {
			t.Error("a route that fails is not turned back")
			break
		}
		time.Sleep(time.Millisecond)
	}
	stop()
	all.Wait()
	if o, turned := table.Of("good"); turned {
		t.Errorf("turned without a cause: %+v", o)
	}
}

// unreachable are peers that cannot be reached.
type unreachable struct{ tried int }

func (u *unreachable) Exchange(context.Context, guard.Totals) (map[string]guard.Totals, error) {
	u.tried++
	return nil, errors.New("away")
}

// TestRun: it acts within seconds, with nobody to be reached, and says that once.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, others, log := override.New(override.Config{}), &unreachable{}, &bytes.Buffer{}
		g := guard.New(guard.Config{Overrides: table, Peers: others, Log: slog.New(slog.NewTextHandler(log, nil))})
		if err := g.SetBudgets(map[string]guard.Budget{"x": {Errors: 1}}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		turned := time.Duration(0)
		ctx, stop := context.WithTimeout(t.Context(), 59*time.Second)
		defer stop()
		done := make(chan struct{})
		go func() { g.Run(ctx); close(done) }()
		for tick := time.NewTicker(time.Second); turned == 0 && ctx.Err() == nil; <-tick.C {
			g.Observe(&observation.Observation{Route: "x", Side: observation.New, Cause: observation.Connect})
			if _, is := table.Of("x"); is {
				turned = time.Since(began)
			}
		}
		<-done
		if turned == 0 || turned > 10*time.Second || others.tried != 11 || strings.Count(log.String(), "away") != 1 {
			t.Errorf("turned %v, tried %d times, log:\n%s", table.All(), others.tried, log)
		}
	})
}

// TestObserveDoesNotAllocate: it is in the way of each request.
func TestObserveDoesNotAllocate(t *testing.T) {
	w := newWorld(t, guard.Budget{Errors: 1, Latency: guard.Latency{Over: time.Second, Share: 1}}, nil)
	o := observation.Observation{Route: "x", Side: observation.New, FirstByte: 1}
	if n := testing.AllocsPerRun(100, func() { w.Observe(&o) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	w := newWorld(b, guard.Budget{Errors: 1, Latency: guard.Latency{Over: time.Second, Share: 1}}, nil)
	o := observation.Observation{Route: "x", Side: observation.New, FirstByte: 1}
	for b.Loop() {
		w.Observe(&o)
	}
}

func BenchmarkCheck(b *testing.B) {
	w := newWorld(b, guard.Budget{Errors: 1}, nil)
	for b.Loop() {
		w.healthy()
		w.Check()
	}
}
