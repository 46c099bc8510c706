package outbox

import (
	"sync/atomic"
	"time"

	"github.com/banyan-fig/banyan/infra/mongostream"
)

// Status is how a relay is doing. Its counts are those of this process.
type Status struct {
	// Follower is the status of the change stream: the lease, the position as cluster
	// time, the lag, and the last error.
	Follower mongostream.Status
	// Published counts events that the publisher has kept, Bytes how large they
	// were.
	Published, Bytes int64
	// Swept counts those of them that the change stream had not shown.
	Swept int64
	// Refused counts events that were moved to the refused ones.
	Refused int64
	// Repeated counts entries that were published already when they were found, and
	// only removed from the database.
	Repeated int64
	// Stuck counts refusals of documents to be cleaned up.
	Stuck int64
	// Held counts attempts to publish an event that the publisher did not admit.
	Held int64
	// Sweeps counts whole sweeps, Postponed those for which the stream was too far
	// behind, and Recovered how often a new position was needed.
	Sweeps, Postponed, Recovered int64
	// Waiting is how many events are read and not yet published and cleaned up.
	Waiting int64
	// Oldest is how long ago, by the server's clock against ours, the first of them
	// was written; 0 when none waits.
	Oldest time.Duration
}

type counts struct {
	published, bytes, swept, refused, repeated, stuck, held atomic.Int64
	sweeps, postponed, recovered, waiting                   atomic.Int64
	oldest                                                  atomic.Int64 // UnixNano, 0 for none
}

func (c *counts) addWaiting(b *batch) { c.waiting.Add(int64(len(b.entries))) }

func (c *counts) removeWaiting(b *batch) { c.waiting.Add(-int64(len(b.entries))) }

// setOldest notes the batch at the front of the clean-up queue.
func (c *counts) setOldest(b *batch) {
	if b == nil || b.origin == nil {
		c.oldest.Store(0)
		return
	}
	c.oldest.Store(b.origin.wall.UnixNano())
}

// Status returns how the relay is doing now.
func (r *Relay) Status() Status {
	c := &r.counts
	s := Status{
		Follower:  r.follower.Status(),
		Published: c.published.Load(), Bytes: c.bytes.Load(), Swept: c.swept.Load(), Refused: c.refused.Load(),
		Repeated: c.repeated.Load(), Stuck: c.stuck.Load(), Held: c.held.Load(),
		Sweeps: c.sweeps.Load(), Postponed: c.postponed.Load(), Recovered: c.recovered.Load(), Waiting: c.waiting.Load(),
	}
	if at := c.oldest.Load(); at != 0 {
		s.Oldest = max(0, time.Since(time.Unix(0, at)))
	}
	return s
}
