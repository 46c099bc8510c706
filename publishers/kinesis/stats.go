package kinesis

import "time"

// Counts are what happened since the start.
type Counts struct {
	Events          int64 // in the stream
	Bytes           int64 // of these events, encoded
	Failed          int64 // events that failed with an error
	Records         int64 // Kinesis records that carry them, repeats included
	Requests        int64 // PutRecords sent
	Retries         int64 // records sent again
	Throttles       int64 // records and requests refused for going too fast
	UnknownOutcomes int64 // requests of which the outcome stayed unknown
	Refused         int64 // requests refused as a whole, such as for missing rights
	Misplaced       int64 // events sent again because they landed in the wrong shard
}

// Stats is a snapshot for metrics.
//
// It can be exported as it is, for instance by the standard library's expvar:
//
//	expvar.Publish("publisher", expvar.Func(func() any { return p.Stats() }))
//
// or, as banyan-publish does, as JSON of its own.
type Stats struct {
	Stream string
	Counts
	Reshards int64 // times the shards were found to have changed

	Pending      int           // events enqueued and neither in the stream nor failed
	PendingBytes int           // of these, encoded
	Waiting      int           // events that are not admitted yet, with their callers
	OldestAge    time.Duration // how long the oldest pending one has been waiting
	Shards       int           // open shards, as last known

	// PerShard is the same for each open shard, in the order of their hash keys.
	// What a shard did before it was closed is in the sums only.
	PerShard []ShardStats
}

// ShardStats is a snapshot of what concerns one shard.
type ShardStats struct {
	Shard string // the id
	Counts
	Pending      int
	PendingBytes int
	Waiting      int
	OldestAge    time.Duration
	// Rate is the limit that the shard is sent to under since it throttled: 1 is what
	// AWS documents, 1 MiB or 1,000 records a second. 0 is no limit, which it returns to
	// when there are no throttles for a while.
	Rate float64
	// Failing is what the last failed request said, empty after one that worked.
	Failing string
}

// Stats returns the numbers of now.
func (p *Publisher) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Stats{
		Stream: p.cfg.Stream, Counts: p.counted, Reshards: p.reshards,
		Pending: p.admission.inUse.events, PendingBytes: p.admission.inUse.bytes,
		Shards: len(p.writers), PerShard: make([]ShardStats, len(p.writers)),
	}
	now := time.Since(p.start)
	for i, sw := range p.writers {
		s.PerShard[i] = sw.statsLocked(now)
		s.Waiting += s.PerShard[i].Waiting
		s.OldestAge = max(s.OldestAge, s.PerShard[i].OldestAge)
	}
	return s
}

func (sw *shardWriter) statsLocked(now time.Duration) ShardStats {
	s := ShardStats{
		Shard: sw.shard.id, Counts: sw.counted,
		Pending: sw.pending.events, PendingBytes: sw.pending.bytes, Waiting: len(sw.waiters),
		Rate: sw.rateLimit,
	}
	if at := sw.oldestLocked(); at > 0 {
		s.OldestAge = now - at
	}
	if sw.last != nil {
		s.Failing = sw.last.Error()
	}
	return s
}

// countLocked adds to the counts of the shard and to those of the publisher.
func (sw *shardWriter) countLocked(add func(*Counts)) {
	add(&sw.counted)
	add(&sw.p.counted)
}

// count is countLocked for callers that do not hold Publisher.mu.
func (sw *shardWriter) count(add func(*Counts)) {
	sw.p.mu.Lock()
	defer sw.p.mu.Unlock()
	sw.countLocked(add)
}
