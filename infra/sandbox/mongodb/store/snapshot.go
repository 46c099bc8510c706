package store

import (
	"slices"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// maxSnapshots is how many past states of a collection are kept for readers who
// come back to the same cluster time.
const maxSnapshots = 4

// asOf is the collection as it was at a cluster time: a clone of what is there
// now with the later oplog entries undone. It needs the write lock.
func (e *Engine) asOf(c *Collection, at Timestamp) (*contents, error) {
	if err := e.reachable(at); err != nil {
		return nil, err
	}
	c.snapshots = slices.DeleteFunc(c.snapshots, func(s snapshot) bool { return e.reachable(s.at) != nil })
	for _, s := range c.snapshots {
		if s.at == at {
			return s.data, nil
		}
	}
	if c.since.Compare(at) > 0 {
		return nil, failure.New(failure.SnapshotUnavailable,
			"Unable to read from a snapshot due to pending collection catalog changes; collection %s had another name or did not exist at "+
				"Timestamp(%d, %d)", c.NS, at.T, at.I)
	}
	data := c.data.clone()
	first := e.log.after(Position{At: at, Index: ^uint32(0)})
	for i := len(e.log.entries) - 1; i >= first; i-- {
		if entry := e.log.entries[i]; entry.UUID == c.UUID {
			data.undo(entry)
		}
	}
	c.snapshots = append(c.snapshots, snapshot{at, data})
	if len(c.snapshots) > maxSnapshots {
		c.snapshots = c.snapshots[1:]
	}
	return data, nil
}

func (e *Engine) reachable(at Timestamp) error {
	oldest := e.clock.T - uint32(e.cfg.History/time.Second)
	if at.Compare(e.log.lost.At) < 0 || at.T < oldest {
		return failure.New(failure.SnapshotTooOld, "Read timestamp Timestamp(%d, %d) is older than the oldest available timestamp.", at.T, at.I)
	}
	if at.Compare(e.clock) > 0 {
		return failure.New(failure.InvalidOptions, "readConcern atClusterTime value must not be greater than the current clusterTime. "+
			"Requested clusterTime: Timestamp(%d, %d)", at.T, at.I)
	}
	return nil
}

// undo takes back one entry. Unique indexes are not asked: the state before was
// legal, the way there need not be.
func (c *contents) undo(e *Entry) {
	switch e.Kind {
	case Inserted:
		if r := c.byID(value.Field(e.Key, "_id")); r != nil {
			c.remove(r)
		}
	case Updated, Replaced:
		if r := c.byID(value.Field(e.Key, "_id")); r != nil {
			c.swap(r, &record{r.id, e.Before})
		}
	case Deleted:
		c.put(&record{e.record, e.Before})
	}
}
