// Package pace finds out how fast a shard accepts records, from what it refuses.
//
// Amounts are shares: 1 is what a shard of Kinesis accepts in one second by the
// documentation, 1 MiB or 1,000 records. So one number covers both limits, and
// other writers to the shard have their part of it.
package pace

import "time"

const (
	shardBytes   = 1 << 20
	shardRecords = 1000
)

const (
	// decrease is what is left of the rate after a refusal, if the shard does not
	// take more than that.
	decrease = 0.7
	// headroom is how much more than it took a shard is offered, so that a rate
	// does not sink by itself where the measure is a little low.
	headroom = 1.1
	// epoch is how long refusals count as one: they come in bursts.
	epoch = 250 * time.Millisecond
	// least is where a rate goes no lower.
	least = 0.01
	// slowest is the rate from which on a lower one grows no slower.
	slowest = 0.1
	// most is what no shard accepts in a second, so that a higher rate is no limit
	// unless more than half of it is in fact taken.
	most = 4
	// forget ends a rate that led to no refusal for so long.
	forget = time.Minute
	// saved is the longest time of refusals that is made up for.
	saved = time.Second
	// counted is how much of the time since the last answer makes the rate grow.
	counted = time.Second
)

// Share is what a request costs.
func Share(bytes, records int) float64 {
	return max(float64(bytes)/shardBytes, float64(records)/shardRecords)
}

// Worth is what a share is in bytes and in records.
func Worth(share float64) (bytes, records int) {
	return int(share * shardBytes), int(share * shardRecords)
}

// Rate is additive increase, multiplicative decrease, as in the congestion
// control of TCP, but never less than what the shard took in the last second.
// While it is refused everything it saves up, so that a shard which refuses
// everything every now and then, and takes everything otherwise, is not made
// slower by that. There is no rate before the first refusal, and before there was
// something to send for a second. Not safe for concurrent use.
type Rate struct {
	increase float64
	limit    float64   // shares a second, 0 for none
	level    float64   // how much may be sent at once; below zero it has to wait
	at       time.Time // of level
	cut      time.Time // when limit was last made smaller
	grown    time.Time // until when it has grown
	slope    float64   // shares a second, each second
	refused  time.Time // since when nothing was taken
	refusals int       // since then
	taken    meter
}

// New returns a rate that grows each second by so much of what it was after the
// last refusal: 0.1 doubles it in ten seconds. One of 0 or less learns nothing
// and never limits.
func New(increase float64) Rate { return Rate{increase: increase} }

// Limit is the present rate in shares a second, 0 for no limit.
func (r *Rate) Limit() float64 { return r.limit }

// Wait is how long the next request has to wait.
func (r *Rate) Wait(now time.Time) time.Duration {
	if r.limit == 0 {
		return 0
	}
	r.fill(now)
	return time.Duration(max(0, -r.level/r.limit) * float64(time.Second))
}

// fill adds what has become free. Time in which nothing was sent is not saved up.
func (r *Rate) fill(now time.Time) {
	if r.level < 0 {
		r.level = min(r.level+r.limit*now.Sub(r.at).Seconds(), 0)
	}
	r.at = now
}

// Accepted notes what the shard took. What it refused costs nothing.
func (r *Rate) Accepted(now time.Time, share float64) {
	r.taken.add(now, share)
	refusals := r.refusals
	r.refusals = 0
	if r.limit == 0 {
		return
	}
	r.fill(now)
	if refusals > 1 {
		r.level += r.limit * min(now.Sub(r.refused), saved).Seconds()
	}
	r.level -= share
	r.limit += r.slope * min(now.Sub(r.grown), counted).Seconds()
	r.grown = now
	if r.limit > max(most, 2*r.taken.perSecond(now)) || now.Sub(r.cut) > forget {
		r.limit = 0
	}
}

// Throttled notes that the shard refused records for going too fast.
func (r *Rate) Throttled(now time.Time) {
	if r.refusals++; r.increase <= 0 || r.refusals > 1 {
		return // nothing new, until something was taken
	}
	r.fill(now)
	r.refused, r.grown, r.level = now, now, min(r.level, 0)
	taken := r.taken.perSecond(now) * headroom
	switch {
	case r.limit == 0 && !r.taken.isFull(now):
		return // back-off does until there is something to learn from
	case r.limit == 0:
		r.limit = max(taken, slowest)
	case now.Sub(r.cut) < epoch:
		return
	default:
		r.limit = max(r.limit*decrease, taken, least)
	}
	r.cut, r.slope = now, r.increase*max(r.limit, slowest)
}
