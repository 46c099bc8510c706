package ownership

import (
	"context"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// probePause is the time before a failed probe is made again, as rights may have been
// granted meanwhile.
var probePause = backoff.Backoff{Min: 300 * time.Millisecond}

// keepProbing probes each name that a record announces, until the probe succeeds or the
// record changes.
func (m *Member) keepProbing(ctx context.Context) {
	wait := m.cfg.Lease
	for m.pause(ctx, wait, m.probes) {
		wait = m.cfg.Lease
		if m.probe(ctx) != nil {
			wait = probePause.Delay(0)
		}
	}
}

// probe makes one probe if there is one to be made, and has the row say how it ended.
func (m *Member) probe(ctx context.Context) error {
	m.mu.Lock()
	rec := m.rec
	wanted := m.cfg.Probe != nil && rec.announces() && (m.probed != rec.Revision || m.problem != "")
	m.mu.Unlock()
	if !wanted {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Lease)
	defer cancel()
	err := m.cfg.Probe(ctx, rec.Move.To)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rec.Revision != rec.Revision {
		return nil // the new revision has asked for its own probe
	}
	m.probed, m.problem = rec.Revision, ""
	if err != nil {
		m.problem = err.Error()
	}
	wake(m.renews)
	return err
}
