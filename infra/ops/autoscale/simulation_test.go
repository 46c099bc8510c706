package autoscale_test

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/infra/matrix"
	"github.com/banyan-fig/banyan/infra/ops/autoscale"
)

// model is a stream under a load, minute by minute: reshards take their time, a
// shard takes no more than its limit, and figures come late.
type model struct {
	t       *testing.T
	policy  autoscale.Policy
	random  *rand.Rand
	byShard bool
	// demand is the load of the whole stream in shards at a minute, dense how it
	// is spread: the integral of it up to a fraction of the hash range.
	demand func(minute int) float64
	dense  func(upTo float64) float64

	now     time.Time
	shards  []autoscale.Shard
	state   autoscale.State
	minutes []autoscale.Minute
	totals  []autoscale.Total
	busy    int // minutes until a reshard is through
	next    []autoscale.Shard
	changes []change
	// throttledFor is the longest run of minutes with refusals, run the current.
	throttledFor, run int
	used, ideal       float64 // shard minutes
}

type change struct {
	minute int
	action autoscale.Action
	from   int
	to     int
	at     time.Time
}

func uniform(upTo float64) float64 { return upTo }

func newModel(t *testing.T, seed uint64, shards int, demand func(int) float64) *model {
	return &model{
		t: t, policy: autoscale.Policy{Stream: "s", Min: 1, Max: 64}, random: rand.New(rand.NewPCG(seed, 1)), byShard: true,
		demand: demand, dense: uniform, now: noon, shards: even(shards),
	}
}

func (m *model) simulate(minutes int) {
	m.t.Helper()
	for i := range minutes {
		m.load(i)
		m.now = m.now.Add(time.Minute)
		m.reshard()
		m.decide(i)
	}
}

func fractionOf(n *big.Int) float64 {
	f, _ := n.Float64()
	return f / (1 << 128)
}

// load notes what the shards took and refused in one minute.
func (m *model) load(i int) {
	total := m.demand(i)
	minute := autoscale.Minute{At: m.now}
	refused := 0.0
	for _, s := range m.shards {
		wanted := total * (m.dense(fractionOf(s.Last)) - m.dense(fractionOf(s.First)))
		minute.Load = append(minute.Load, min(1, wanted))
		minute.Throttled = append(minute.Throttled, max(0, wanted-1)*60_000)
		refused += max(0, wanted-1)
	}
	m.minutes = append(m.minutes, minute)
	taken := 0.0
	for _, l := range minute.Load {
		taken += l
	}
	m.totals = append(m.totals, autoscale.Total{At: m.now, Load: taken + min(taken, refused)})
	m.run++
	if refused == 0 {
		m.run = 0
	}
	m.throttledFor = max(m.throttledFor, m.run)
	m.used += float64(len(m.shards))
	m.ideal += max(1, total)
}

func (m *model) reshard() {
	if m.busy == 0 {
		return
	}
	if m.busy--; m.busy == 0 {
		m.shards = m.next
	}
}

// decide asks for a decision on figures that are a minute late, and holds it
// against the limits of the API.
func (m *model) decide(i int) {
	m.t.Helper()
	o := autoscale.Observation{
		Now:     m.now,
		Active:  m.busy == 0,
		Shards:  m.shards,
		ByShard: m.byShard,
		Minutes: m.seen(),
		Totals:  m.totals[max(0, len(m.totals)-1600):],
	}
	d := autoscale.Decide(m.policy, o, m.state)
	if d.Action == autoscale.Nothing {
		return
	}
	m.state = autoscale.Following(m.state, d, m.now)
	n := len(m.shards)
	switch d.Action {
	case autoscale.Confirm:
		return
	case autoscale.Up, autoscale.Down:
		if d.Target > 2*n || 2*d.Target < n || d.Target == n {
			m.t.Errorf("minute %d: from %d to %d shards", i, n, d.Target)
		}
		m.next = even(d.Target)
	case autoscale.Split:
		m.next = m.split(d)
	case autoscale.Merge:
		m.next = m.merge(d)
	}
	if k := len(m.next); (k > m.policy.Max && k > n) || (k < m.policy.Min && k < n) {
		m.t.Errorf("minute %d: %d shards are beyond the limits", i, k)
	}
	m.busy = 1 + m.random.IntN(3)
	m.changes = append(m.changes, change{i, d.Action, n, len(m.next), m.now})
	m.scalings(i)
}

// seen are the last figures, of minutes in which the shards were as they are.
func (m *model) seen() []autoscale.Minute {
	last := m.minutes[max(0, len(m.minutes)-36) : len(m.minutes)-1]
	var out []autoscale.Minute
	for _, minute := range last {
		if len(minute.Load) == len(m.shards) {
			out = append(out, minute)
		}
	}
	return out
}

func (m *model) scalings(i int) {
	n := 0
	for _, c := range m.changes {
		if (c.action == autoscale.Up || c.action == autoscale.Down) && m.now.Sub(c.at) < 24*time.Hour {
			n++
		}
	}
	if n > autoscale.ScalingsPerDay {
		m.t.Errorf("minute %d: %d scalings in 24 hours", i, n)
	}
}

func (m *model) split(d autoscale.Decision) []autoscale.Shard {
	i := slices.IndexFunc(m.shards, func(s autoscale.Shard) bool { return s.ID == d.Shard })
	s := m.shards[i]
	low := autoscale.Shard{ID: s.ID + "a", First: s.First, Last: new(big.Int).Sub(d.At, big.NewInt(1))}
	return slices.Concat(m.shards[:i], []autoscale.Shard{low, {ID: s.ID + "b", First: d.At, Last: s.Last}}, m.shards[i+1:])
}

func (m *model) merge(d autoscale.Decision) []autoscale.Shard {
	i := slices.IndexFunc(m.shards, func(s autoscale.Shard) bool { return s.ID == d.Shard })
	if m.shards[i+1].ID != d.Adjacent {
		m.t.Fatalf("%s and %s are no neighbours", d.Shard, d.Adjacent)
	}
	both := autoscale.Shard{ID: d.Shard + "+", First: m.shards[i].First, Last: m.shards[i+1].Last}
	return slices.Concat(m.shards[:i], []autoscale.Shard{both}, m.shards[i+2:])
}

// flaps counts the changes that were taken back within an hour although the load
// had hardly changed.
func (m *model) flaps() (n int) {
	more := func(c change) bool { return c.to > c.from }
	for i := 1; i < len(m.changes); i++ {
		a, b := m.changes[i-1], m.changes[i]
		before, after := m.highest(a.minute), m.highest(b.minute)
		if more(a) != more(b) && b.minute-a.minute < 60 && max(before, after) < 1.25*min(before, after) {
			n++
		}
	}
	return n
}

// highest is the peak of the ten minutes up to one.
func (m *model) highest(minute int) (highest float64) {
	for _, t := range m.totals[max(0, minute-10) : minute+1] {
		highest = max(highest, t.Load)
	}
	return highest
}

func seed(t *testing.T) uint64 {
	s := rand.Uint64()
	if text := os.Getenv("BANYAN_SEED"); text != "" {
		s, _ = strconv.ParseUint(text, 10, 64)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("BANYAN_SEED=%d", s)
		}
	})
	return s
}

func noisy(r *rand.Rand, part float64, of func(int) float64) func(int) float64 {
	return func(i int) float64 { return of(i) * (1 + part*(2*r.Float64()-1)) }
}

const day = 24 * 60

// TestSimulation: whatever the load, the limits hold, nothing flaps, and refusals
// end within minutes.
func TestSimulation(t *testing.T) {
	s := seed(t)
	constant := func(l float64) func(int) float64 { return func(int) float64 { return l } }
	daily := func(i int) float64 { return 12 - 9*math.Cos(2*math.Pi*float64(i)/day) }
	// doubling in so many minutes, from one shard's worth to 40 of them
	ramp := func(minutes float64) func(int) float64 {
		return func(i int) float64 { return min(40, math.Pow(2, float64(i)/minutes)) }
	}
	step := func(i int) float64 {
		if i < 60 {
			return 2
		}
		return 14
	}
	spikes := func(i int) float64 {
		if i%180 < 4 {
			return 12
		}
		return 3
	}
	tests := []struct {
		name     string
		start    int
		minutes  int
		noise    float64
		demand   func(int) float64
		throttle int     // longest run of minutes that may throttle
		changes  int     // at most
		waste    float64 // shard minutes at most, to what the load fills
	}{
		{"nothing", 16, 2 * day, 0, constant(0), 0, 4, 1.4},
		{"constant", 4, day, 0.1, constant(2.4), 0, 0, 1.7},
		{"constant at any level", 10, 2 * day, 0.15, constant(1 + 30*rand.New(rand.NewPCG(s, 2)).Float64()), 30, 6, 3},
		{"daily", 8, 3 * day, 0.1, daily, 0, 3 * 18, 2.8},
		{"doubling in an hour", 2, 8 * 60, 0.05, ramp(60), 0, 12, 2.2},
		{"doubling in 20 minutes", 2, 4 * 60, 0.05, ramp(20), 5, 10, 2.6},
		{"doubling in 5 minutes", 2, 3 * 60, 0.05, ramp(5), 40, 10, 2.6},
		{"seven times at once", 4, 6 * 60, 0.05, step, 25, 12, 3},
		{"spikes", 5, 2 * day, 0.05, spikes, 5, 80, 8},
	}
	for _, byShard := range []bool{true, false} {
		drawn := matrix.Some(1, len(tests))
		for i, test := range tests {
			t.Run(fmt.Sprintf("%s by shard %t", test.name, byShard), func(t *testing.T) {
				drawn.Skip(t, i)
				m := newModel(t, s, test.start, nil)
				m.byShard = byShard
				m.demand = noisy(m.random, test.noise, test.demand)
				m.simulate(test.minutes)
				if m.throttledFor > test.throttle {
					t.Errorf("throttled for %d minutes on end, more than %d", m.throttledFor, test.throttle)
				}
				if m.flaps() > 0 || len(m.changes) > test.changes {
					t.Errorf("%d changes, %d of them taken back; at most %d are right: %+v", len(m.changes), m.flaps(), test.changes, m.changes)
				}
				if waste := m.used / m.ideal; waste > test.waste {
					t.Errorf("%.2f times the shards that the load fills, more than %.2f", waste, test.waste)
				}
				t.Logf("%d changes, throttled for %d minutes at most, %.2f times the shards filled", len(m.changes), m.throttledFor, m.used/m.ideal)
			})
		}
	}
}

// TestSimulationOfDaysThatAreAlike: a day of 0.5 to 12 shards' load, once it is known, has
// few shards by night, does not throttle, and does not shrink while the load rises.
func TestSimulationOfDaysThatAreAlike(t *testing.T) {
	matrix.Some(0, 1).Skip(t, 0) // four days of one goroutine
	base := func(i int) float64 { return 6.25 - 5.75*math.Cos(2*math.Pi*float64(i)/day) }
	const s = 1
	for byShard, most := range map[bool]float64{true: 1.6, false: 1.75} {
		m := newModel(t, s, 4, nil)
		m.byShard, m.demand = byShard, noisy(m.random, 0.1, base)
		m.simulate(2 * day)
		m.used, m.changes = 0, nil
		m.simulate(2 * day)
		if times := m.used / (2 * day) / 6.25; times > most || m.throttledFor > 0 {
			t.Errorf("seed %d, by shard %t: %.2f times the load, more than %.2f; throttled for %d minutes", s, byShard, times, most, m.throttledFor)
		}
		for _, c := range m.changes {
			if c.to < c.from && base(c.minute+60) > base(c.minute)+0.5 {
				t.Errorf("seed %d, by shard %t: shrank before a rise: %+v", s, byShard, c)
			}
		}
	}
}

// TestSimulationOfAHotRange: a tenth of the hash range has most of the load, and
// is split rather than the whole stream; when it cools the pieces are merged.
func TestSimulationOfAHotRange(t *testing.T) {
	m := newModel(t, seed(t), 8, func(i int) float64 { return 3.2 })
	hot := true
	m.dense = func(upTo float64) float64 {
		if !hot {
			return upTo
		}
		in := min(max(upTo-0.5, 0), 0.1) / 0.1
		return 0.4*upTo + 0.6*in
	}
	m.simulate(30)
	grown := len(m.shards)
	if m.run > 0 || !slices.ContainsFunc(m.changes, func(c change) bool { return c.action == autoscale.Split }) {
		t.Errorf("still throttled for %d minutes after %+v", m.run, m.changes)
	}
	for _, c := range m.changes {
		if c.action == autoscale.Up {
			t.Errorf("the whole stream grew for one range: %+v", m.changes)
		}
	}
	hot = false
	before := len(m.changes)
	for i := range day {
		m.load(i)
		m.now = m.now.Add(time.Minute)
		m.reshard()
		m.decide(30 + i)
	}
	if len(m.shards) >= grown || m.run > 0 {
		t.Errorf("%d shards of %d after it cooled: %+v", len(m.shards), grown, m.changes[before:])
	}
	t.Logf("8 shards grew to %d, then shrank to %d: %+v", grown, len(m.shards), m.changes)
}

// TestSimulationOfAHotKey: nothing is split without end for one key.
func TestSimulationOfAHotKey(t *testing.T) {
	m := newModel(t, seed(t), 4, func(int) float64 { return 3 })
	m.dense = func(upTo float64) float64 {
		if upTo >= 0.3 {
			return 0.5 + 0.5*upTo
		}
		return 0.5 * upTo
	}
	m.simulate(day)
	if len(m.shards) > 16 || len(m.changes) > 20 {
		t.Errorf("%d shards after %d changes", len(m.shards), len(m.changes))
	}
}
