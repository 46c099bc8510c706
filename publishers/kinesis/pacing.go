package kinesis

import (
	"time"

	"golang.org/x/time/rate"

	"github.com/banyan-fig/banyan/publishers/kinesis/internal/pace"
)

// pacer keeps a lane below the rates of the config; its zero value does not.
type pacer struct{ bytes, records *rate.Limiter }

func newPacer(cfg *Config) pacer {
	return pacer{limiter(cfg.ShardBytesPerSecond), limiter(cfg.ShardRecordsPerSecond)}
}

func limiter(perSecond int) *rate.Limiter {
	if perSecond == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), perSecond)
}

// pace waits for the lane's turn, by the rates of the config and that which was
// learnt; false when the shard is closed or the publisher ended meanwhile.
func (l *lane) pace(bytes, records int) bool {
	return l.await(l.pacer.bytes, bytes) && l.await(l.pacer.records, records) &&
		l.pause(l.learnt.Wait(time.Now()))
}

// await takes n in portions, since a limiter gives at most a second's worth.
func (l *lane) await(limiter *rate.Limiter, n int) bool {
	for limiter != nil && n > 0 {
		portion := min(n, limiter.Burst())
		if !l.pause(limiter.ReserveN(time.Now(), portion).Delay()) {
			return false
		}
		n -= portion
	}
	return true
}

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
