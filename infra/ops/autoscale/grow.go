package autoscale

import (
	"fmt"
	"math/big"
	"slices"
	"time"
)

// narrowest is how much of an even share of the hash range a shard has at least
// for a split to be of use. What is hot in a range as narrow is one key.
const narrowest = 1.0 / 16

// grow decides whether there shall be more shards; hot is whether any is hot.
func (d decider) grow(recent []Minute) (out Decision, hot bool) {
	load := meanLoads(recent)
	over := d.hotShards(load, recent)
	if len(over) == 0 {
		return Decision{}, false
	}
	hottest := slices.MaxFunc(over, func(a, b int) int { return d.compareLoad(load, a, b) })
	why := fmt.Sprintf("%d of %d shards are hot, %s at %s for %d minutes", len(over), d.n, d.o.Shards[hottest].ID, percent(load[hottest]), len(recent))
	switch {
	case d.isConcentrated(over, load) && !anySpread(recent):
		out = d.splitShard(hottest, why)
	case d.n >= d.p.Max:
		out = doNothing("%s; there are as many shards as are allowed", why)
		out.AtLimit = true
	default:
		out = d.scaleUp(d.upTarget(load), load, "%s", why)
	}
	return out, true
}

// hotShards lists the shards that need help. The load of minutes that throttle is cut
// off at the limit, so refusals count for themselves; one minute of them suffices.
func (d decider) hotShards(load []float64, recent []Minute) []int {
	last, above := recent[len(recent)-1], d.hotAbove()
	var out []int
	for i := range load {
		if load[i] > above || d.p.Throttled >= 0 && last.Throttled[i] > d.p.Throttled {
			out = append(out, i)
		}
	}
	return out
}

// hotAbove is the utilisation above which a shard is hot. Where the day is known, growth
// is no surprise, and a sixth more of a shard is used, unless there are so few that
// little growth is much, or only splits are left, one by one.
func (d decider) hotAbove() float64 {
	if d.day.known && d.n >= 4 && d.used < ScalingsPerDay {
		return min(d.p.Up*7/6, 0.95)
	}
	return d.p.Up
}

// compareLoad orders shards by load, and those of one load by their width.
func (d decider) compareLoad(load []float64, a, b int) int {
	switch {
	case load[a] < load[b]:
		return -1
	case load[a] > load[b]:
		return 1
	}
	return d.o.Shards[a].width().Cmp(d.o.Shards[b].width())
}

// isConcentrated reports whether few shards are hot in a stream that on the whole is
// not.
func (d decider) isConcentrated(over []int, load []float64) bool {
	return d.o.ByShard && d.n > 1 && len(over) <= max(1, d.n/4) && sum(load)/float64(d.n) < d.p.Target
}

// upTarget is the least quarter step whose hottest range is predicted to be cool
// enough, or the greatest there is; the step after it once half of the day's
// scalings are used.
func (d decider) upTarget(load []float64) int {
	if d.day.known {
		return d.forecastTarget(load)
	}
	targets := d.upTargets()
	last := len(targets) - 1
	for i, t := range targets {
		if slices.Max(predict(d.o.Shards, load, t)) > d.p.Target {
			continue
		}
		if d.used >= ScalingsPerDay/2 {
			i = min(i+1, last)
		}
		return targets[i]
	}
	return targets[last]
}

// forecastTarget is the least number of shards that is enough for the next hour, as it is
// expected, or the greatest that there may be.
func (d decider) forecastTarget(load []float64) int {
	growth, most := d.day.growth(time.Hour), min(2*d.n, d.p.Max)
	for t := d.n + 1; t < most; t++ {
		if slices.Max(predict(d.o.Shards, load, t))*growth <= d.p.Up*16/15 {
			return t
		}
	}
	return most
}

func (d decider) upTargets() []int {
	var out []int
	for quarters := 5; quarters <= 8; quarters++ {
		t := min((d.n*quarters+3)/4, d.p.Max)
		if t > d.n && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

// scaleUp scales to a target, or, where the day's scalings are used up, splits.
func (d decider) scaleUp(target int, load []float64, format string, args ...any) Decision {
	why := fmt.Sprintf(format, args...)
	if d.used < ScalingsPerDay {
		return Decision{Action: Up, Target: target, Reason: fmt.Sprintf("%s: from %d to %d shards", why, d.n, target)}
	}
	if load == nil {
		load = make([]float64, d.n)
	}
	hottest := 0
	for i := range load {
		if d.compareLoad(load, i, hottest) > 0 {
			hottest = i
		}
	}
	return d.splitShard(hottest, why+"; the scalings of the day are used up")
}

// splitShard cuts a shard in the middle, where that can be of use.
func (d decider) splitShard(i int, why string) Decision {
	shard := d.o.Shards[i]
	switch {
	case d.n >= d.p.Max:
		out := doNothing("%s; there are as many shards as are allowed", why)
		out.AtLimit = true
		return out
	case shard.share()*float64(d.n) < narrowest || shard.width().BitLen() < 3:
		out := doNothing("%s; its range is so narrow that it must be one partition key: spread the key", why)
		out.HotKey = true
		return out
	}
	return Decision{Action: Split, Shard: shard.ID, At: shard.middle(), Reason: fmt.Sprintf("%s: split %s in its middle", why, shard.ID)}
}

// width is how many hash keys a shard has.
func (s Shard) width() *big.Int {
	w := new(big.Int).Sub(s.Last, s.First)
	return w.Add(w, big.NewInt(1))
}

// middle is the first hash key of the upper half.
func (s Shard) middle() *big.Int {
	half := new(big.Int).Rsh(s.width(), 1)
	return half.Add(half, s.First)
}

// space is how many hash keys there are.
const space = 1 << 128

// share is the part of all hash keys that a shard has, from 0 to 1.
func (s Shard) share() float64 { return fraction(s.width()) }

func fraction(n *big.Int) float64 {
	f, _ := n.Float64()
	return f / space
}
