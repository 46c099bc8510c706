package autoscale

import (
	"fmt"
	"math/big"
	"slices"
	"time"
)

// Shard is an open shard with its range of hash keys, both ends included.
type Shard struct {
	ID          string
	First, Last *big.Int
}

// Minute is the load of one whole minute.
type Minute struct {
	At time.Time // its beginning
	// Load is the utilisation of each shard, 1 being its limit; Throttled the
	// records that each refused.
	Load, Throttled []float64
	// Spread says that the figures of the shards do not add up to the stream's, so
	// that these are the stream's, spread evenly.
	Spread bool
}

// Total is the load of the whole stream in one minute, in limits of a shard, with
// what was refused.
type Total struct {
	At   time.Time
	Load float64
}

// Observation is what is known about a stream.
type Observation struct {
	Now      time.Time
	OnDemand bool
	// Active says that no reshard is in progress.
	Active bool
	// Shards are the open ones, by their ranges.
	Shards []Shard
	// ByShard says that each shard is measured; else all minutes are spread.
	ByShard bool
	// Minutes are the known ones, oldest first.
	Minutes []Minute
	// Totals go further back, and over changes of the shards.
	Totals []Total
}

// State is what is remembered about a stream.
type State struct {
	// Version grows with each write; 0 is that of a stream never seen.
	Version int64
	// Scalings are the calls of UpdateShardCount of the last 24 hours.
	Scalings []time.Time
	// Pending says that a change was begun and is not confirmed.
	Pending bool
	// Changed is when the last change was begun, Confirmed when a run saw its effect.
	Changed, Confirmed time.Time
	// BlockedUntil is set where the API counted more scalings than Scalings has.
	BlockedUntil time.Time
	// Last describes the last change.
	Last string
	// Claim identifies the run that wrote the state.
	Claim string
}

// scalingsUsed counts the scalings of a day, to a few minutes on the safe side.
func (s State) scalingsUsed(now time.Time) int {
	if now.Before(s.BlockedUntil) {
		return ScalingsPerDay
	}
	n := 0
	for _, t := range s.Scalings {
		if now.Sub(t) < 24*time.Hour+5*time.Minute {
			n++
		}
	}
	return n
}

// Action is what to do with a stream.
type Action string

// The actions.
const (
	Nothing Action = "nothing"
	// Confirm notes that a change has taken effect.
	Confirm Action = "confirm"
	// Up and Down change the number of shards to Decision.Target, evenly.
	Up   Action = "up"
	Down Action = "down"
	// Split cuts Decision.Shard at Decision.At.
	Split Action = "split"
	// Merge joins Decision.Shard and its neighbour Decision.Adjacent.
	Merge Action = "merge"
)

// Decision is an action, with its reason.
type Decision struct {
	Action Action
	Reason string
	Target int
	Shard  string
	// Adjacent of a merge.
	Adjacent string
	// At is the first hash key of the second half of a split.
	At *big.Int
	// Hottest is the utilisation of the hottest shard of late, Throttled what was
	// refused in the last minute known.
	Hottest, Throttled float64
	// Left is how many scalings the day has left.
	Left int
	// AtLimit says that more shards are needed than the policy allows, HotKey that
	// no number of shards would help, MetricsMissing that figures are missing.
	AtLimit, HotKey, MetricsMissing bool
}

// Decide returns what to do with a stream now. It depends only on its arguments.
func Decide(p Policy, o Observation, s State) Decision {
	p = p.withDefaults()
	d := decider{p: p, o: o, s: s, n: len(o.Shards), used: s.scalingsUsed(o.Now)}
	if !p.NoForecast {
		d.day = newForecast(o.Totals, o.Now)
	}
	recent := d.recentMinutes(p.UpMinutes)
	out := d.decide(recent)
	out.Left = max(0, ScalingsPerDay-d.used)
	if len(recent) > 0 {
		out.Hottest = slices.Max(meanLoads(recent))
		out.Throttled = sum(recent[len(recent)-1].Throttled)
	}
	return out
}

type decider struct {
	p    Policy
	o    Observation
	s    State
	n    int
	used int
	day  forecast
	// least is how many shards are to stay, for a step down.
	least int
}

func doNothing(format string, args ...any) Decision {
	return Decision{Action: Nothing, Reason: fmt.Sprintf(format, args...)}
}

// beginning is how long a stream may look active after the state says that a change
// was begun: the run that wrote the state has yet to call Kinesis, or waits for its answer.
const beginning = 30 * time.Second

func (d decider) decide(recent []Minute) Decision {
	switch {
	case d.o.OnDemand:
		return doNothing("the stream is on-demand and scales by itself")
	case !d.o.Active:
		return doNothing("a reshard is in progress")
	case d.n == 0:
		return doNothing("no open shard is known")
	case d.s.Pending && d.o.Now.Before(d.s.Changed.Add(beginning)):
		return doNothing("a change was begun just now: %s", d.s.Last)
	case d.s.Pending:
		return Decision{Action: Confirm, Reason: "the last change has taken effect: " + d.s.Last}
	case d.o.Now.Before(d.s.Confirmed.Add(d.p.cooldown())):
		return doNothing("cooling down after: %s", d.s.Last)
	case d.n < d.p.Min:
		return d.scaleUp(min(2*d.n, d.p.Min), nil, "there are %d shards, fewer than the least of %d", d.n, d.p.Min)
	case d.n > d.p.Max:
		return d.shrinkToLimit()
	case d.isStale(recent):
		out := doNothing("there are no figures of the last %d minutes: metrics are late, or the stream is neither written nor read", staleMinutes)
		out.MetricsMissing = true
		return out
	case len(recent) < d.p.UpMinutes:
		return doNothing("figures are known of %d minutes since the last change; %d are needed", len(recent), d.p.UpMinutes)
	}
	if out, hot := d.grow(recent); hot {
		return out
	}
	return d.shrink()
}

// recentMinutes returns the last n minutes after the last change, or fewer.
func (d decider) recentMinutes(n int) []Minute {
	var out []Minute
	for _, m := range d.o.Minutes {
		if !m.At.Before(d.s.Confirmed) && len(m.Load) == d.n && len(m.Throttled) == d.n {
			out = append(out, m)
		}
	}
	return out[max(0, len(out)-n):]
}

// isStale reports whether the last figures are too old to decide by, or missing although
// the last change is as long ago.
func (d decider) isStale(recent []Minute) bool {
	last := d.s.Confirmed
	if len(recent) > 0 {
		last = recent[len(recent)-1].At
	}
	return d.o.Now.Sub(last) > staleMinutes*time.Minute
}

// meanLoads is the mean load of each shard.
func meanLoads(minutes []Minute) []float64 {
	out := make([]float64, len(minutes[0].Load))
	for _, m := range minutes {
		for i, l := range m.Load {
			out[i] += l / float64(len(minutes))
		}
	}
	return out
}

// peakLoads is the greatest load of each shard.
func peakLoads(minutes []Minute) []float64 {
	out := make([]float64, len(minutes[0].Load))
	for _, m := range minutes {
		for i, l := range m.Load {
			out[i] = max(out[i], l)
		}
	}
	return out
}

// anySpread reports whether a minute's load is the stream's, spread over the shards.
func anySpread(minutes []Minute) bool {
	return slices.ContainsFunc(minutes, func(m Minute) bool { return m.Spread })
}

func sum(values []float64) float64 {
	total := 0.0
	for _, v := range values {
		total += v
	}
	return total
}

func percent(u float64) string { return fmt.Sprintf("%.0f %%", 100*u) }
