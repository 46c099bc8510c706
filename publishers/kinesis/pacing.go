package kinesis

import (
	"time"

	"github.com/banyan-fig/banyan/publishers/kinesis/internal/pace"
)

// pause tells whether d passed before the shard was closed or the publisher
// ended.
func (l *lane) pause(d time.Duration) bool {
	if d <= 0 {
		return l.p.ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	for !l.isRetired() {
		select {
		case <-t.C:
			return true
		case <-l.wake: // for what comes in, too
		case <-l.p.ctx.Done():
			return false
		}
	}
	return false
}

// aim is how much a request may carry: at the learnt rate, what takes a quarter
// of a second, so that a slow shard gets small requests rather than rare ones.
func (l *lane) aim() (bytes, records int) {
	cfg := &l.p.cfg
	limit := l.learnt.Limit()
	if limit == 0 {
		return cfg.MaxRequestBytes, cfg.MaxRequestRecords
	}
	const portion = 0.25
	bytes, records = pace.Worth(limit * portion)
	return max(min(bytes, cfg.MaxRequestBytes), cfg.AggregateBytes), max(min(records, cfg.MaxRequestRecords), 1)
}
