package ownership

import "time"

// Stats are a member's figures, for metrics.
type Stats struct {
	// Owner, Epoch, Phase and Revision are of the record as last read.
	Owner    Store
	Epoch    int64
	Phase    Phase
	Revision int64
	// Acked is the highest revision acknowledged.
	Acked int64
	// Inflight is the number of operations running.
	Inflight int
	// WritesHeld counts the writes that had to wait for a change of owner, and
	// LongestHold is the longest such wait.
	WritesHeld  int64
	LongestHold time.Duration
	// ControlErrors counts failed requests to the control table.
	ControlErrors int64
}

// Stats returns the counters since Join.
func (m *Member) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.stats
	s.Owner, s.Epoch, s.Phase, s.Revision = m.rec.Owner, m.rec.Epoch, m.rec.Phase, m.rec.Revision
	s.Acked, s.Inflight = m.acked, m.inflightLocked()
	return s
}

// SetShadowReads has the member's row say what shadow reads have found, from the next
// renewal on.
func (m *Member) SetShadowReads(s ShadowReads) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shadow = s
}

func (m *Member) countHeld(d time.Duration) {
	if d <= 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stats.WritesHeld++
	m.stats.LongestHold = max(m.stats.LongestHold, d)
}
