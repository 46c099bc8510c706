package direct

import (
	"context"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
)

const (
	removalQueue   = 10_000
	mostRemovals   = 100 // at once
	removalTimeout = 5 * time.Second
	removalTries   = 5
)

var betweenRemovals = backoff.Backoff{Min: 10 * time.Millisecond, Max: time.Second}

// remove has a published entry removed soon. Of more than fit into the queue, a sweep has
// the rest removed.
func (o *Outbox) remove(box Box, e Entry) {
	o.mu.Lock()
	o.setLocked(box, []Entry{e}, true)
	o.mu.Unlock()
	select {
	case o.queue <- published{box, e}:
	default:
	}
}

func (o *Outbox) runRemovals() {
	for first := range o.queue {
		all, seen := map[Box][]Entry{}, map[entryKey]bool{}
		for _, p := range o.gather(first) {
			if key := (entryKey{p.box, p.entry.Place, p.entry.ID}); !seen[key] { // a sweep adds some again
				seen[key] = true
				all[p.box] = append(all[p.box], p.entry)
			}
		}
		for box, entries := range all {
			o.removeEntries(box, entries)
		}
	}
}

// gather waits a moment for entries to remove with the first.
func (o *Outbox) gather(first published) []published {
	over := time.NewTimer(o.cfg.Linger)
	defer over.Stop()
	all := []published{first}
	for len(all) < mostRemovals {
		select {
		case p, open := <-o.queue:
			if !open {
				return all
			}
			all = append(all, p)
		case <-over.C:
			return all
		}
	}
	return all
}

// removeEntries removes entries. What cannot be removed stays known, so that it is not
// published again by this process, and is tried again by its sweeps.
func (o *Outbox) removeEntries(box Box, entries []Entry) {
	var err error
	for attempt := range removalTries {
		ctx, cancel := context.WithTimeout(o.ctx, removalTimeout)
		err = box.Remove(ctx, entries)
		cancel()
		if err == nil {
			o.mu.Lock()
			for _, e := range entries {
				delete(o.known, entryKey{box, e.Place, e.ID})
			}
			o.mu.Unlock()
			return
		}
		if betweenRemovals.Wait(o.ctx, attempt) != nil {
			break
		}
	}
	o.cfg.Log.Warn("published events were not removed from where they waited; it is retried", "entries", len(entries), "error", err)
}
