package kinesis

import (
	"time"

	"github.com/banyan-fig/banyan/publishers/kinesis/internal/pace"
)

// sleep reports whether d passed before the shard was closed or the publisher ended.
func (sw *shardWriter) sleep(d time.Duration) bool {
	if d <= 0 {
		return sw.p.ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	for !sw.isRetired() {
		select {
		case <-t.C:
			return true
		case <-sw.wake: // also for what is enqueued
		case <-sw.p.ctx.Done():
			return false
		}
	}
	return false
}

// requestLimits are how much a request may carry: under a rate limit, what takes a
// quarter of a second, so that a slow shard gets small requests rather than rare ones.
func (sw *shardWriter) requestLimits() (bytes, records int) {
	cfg := &sw.p.cfg
	limit := sw.limiter.Limit()
	if limit == 0 {
		return cfg.MaxRequestBytes, cfg.MaxRequestRecords
	}
	const portion = 0.25
	bytes, records = pace.Worth(limit * portion)
	return max(min(bytes, cfg.MaxRequestBytes), cfg.AggregateBytes), max(min(records, cfg.MaxRequestRecords), 1)
}
