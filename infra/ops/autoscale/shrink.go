package autoscale

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// shrink decides whether fewer shards would do.
func (d decider) shrink() Decision {
	minutes := d.p.DownMinutes
	if d.day.known {
		minutes = min(minutes, forecastMinutes)
	}
	window := d.recentMinutes(minutes)
	if d.n <= d.p.Min {
		return doNothing("the load is fine, and there are as few shards as are allowed")
	}
	if len(window) < minutes {
		return doNothing("the load is fine; of the %d minutes needed to shrink %d are known since the last change", minutes, len(window))
	}
	if d.o.ByShard && anySpread(window) {
		return doNothing("the load is fine; the figures of the shards do not add up to the stream's, so that one may be hot unseen")
	}
	for _, m := range window {
		if sum(m.Throttled) > 0 {
			return doNothing("the load is fine; records were throttled in the last %d minutes", len(window))
		}
	}
	load := peakLoads(window)
	if rising := d.latestLoad(window[len(window)-1].At); rising > sum(load) {
		return doNothing("the load is fine; the stream's last minute, of which the shards have no figures yet, had more than the %d before", len(window))
	}
	if d.day.known {
		return d.shrinkByForecast(load)
	}
	d.least = d.neededShards()
	if out, ok := d.scaleDown(load); ok {
		return out
	}
	if out, ok := d.mergeShards(load); ok {
		return out
	}
	return doNothing("the load is fine: the hottest shard had %s at most in %d minutes", percent(slices.Max(load)), len(window))
}

// shrinkByForecast shrinks by a fifth or more to what is enough for the next hours, as they
// are expected. Few shards are merged, which costs no scaling.
func (d decider) shrinkByForecast(load []float64) Decision {
	growth := d.day.growth(ahead)
	if growth > rising {
		return doNothing("the load is fine, and expected to rise: to %s of its last peak within %v", percent(growth), ahead)
	}
	for i := range load {
		load[i] *= growth
	}
	d.least, d.p.DownTo = d.p.Min, d.p.Up
	for t := max((d.n+1)/2, d.p.Min); t <= d.n*4/5; t++ {
		if hottest := slices.Max(predict(d.o.Shards, load, t)); hottest <= d.p.DownTo && d.hasScalingFor(t) {
			return Decision{Action: Down, Target: t, Reason: fmt.Sprintf(
				"the hottest shard is expected to have %s at most until %v from now: from %d to %d shards", percent(hottest), ahead, d.n, t)}
		}
	}
	if d.n <= fewShards {
		if out, ok := d.mergeShards(load); ok {
			return out
		}
	}
	return doNothing("the load is fine, and expected to be: the hottest shard will have %s at most in %v", percent(slices.Max(load)), ahead)
}

// rising is by how much the load grows where nothing shrinks, whatever room there is: the
// scalings are for the way up.
const rising = 1.25

// fewShards are merged two by two at a time of known load.
const fewShards = 8

// hasScalingFor reports whether a step down to so many shards leaves the scalings for the
// way up again: those of the day that are not over by then count.
func (d decider) hasScalingFor(target int) bool {
	rise := d.day.exceeds(d.hotAbove() * float64(target))
	return d.used < ScalingsPerDay-1 && d.s.scalingsUsed(rise) < ScalingsPerDay-d.p.ReserveUps
}

// latestLoad is the highest load of the stream in the minutes after one. Figures of the
// shards can be later than the stream's, and while a peak begins, nothing must shrink.
func (d decider) latestLoad(after time.Time) (highest float64) {
	for _, t := range d.o.Totals {
		if t.At.After(after) {
			highest = max(highest, t.Load)
		}
	}
	return highest
}

// memory is for how many DownMinutes at most a peak is remembered.
const memory = 8

// neededShards is how many shards would not have to grow if the recent peak repeated.
// The more often the stream was scaled in a day, the longer a peak counts, so that
// one that comes every few hours is not followed down and up again.
func (d decider) neededShards() int {
	since := d.o.Now.Add(-time.Duration(d.p.DownMinutes*min(1+d.used, memory)) * time.Minute)
	highest := 0.0
	for _, t := range d.o.Totals {
		if !t.At.Before(since) {
			highest = max(highest, t.Load)
		}
	}
	return max(d.p.Min, int(math.Ceil(highest/d.p.Up)))
}

// scaleDown scales to a half or to three quarters.
func (d decider) scaleDown(load []float64) (Decision, bool) {
	if d.used >= ScalingsPerDay-d.p.ReserveUps {
		return Decision{}, false
	}
	for _, t := range []int{max((d.n+1)/2, d.least), max((3*d.n+3)/4, d.least)} {
		if t >= d.n {
			continue
		}
		if hottest := slices.Max(predict(d.o.Shards, load, t)); hottest <= d.p.DownTo {
			return Decision{Action: Down, Target: t, Reason: fmt.Sprintf(
				"the hottest shard had %s at most in %d minutes, and would have %s: from %d to %d shards",
				percent(slices.Max(load)), d.p.DownMinutes, percent(hottest), d.n, t)}, true
		}
	}
	return Decision{}, false
}

// mergeShards joins the two neighbours that are coldest together. Without figures of
// each shard there is none that is colder.
func (d decider) mergeShards(load []float64) (Decision, bool) {
	if !d.o.ByShard || d.n <= d.least {
		return Decision{}, false
	}
	best, least := -1, d.p.DownTo
	for i := range d.n - 1 {
		if both := load[i] + load[i+1]; both <= least {
			best, least = i, both
		}
	}
	if best < 0 {
		return Decision{}, false
	}
	a, b := d.o.Shards[best].ID, d.o.Shards[best+1].ID
	return Decision{Action: Merge, Shard: a, Adjacent: b, Reason: fmt.Sprintf(
		"%s and %s had %s together at most in %d minutes: merge them", a, b, percent(least), d.p.DownMinutes)}, true
}

// shrinkToLimit follows a policy whose Max was lowered.
func (d decider) shrinkToLimit() Decision {
	target := max(d.p.Max, (d.n+1)/2)
	if d.used >= ScalingsPerDay {
		return doNothing("there are %d shards, more than the most of %d, and the scalings of the day are used up", d.n, d.p.Max)
	}
	return Decision{Action: Down, Target: target, Reason: fmt.Sprintf("there are %d shards, more than the most of %d: to %d", d.n, d.p.Max, target)}
}
