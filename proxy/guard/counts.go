package guard

import (
	"sync/atomic"
	"time"

	"github.com/banyan-fig/banyan/proxy/observation"
)

// pair is how many there were, and how many of them were bad: one number, so that nobody
// sees the one without the other.
type pair struct{ atomic.Uint64 }

func (p *pair) add(bad bool) {
	n := uint64(1)
	if bad {
		n |= 1 << 32
	}
	p.Add(n)
}

func (p *pair) drain() (bad, all int64) {
	n := p.Swap(0)
	return int64(n >> 32), int64(n & (1<<32 - 1))
}

// counts are those of the present second.
type counts struct {
	errors, slow struct{ judged, other pair }
	diffs        pair
	excused      atomic.Int64
}

// observe counts an exchange where it says something of the upstream. It takes no lock.
func (c *counts) observe(o *observation.Observation, limit time.Duration) {
	errors, slow := &c.errors.judged, &c.slow.judged
	switch {
	case o.Side == observation.ShadowNew:
		return // no client had it
	case o.Side != observation.New && o.Fallback:
		if o.Failed() {
			c.excused.Add(1)
		}
		return
	case o.Side != observation.New:
		errors, slow = &c.errors.other, &c.slow.other
	}
	if bad, counts := failure(o); counts {
		errors.add(bad)
	}
	if bad, counts := slowness(o, limit); limit > 0 && counts {
		slow.add(bad)
	}
}

// failure leaves out what is nobody's doing or the client's, such as a total time limit that
// ran out while the client was sending or receiving.
func failure(o *observation.Observation) (bad, counts bool) {
	if o.Cause == observation.TotalTimeout && (o.FirstByte > 0 || o.BytesIn > 0) {
		return false, false
	}
	return o.Failed(), o.Failed() || o.Cause == observation.None
}

// slowness leaves out requests with a body, and those that ended without an answer before
// they were slow. A client that gave up after the limit is evidence: it had no answer by then.
func slowness(o *observation.Observation, limit time.Duration) (bad, counts bool) {
	if o.BytesIn > 0 || o.Cause.Fault() == observation.Nobody && o.Cause != observation.None {
		return false, false
	}
	if o.FirstByte > 0 {
		return o.FirstByte > limit, true
	}
	return true, o.Total > limit && (o.Failed() || o.Cause == observation.ClientGone)
}

// drain empties the counts.
func (c *counts) drain() (n Counts) {
	n[byErrors][0], n[byErrors][1] = c.errors.judged.drain()
	n[byErrors][2], n[byErrors][3] = c.errors.other.drain()
	n[byErrors][4] = c.excused.Swap(0)
	n[byLatency][0], n[byLatency][1] = c.slow.judged.drain()
	n[byLatency][2], n[byLatency][3] = c.slow.other.drain()
	n[byDiffs][0], n[byDiffs][1] = c.diffs.drain()
	return n
}
