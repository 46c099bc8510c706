package direct

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// sweepsAtOnce is how many places a sweep publishes out of at a time.
const sweepsAtOnce = 8

// runSweeps sweeps the boxes, with pauses that differ from those of other processes.
func (o *Outbox) runSweeps() {
	seen := map[entryKey]time.Time{}
	for {
		every := o.cfg.SweepEvery
		if backoff.Sleep(o.sweeping, every*3/4+rand.N(every/2+1)) != nil {
			return
		}
		now := map[entryKey]time.Time{}
		for _, box := range o.cfg.Boxes {
			err := o.sweep(o.sweeping, box, seen, now)
			if err != nil && o.sweeping.Err() == nil {
				o.cfg.Log.Error("look for events that were not published: failed; it is retried", "error", err)
			}
		}
		seen = now
	}
}

// sweep publishes what waits in a box for longer than the patience, as seen by this process:
// since when, by seen. It notes in now what it finds. No clock of another takes part.
func (o *Outbox) sweep(ctx context.Context, box Box, seen, now map[entryKey]time.Time) error {
	var g errgroup.Group
	g.SetLimit(sweepsAtOnce)
	err := box.Each(ctx, func(entries []Entry) error {
		var late []Entry
		for _, e := range entries {
			key := entryKey{box, e.Place, e.ID}
			since, before := seen[key]
			if !before {
				since = time.Now()
			}
			now[key] = since
			if time.Since(since) < o.cfg.Patience || !o.isOthers(box, e) {
				break // what is behind it is published behind it
			}
			late = append(late, e)
		}
		if len(late) > 0 {
			g.Go(func() error { return o.recover(ctx, box, late) })
		}
		return nil
	})
	return errors.Join(err, g.Wait())
}

// isOthers reports whether an entry is not this process's to publish, and has it removed
// once more where it is published.
func (o *Outbox) isOthers(box Box, e Entry) bool {
	o.mu.Lock()
	published, known := o.known[entryKey{box, e.Place, e.ID}]
	o.mu.Unlock()
	if published {
		o.remove(box, e)
	}
	return !known
}

// recover publishes entries that another process has left.
func (o *Outbox) recover(ctx context.Context, box Box, late []Entry) error {
	ctx, cancel := o.detach(ctx)
	defer cancel()
	_, err := o.takeOver(ctx, box, late)
	if errors.Is(err, ErrElsewhere) {
		return nil
	}
	if err == nil {
		o.recovered.Add(int64(len(late)))
		o.cfg.Log.Info("published events that another process had left", "place", late[0].Place, "entries", len(late))
	}
	return err
}
