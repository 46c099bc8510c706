package kinesis

import "time"

// Stats is a snapshot for metrics. Counts are since the start.
type Stats struct {
	Events    int64 // in the stream
	Bytes     int64 // of these events, encoded
	Failed    int64 // events given up with an error
	Records   int64 // Kinesis records that carry them, repeats included
	Requests  int64 // PutRecords sent
	Retries   int64 // records sent again
	Throttles int64 // records and requests refused for going too fast
	Doubts    int64 // requests of which the outcome stayed unknown
	Misplaced int64 // events sent again because they landed in the wrong shard
	Reshards  int64 // times the lanes were cut anew

	Pending      int           // events taken in and not settled
	PendingBytes int           // of these, encoded
	OldestAge    time.Duration // how long the oldest of these has been waiting
	Shards       int           // open shards, as last known
}

// Stats returns the numbers of now.
func (p *Publisher) Stats() Stats {
	pending, bytes := p.gate.inUse()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.counted
	s.Pending, s.PendingBytes, s.Shards = pending, bytes, len(p.lanes)
	for _, l := range p.lanes {
		if at := l.oldestAt(); !at.IsZero() {
			s.OldestAge = max(s.OldestAge, time.Since(at))
		}
	}
	return s
}
