package changestream

import (
	"github.com/banyan-fig/banyan/infra/mongostream"
)

// Status is how a publisher is doing. The counts are those of this process.
type Status struct {
	// Follower has position, lag, what is in flight, and the last error.
	Follower mongostream.Status
	// Published counts events that are kept by the stream or the spool.
	Published int64
	// Ignored counts changes that no rule matches.
	Ignored int64
	// Skipped counts changes that a rule skipped:
	// those of documents that lack a field, or are deleted.
	Skipped int64
	// Refused counts dead letters.
	Refused int64
	// HistoryLost counts how often the position was no longer in the oplog and a
	// new snapshot began.
	HistoryLost int64
	// Snapshot is the one that is running, or the last one.
	Snapshot SnapshotStatus
}

// SnapshotStatus is the progress of a snapshot.
type SnapshotStatus struct {
	ID         string // correlation id of its events; "" when there was none
	Running    bool
	Collection string // being read
	Documents  int64  // published so far, over all restarts
}

// Status returns how the publisher is doing now.
func (p *Publisher) Status() Status {
	p.mu.Lock()
	st, f := p.status, p.follower
	p.mu.Unlock()
	st.Follower = mongostream.Status{Name: p.cfg.Name, Lag: -1}
	if f != nil {
		st.Follower = f.Status()
	}
	return st
}

func (p *Publisher) counted(change func(*Status)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.status)
}
