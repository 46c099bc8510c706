package direct

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/publishers"
)

// ErrElsewhere is returned for events that another process has published: they are on the
// stream, at a position that is not known here.
var ErrElsewhere = errors.New("another process has published them")

// Outbox publishes events out of boxes. It is safe for concurrent use. Close it.
type Outbox struct {
	cfg       Config
	process   string
	ctx       context.Context // ends with the time of Close
	cancel    context.CancelFunc
	sweeping  context.Context
	endSweeps context.CancelFunc
	running   sync.WaitGroup
	removed   sync.WaitGroup // the remover
	queue     chan published

	mu     sync.Mutex
	closed bool
	known  map[entryKey]bool // in flight by this process (false), or published and not removed yet (true)

	published, recovered, claims atomic.Int64
}

type entryKey struct {
	box   Box
	place Place
	id    string
}

// published is an entry to remove.
type published struct {
	box   Box
	entry Entry
}

// New starts sweeping.
func New(cfg Config) (*Outbox, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	o := &Outbox{cfg: cfg.withDefaults(), process: newProcess(), queue: make(chan published, removalQueue), known: map[entryKey]bool{}}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	o.sweeping, o.endSweeps = context.WithCancel(o.ctx)
	o.removed.Go(o.runRemovals)
	if len(o.cfg.Boxes) > 0 {
		o.running.Go(o.runSweeps)
	}
	return o, nil
}

// Published is the number of events that this process has published.
func (o *Outbox) Published() int64 { return o.published.Load() }

// Recovered is how many of them were of writes whose process did not publish them.
func (o *Outbox) Recovered() int64 { return o.recovered.Load() }

// Publish publishes what a write has left in its box, behind what waited there before, and
// returns the position of its last event. Where it fails, or ctx ends first, the events are
// kept, and published by a sweep. A write that left nothing, as its effect was there before,
// has what waits published, whose position is that of the effect; ErrElsewhere where nothing
// waits, or not for long.
func (o *Outbox) Publish(ctx context.Context, w Write) (events.Position, error) {
	if w.Box == nil || len(w.Own)+len(w.Before) == 0 && !w.Unread {
		return events.Position{}, ErrElsewhere
	}
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		return events.Position{}, errors.New("publishers/direct: closed")
	}
	o.setLocked(w.Box, w.Own, false)
	type result struct {
		at  events.Position
		err error
	}
	done := make(chan result, 1)
	o.running.Go(func() {
		ctx, cancel := o.detach(ctx)
		defer cancel()
		at, err := o.publish(ctx, w)
		if err != nil {
			o.forget(w.Box, w.Own)
		}
		done <- result{at, err}
	})
	o.mu.Unlock()
	select {
	case r := <-done:
		return r.at, r.err
	case <-ctx.Done():
		return events.Position{}, fmt.Errorf("publish %d events: %w", len(w.Own), context.Cause(ctx))
	}
}

// detach bounds what goes on when its caller has gone.
func (o *Outbox) detach(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.cfg.Patience+o.cfg.Claim)
	stop := context.AfterFunc(o.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// publish publishes without a claim where nobody else can think of one yet.
func (o *Outbox) publish(ctx context.Context, w Write) (events.Position, error) {
	if w.Unread {
		waiting, err := w.Box.Waiting(ctx, w.Place)
		if err != nil {
			return events.Position{}, fmt.Errorf("look for earlier events: %w", err)
		}
		own := slices.IndexFunc(waiting, func(e Entry) bool { return contains(w.Own, e) })
		if w.Before = waiting; own >= 0 {
			w.Before = waiting[:own]
		}
	}
	before, err := o.awaitOthers(ctx, w)
	if err != nil {
		return events.Position{}, err
	}
	if len(w.Own) == 0 {
		if len(before) == 0 {
			return events.Position{}, ErrElsewhere
		}
		return o.takeOver(ctx, w.Box, before)
	}
	if len(before) == 0 && elapsed(w.Began) < o.cfg.Patience/2 {
		return o.publishAll(ctx, w.Box, w.Own, claim{w.Own[0], o.newClaimant()})
	}
	return o.takeOver(ctx, w.Box, w.Own)
}

// elapsed is by whichever clock says more: one stands still while a machine is suspended, the
// other can be set.
func elapsed(since time.Time) time.Duration {
	return max(time.Since(since), time.Now().Round(0).Sub(since.Round(0)))
}

// between is waited between two looks at a place.
var between = backoff.Backoff{Min: 3 * time.Millisecond, Max: 50 * time.Millisecond}

// awaitOthers waits until other processes have published what waited before a write, and
// returns what they have not within the patience.
func (o *Outbox) awaitOthers(ctx context.Context, w Write) ([]Entry, error) {
	left := o.unpublished(w.Box, w.Before)
	for attempt := 0; len(left) > 0 && time.Since(w.Began) < o.cfg.Patience; attempt++ {
		if err := between.Wait(ctx, attempt); err != nil {
			return nil, err
		}
		now, err := w.Box.Waiting(ctx, w.Place)
		if err != nil {
			return nil, fmt.Errorf("look for earlier events: %w", err)
		}
		left = slices.DeleteFunc(o.unpublished(w.Box, now), func(e Entry) bool { return !contains(w.Before, e) })
	}
	return left, nil
}

func contains(entries []Entry, e Entry) bool {
	return slices.ContainsFunc(entries, func(other Entry) bool { return other.ID == e.ID && other.Place == e.Place })
}

// claim is how a place is reserved: by the entry that waits there first, for somebody.
type claim struct {
	first    Entry
	claimant string
}

// newClaimant names a claimant that is no other, also within this process.
func (o *Outbox) newClaimant() string { return fmt.Sprintf("%s.%d", o.process, o.claims.Add(1)) }

// takeOver claims the place of some entries, and publishes everything up to the last of them.
func (o *Outbox) takeOver(ctx context.Context, box Box, own []Entry) (events.Position, error) {
	claimant := o.newClaimant()
	for attempt := 0; ; attempt++ {
		now, err := box.Waiting(ctx, own[0].Place)
		if err != nil {
			return events.Position{}, fmt.Errorf("look for earlier events: %w", err)
		}
		last := -1
		for i, e := range now {
			if contains(own, e) {
				last = i
			}
		}
		if last < 0 {
			return events.Position{}, ErrElsewhere
		}
		claimed, err := box.Claim(ctx, now[0], claimant, time.Now().Add(o.cfg.Claim))
		if err != nil {
			return events.Position{}, fmt.Errorf("claim the place of earlier events: %w", err)
		}
		if claimed {
			return o.publishAll(ctx, box, o.unpublished(box, now[:last+1]), claim{now[0], claimant})
		}
		if err := between.Wait(ctx, attempt); err != nil {
			return events.Position{}, fmt.Errorf("another process has claimed the place of earlier events: %w", err)
		}
	}
}

// unpublished leaves out what this process has published and not removed yet.
func (o *Outbox) unpublished(box Box, entries []Entry) (left []Entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range entries {
		if !o.known[entryKey{box, e.Place, e.ID}] {
			left = append(left, e)
		}
	}
	return left
}

// publishAll publishes entries, one event after the other, and has them removed.
func (o *Outbox) publishAll(ctx context.Context, box Box, entries []Entry, by claim) (last events.Position, err error) {
	for _, e := range entries {
		for _, event := range e.Events {
			receipt, err := o.cfg.Publisher.EnqueueEncoded(ctx, event.Key, event.Data)
			if err == nil {
				last, err = o.awaitReceipt(ctx, box, by, receipt)
			}
			if err != nil {
				return events.Position{}, fmt.Errorf("publish the event %s: %w", e.ID, err)
			}
			o.published.Add(1)
		}
		o.remove(box, e)
	}
	return last, nil
}

// awaitReceipt waits for a receipt, and keeps the place claimed where that takes long.
func (o *Outbox) awaitReceipt(ctx context.Context, box Box, by claim, receipt publishers.Receipt) (events.Position, error) {
	renew := time.NewTicker(min(o.cfg.Patience/3, o.cfg.Claim/3))
	defer renew.Stop()
	for {
		select {
		case <-receipt.Done():
			return receipt.Wait(ctx)
		case <-ctx.Done():
			return events.Position{}, context.Cause(ctx)
		case <-renew.C:
			if _, err := box.Claim(ctx, by.first, by.claimant, time.Now().Add(o.cfg.Claim)); err != nil {
				o.cfg.Log.WarnContext(ctx, "claim the place of an event that is on its way: failed", "event", by.first.ID, "error", err)
			}
		}
	}
}

func (o *Outbox) setLocked(box Box, entries []Entry, published bool) {
	for _, e := range entries {
		o.known[entryKey{box, e.Place, e.ID}] = published
	}
}

func (o *Outbox) forget(box Box, entries []Entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range entries {
		if key := (entryKey{box, e.Place, e.ID}); !o.known[key] {
			delete(o.known, key)
		}
	}
}

// Close ends the sweeping, waits until what is being published is, and removes it from the
// boxes, until ctx ends. What was not removed is published again by another process.
func (o *Outbox) Close(ctx context.Context) error {
	o.mu.Lock()
	again := o.closed
	o.closed = true
	o.mu.Unlock()
	if again {
		return nil
	}
	stop := context.AfterFunc(ctx, o.cancel)
	defer stop()
	o.endSweeps()
	o.running.Wait()
	close(o.queue)
	o.removed.Wait()
	o.cancel()
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := len(o.known); n > 0 {
		return fmt.Errorf("publishers/direct: %d published entries were not removed; another process publishes them again", n)
	}
	return nil
}
