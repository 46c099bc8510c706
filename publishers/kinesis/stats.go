package kinesis

import "time"

// Counts are what happened since the start.
type Counts struct {
	Events    int64 // in the stream
	Bytes     int64 // of these events, encoded
	Failed    int64 // events given up with an error
	Records   int64 // Kinesis records that carry them, repeats included
	Requests  int64 // PutRecords sent
	Retries   int64 // records sent again
	Throttles int64 // records and requests refused for going too fast
	Doubts    int64 // requests of which the outcome stayed unknown
	Refused   int64 // requests refused as a whole, such as for missing rights
	Misplaced int64 // events sent again because they landed in the wrong shard
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
	Reshards int64 // times the lanes were cut anew

	Pending      int           // events taken in and not settled
	PendingBytes int           // of these, encoded
	Waiting      int           // events that wait for a place, with their callers
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
	// Rate is how fast the shard is sent to since it throttled: 1 is what one
	// takes by the documentation, 1 MiB or 1,000 records a second. 0 is no limit,
	// which it comes back to when it goes well.
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
		Pending: p.gate.inUse.events, PendingBytes: p.gate.inUse.bytes,
		Shards: len(p.lanes), PerShard: make([]ShardStats, len(p.lanes)),
	}
	now := time.Since(p.start)
	for i, l := range p.lanes {
		s.PerShard[i] = l.stats(now)
		s.Waiting += s.PerShard[i].Waiting
		s.OldestAge = max(s.OldestAge, s.PerShard[i].OldestAge)
	}
	return s
}

// stats needs Publisher.mu.
func (l *lane) stats(now time.Duration) ShardStats {
	s := ShardStats{
		Shard: l.shard.id, Counts: l.counted,
		Pending: l.use.events, PendingBytes: l.use.bytes, Waiting: len(l.waiters),
		Rate: l.rate,
	}
	if at := l.oldestAt(); at > 0 {
		s.OldestAge = now - at
	}
	if l.last != nil {
		s.Failing = l.last.Error()
	}
	return s
}

// count needs Publisher.mu.
func (l *lane) count(add func(*Counts)) {
	add(&l.counted)
	add(&l.p.counted)
}

// tell is count for who does not have Publisher.mu.
func (l *lane) tell(add func(*Counts)) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	l.count(add)
}
