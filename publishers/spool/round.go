package spool

import (
	"context"
	"errors"
	"sync"

	"github.com/banyan-fig/banyan/publishers"
)

// flight is an event in flight, or one that will never be.
type flight struct {
	number  uint64
	key     string
	receipt publishers.Receipt
	refused error // instead of a receipt
}

// round sends events from d.next on, with so many in flight. It returns the
// first failure, after everything in flight is completed; nil when ctx ended, or
// when a window of 1 has enqueued its one event.
func (d *drain) round(ctx context.Context, window int) error {
	sending, stop := context.WithCancel(ctx)
	defer stop()
	// One more is with awaitReceipts, and one with send.
	r := &round{drain: d, window: window, next: d.next, flights: make(chan flight, max(window-2, 0)), keys: newKeys(d.s.cfg.PerKey)}
	var sender sync.WaitGroup
	sender.Go(func() {
		defer close(r.flights)
		r.sendErr = r.send(sending)
	})
	err := r.awaitReceipts(ctx, stop)
	sender.Wait()
	if err == nil && !errors.Is(r.sendErr, context.Canceled) {
		err = r.sendErr
	}
	return err
}

// round is the part of a drain between two failures.
type round struct {
	drain   *drain
	window  int
	next    uint64 // to be read
	flights chan flight
	keys    *keys
	sendErr error
}

// send reads events from the file and enqueues them until something fails.
func (r *round) send(ctx context.Context) error {
	for ctx.Err() == nil {
		records, err := r.drain.s.read(r.next)
		if err != nil {
			return err
		}
		for _, rec := range records {
			if err := r.sendOne(ctx, rec); err != nil {
				return err
			}
			r.next = rec.number + 1
			if r.window == 1 {
				return nil
			}
		}
		if len(records) == 0 {
			select {
			case <-r.drain.s.arrived:
			case <-ctx.Done():
			}
		}
	}
	return nil
}

// sendOne enqueues one event; after an error the event has to be sent again. What the publisher
// has enqueued always reaches awaitReceipts.
func (r *round) sendOne(ctx context.Context, rec readRecord) error {
	if rec.err != nil {
		r.drain.s.inFlight.Add(1)
		r.flights <- flight{number: rec.number, refused: rec.err}
		return nil
	}
	if err := ctx.Err(); err != nil { // it may have ended while the window was full
		return err
	}
	key := string(rec.key)
	if err := r.keys.acquire(ctx, key); err != nil {
		return err
	}
	receipt, err := r.drain.to.EnqueueEncoded(ctx, key, rec.data)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return ctx.Err()
	case r.drain.s.cfg.Permanent(err):
		r.keys.release(key)
	default:
		return err
	}
	r.drain.s.inFlight.Add(1)
	r.flights <- flight{rec.number, key, receipt, err}
	return nil
}

// awaitReceipts waits for receipts in order. After the first failure the others only
// have to complete: their events are sent again.
func (r *round) awaitReceipts(ctx context.Context, stop context.CancelFunc) (failure error) {
	grace, release := r.drain.s.graceAfter(ctx)
	defer release()
	for f := range r.flights {
		err := f.refused
		if err == nil {
			_, err = f.receipt.Wait(grace)
		}
		r.drain.s.inFlight.Add(-1)
		if failure != nil {
			continue
		}
		if failure = r.drain.recordOutcome(f, err, grace); failure != nil {
			stop()
			continue
		}
		if f.refused == nil {
			r.keys.release(f.key)
		}
	}
	return failure
}

// recordOutcome notes what became of an event, or returns why it has to be sent again.
func (d *drain) recordOutcome(f flight, err error, grace context.Context) error {
	switch {
	case err == nil:
		d.noteDone(f.number, "")
	case f.refused != nil, grace.Err() == nil && d.s.cfg.Permanent(err):
		d.noteDone(f.number, err.Error())
	default:
		return err
	}
	return nil
}

// keys bounds how many events of one key are in flight.
type keys struct {
	most  int
	mu    sync.Mutex
	now   map[string]int
	freed chan struct{} // holds a token after a release
}

// newKeys returns nil, which bounds nothing, for 0.
func newKeys(most int) *keys {
	if most == 0 {
		return nil
	}
	return &keys{most: most, now: make(map[string]int), freed: make(chan struct{}, 1)}
}

// acquire waits until fewer than most events of key are in flight. Only one goroutine may call it.
func (k *keys) acquire(ctx context.Context, key string) error {
	for !k.tryAcquire(key) {
		select {
		case <-k.freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (k *keys) tryAcquire(key string) bool {
	if k == nil {
		return true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now[key] >= k.most {
		return false
	}
	k.now[key]++
	return true
}

func (k *keys) release(key string) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now[key]--; k.now[key] == 0 {
		delete(k.now, key)
	}
	signal(k.freed)
}
