package worker

import (
	"context"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/migrate/control"
)

// liveness observes the heartbeats of the other workers.
type liveness struct {
	control *control.Store
	mu      sync.Mutex
	seen    map[string]sighting
	left    map[string]bool // workers that were in no list: no id is ever used again
	read    time.Time
}

type sighting struct {
	beat    int64
	since   time.Time
	lease   time.Duration
	process string
}

func newLiveness(c *control.Store) *liveness {
	return &liveness{control: c, seen: map[string]sighting{}, left: map[string]bool{}}
}

func (v *liveness) isDead(ctx context.Context, id string) (bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.refreshLocked(ctx, 200*time.Millisecond); err != nil {
		return false, err
	}
	s, known := v.seen[id]
	if !known && !v.left[id] { // it may have come since the list was read
		if err := v.refreshLocked(ctx, 0); err != nil {
			return false, err
		}
		if s, known = v.seen[id]; !known {
			v.left[id] = true
		}
	}
	return !known || time.Since(s.since) > s.lease || HasEnded(s.process) && time.Since(s.since) > Grace, nil
}

// refreshLocked reads the list of workers, unless it was read within a time.
func (v *liveness) refreshLocked(ctx context.Context, within time.Duration) error {
	if time.Since(v.read) < within {
		return nil
	}
	rows, err := v.control.Workers(ctx)
	if err != nil {
		return err
	}
	v.read = time.Now()
	now := map[string]sighting{}
	for _, r := range rows {
		s, known := v.seen[r.ID]
		if !known || s.beat != r.Beat {
			s = sighting{beat: r.Beat, since: v.read, lease: r.Lease, process: r.Process}
		}
		now[r.ID] = s
	}
	v.seen = now
	return nil
}
