package observation

import (
	"sync"
	"sync/atomic"
	"time"
)

// Counters count observations by route and side. They know routes by name alone, so that they
// go on when a route file is reloaded. They are a [Sink] and a [prometheus.Collector]. The zero
// value works; they are safe for concurrent use, and Observe allocates nothing once a route
// and a path were seen.
type Counters struct {
	Now func() time.Time // the clock of reports; default time.Now

	mu     sync.RWMutex
	cells  map[cellKey]*cell
	paths  paths   // of the requests that no route matched
	others traffic // of the legacy side, for paths that are not in the above
}

type cellKey struct {
	route string
	side  Side
}

// maxCells bounds the routes that are counted, each once a side; further ones are counted
// together, as those of the route overflow. Route files have fewer: names that were changed
// stay until the process ends.
const (
	maxCells = 20_000
	overflow = "(others)"
	unrouted = "(none)" // how the requests that no route matched are called
)

// cell is what is counted of one side of one route.
type cell struct {
	classes   [6]atomic.Int64 // by the first digit of the status; 0: there was no answer
	causes    [causes]atomic.Int64
	fellBack  atomic.Int64 // to the other side, which answered
	failed    atomic.Int64 // the client had an error of the proxy's own, or a part of an answer
	firstByte histogram
	total     atomic.Int64 // nanoseconds
	in, out   atomic.Int64 // bytes
	traffic   traffic
	unmapped  atomic.Pointer[Failure] // the last one
}

// exchanges is the number of observations.
func (c *cell) exchanges() (n int64) {
	for i := range c.classes {
		n += c.classes[i].Load()
	}
	return n
}

// RouteCounts are one route's exchanges since the process began.
type RouteCounts struct {
	Legacy    int64            `json:"legacy"`    // answered by the legacy side
	Forwarded int64            `json:"forwarded"` // answered by the new API
	FellBack  int64            `json:"fellBack"`  // tried there, answered by the legacy side
	Failed    int64            `json:"failed"`    // answered with the proxy's own error, or cut off
	Causes    map[string]int64 `json:"causes,omitempty"`
}

// Of returns the counts of a route; "" is for requests that no route matched.
func (c *Counters) Of(route string) (out RouteCounts) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, side := range []Side{Legacy, New} {
		found := c.cells[cellKey{route, side}]
		if found == nil {
			continue
		}
		fellBack, failed := found.fellBack.Load(), found.failed.Load()
		out.FellBack += fellBack
		out.Failed += failed
		if answered := found.exchanges() - fellBack - failed; side == Legacy {
			out.Legacy = answered
		} else {
			out.Forwarded = answered
		}
		for cause, n := range found.failures() {
			if out.Causes == nil {
				out.Causes = map[string]int64{}
			}
			out.Causes[cause] += n
		}
	}
	return out
}

// failures are the causes that were seen, nil for none.
func (c *cell) failures() (out map[string]int64) {
	for _, cause := range Causes() {
		if n := c.causes[cause].Load(); n > 0 {
			if out == nil {
				out = map[string]int64{}
			}
			out[cause.String()] = n
		}
	}
	return out
}

// Observe implements Sink.
func (c *Counters) Observe(o *Observation) {
	at := o.Start.Add(o.Total)
	c.cellOf(o).add(o, at)
	if o.Side == Legacy && o.Route == "" {
		c.trafficOf(o).add(at)
	}
}

func (c *Counters) cellOf(o *Observation) *cell {
	key := cellKey{o.Route, o.Side}
	c.mu.RLock()
	found := c.cells[key]
	c.mu.RUnlock()
	if found != nil {
		return found
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.cells) >= maxCells && c.cells[key] == nil {
		key.route = overflow
	}
	if c.cells[key] == nil {
		if c.cells == nil {
			c.cells = map[cellKey]*cell{}
		}
		c.cells[key] = &cell{}
	}
	return c.cells[key]
}

// trafficOf finds what counts the path of an observation. An answer that says that there is
// no such path, or no answer, makes no path known: those that scanners try are endless.
func (c *Counters) trafficOf(o *Observation) *traffic {
	c.mu.RLock()
	found, full := c.paths.find(o.Method, o.Path, false), c.paths.full()
	c.mu.RUnlock()
	if found == nil && !full && o.Status < 500 && o.Status != 0 && o.Status != 404 && o.Status != 405 && o.Status != 410 {
		c.mu.Lock()
		found = c.paths.find(o.Method, o.Path, true)
		c.mu.Unlock()
	}
	if found == nil {
		return &c.others
	}
	return &found.traffic
}

func (c *cell) add(o *Observation, at time.Time) {
	class := o.Status / 100
	if class < 0 || class >= len(c.classes) {
		class = 0
	}
	c.classes[class].Add(1)
	c.traffic.add(at)
	c.total.Add(int64(o.Total))
	c.in.Add(o.BytesIn)
	c.out.Add(o.BytesOut)
	if class > 0 {
		c.firstByte.add(o.FirstByte)
	}
	if o.Cause == None {
		return
	}
	c.causes[o.Cause].Add(1)
	switch {
	case o.FellBack:
		c.fellBack.Add(1)
	case o.Sent == 0 || o.Cause != UpstreamStatus && o.Cause != AnswerUnmappable:
		c.failed.Add(1)
	}
	if (o.Cause == AnswerUnmappable || o.Cause == RequestUnmappable) && o.Err != nil {
		c.unmapped.Store(&Failure{At: at, Cause: o.Cause.String(), Error: shown(o.Err), Correlation: o.IDs.CorrelationID})
	}
}

// bounds are the upper bounds of a histogram.
var bounds = [...]time.Duration{
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

type histogram struct {
	buckets [len(bounds) + 1]atomic.Int64
	sum     atomic.Int64 // nanoseconds
}

func (h *histogram) add(d time.Duration) {
	i := 0
	for i < len(bounds) && d > bounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(int64(d))
}

// traffic is how often something was asked for, and how often of late.
type traffic struct {
	count, first, last atomic.Int64     // the latter two in Unix seconds
	slots              [12]atomic.Int64 // of slotSeconds each: the number of the slot, and in the lower half the count
}

const slotSeconds = 300

func (t *traffic) add(at time.Time) {
	second := at.Unix()
	t.count.Add(1)
	t.first.CompareAndSwap(0, second)
	if second > t.last.Load() {
		t.last.Store(second)
	}
	number := second / slotSeconds
	slot := &t.slots[int(number)%len(t.slots)]
	for {
		old := slot.Load()
		next := old + 1
		switch {
		case old>>32 > number: // it ended an hour later than it seems
			return
		case old>>32 < number:
			next = number<<32 | 1
		}
		if slot.CompareAndSwap(old, next) {
			return
		}
	}
}

// perSecond is the rate of the last hour, or since the first time where that is shorter.
func (t *traffic) perSecond(now time.Time) float64 {
	oldest := now.Unix()/slotSeconds - int64(len(t.slots)) + 1
	var n int64
	for i := range t.slots {
		if v := t.slots[i].Load(); v>>32 >= oldest {
			n += v & (1<<32 - 1)
		}
	}
	since := max(t.first.Load(), oldest*slotSeconds)
	return float64(n) / float64(max(1, now.Unix()-since))
}
