package pace

import "time"

const (
	slots = 10
	slot  = time.Second / slots
	// idle is after how long without anything it begins anew.
	idle = 2 * time.Second
	// shortest is for how long at least something must have been taken.
	shortest = 10 * time.Millisecond
)

// meter knows how much there was in the last second, in tenths.
type meter struct {
	tenths [slots]float64
	last   time.Time // when the newest tenth began
	newest int
	since  time.Time // when it began to count
}

func (m *meter) add(now time.Time, share float64) {
	m.advance(now)
	m.tenths[m.newest] += share
}

func (m *meter) advance(now time.Time) {
	if now.Sub(m.last) >= idle {
		*m = meter{last: now, since: now}
		return
	}
	for now.Sub(m.last) >= slot {
		m.last = m.last.Add(slot)
		m.newest = (m.newest + 1) % slots
		m.tenths[m.newest] = 0
	}
}

// perSecond is of the time that the tenths are of, as far as it has passed.
func (m *meter) perSecond(now time.Time) float64 {
	m.advance(now)
	sum := 0.0
	for _, tenth := range m.tenths {
		sum += tenth
	}
	passed := min(now.Sub(m.since), now.Sub(m.last)+(slots-1)*slot)
	return sum / max(passed, shortest).Seconds()
}

// isFull reports whether it has counted for a second.
func (m *meter) isFull(now time.Time) bool {
	m.advance(now)
	return now.Sub(m.since) >= slots*slot
}
