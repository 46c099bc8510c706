// Package pace learns how fast a shard takes records, from what it refuses.
//
// Amounts are shares: 1 is what a shard of Kinesis takes in one second by the
// documentation, 1 MiB or 1,000 records. So one number covers both limits, and
// whoever else writes to the shard takes their part of it.
package pace

import "time"

const (
	shardBytes   = 1 << 20
	shardRecords = 1000
)

const (
	// decrease is what is left of the rate after a refusal.
	decrease = 0.7
	// epoch is how long refusals count as one: they come in crowds.
	epoch = 250 * time.Millisecond
	// first is the least rate after the first refusal, and least after any.
	first, least = 0.25, 0.01
	// most is where a rate is no limit any more: no shard takes so much.
	most = 4
	// forget ends a rate that led to no refusal for so long.
	forget = time.Minute
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
// control of TCP. It does not limit before the first refusal. Not safe for
// concurrent use.
type Rate struct {
	increase float64
	limit    float64   // shares a second, 0 for none
	next     time.Time // when the next request may go
	cut      time.Time // when limit was last made smaller
	grown    time.Time // until when it has grown
	taken    meter
}

// New returns a rate that grows by so many shares a second in each second. One
// of 0 learns nothing and never limits.
func New(increase float64) Rate { return Rate{increase: increase} }

// Limit is the present rate in shares a second, 0 for no limit.
func (r *Rate) Limit() float64 { return r.limit }

// Wait books a request and tells how long it has to wait.
func (r *Rate) Wait(now time.Time, share float64) time.Duration {
	if r.limit == 0 {
		return 0
	}
	start := now
	if r.next.After(now) {
		start = r.next
	}
	r.next = start.Add(time.Duration(share / r.limit * float64(time.Second)))
	return start.Sub(now)
}

// Took tells of what the shard took.
func (r *Rate) Took(now time.Time, share float64) {
	r.taken.add(now, share)
	if r.limit == 0 {
		return
	}
	r.limit += r.increase * min(now.Sub(r.grown), counted).Seconds()
	r.grown = now
	if r.limit > most || now.Sub(r.cut) > forget {
		r.limit = 0
	}
}

// Refused tells that the shard found it too fast.
func (r *Rate) Refused(now time.Time) {
	switch {
	case r.increase <= 0:
		return
	case r.limit == 0:
		r.limit = min(max(r.taken.perSecond(now)*decrease, first), most)
	case now.Sub(r.cut) >= epoch:
		r.limit = max(r.limit*decrease, least)
	default:
		r.grown = now
		return
	}
	r.cut, r.grown = now, now
	r.next = now
}

// meter knows what there was in the last second, as if it had been spread evenly
// over each second of the clock.
type meter struct {
	second            int64
	current, previous float64
}

func (m *meter) add(now time.Time, share float64) {
	m.turn(now)
	m.current += share
}

func (m *meter) turn(now time.Time) {
	switch s := now.Unix(); {
	case s == m.second:
	case s == m.second+1:
		m.second, m.previous, m.current = s, m.current, 0
	default:
		m.second, m.previous, m.current = s, 0, 0
	}
}

func (m *meter) perSecond(now time.Time) float64 {
	m.turn(now)
	return m.current + m.previous*(1-float64(now.Nanosecond())/1e9)
}
