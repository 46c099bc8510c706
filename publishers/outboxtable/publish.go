package outboxtable

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers"
)

// flight is one event of a round.
type flight struct {
	item    int // index of its item
	event   events.Event
	data    []byte
	receipt publishers.Receipt // nil for an event that was not enqueued
	err     error              // why
}

// publish publishes the events of items, in order, under the claim of the first. It
// returns how many items, from the front, are complete: each of their events is kept,
// or is a dead letter. An error says why that is not all
// of them; [ErrInFlight] if some may still arrive.
func (r *Relay) publish(ctx context.Context, items []stored, t *tally) (done int, err error) {
	flights := r.enqueue(ctx, items)
	for i := range flights {
		f := &flights[i]
		if f.err == nil {
			if err := r.awaitReceipt(ctx, items[0], f.receipt); err != nil {
				return 0, err
			}
			_, f.err = f.receipt.Wait(ctx)
		}
	}
	for _, f := range flights {
		if err := r.recordOutcome(ctx, items[f.item], f, t); err != nil {
			return f.item, err
		}
	}
	return len(items), nil
}

// enqueue hands the events to the publisher, up to the first that it refuses for a
// reason that is not permanent.
func (r *Relay) enqueue(ctx context.Context, items []stored) []flight {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Claim/2) // a full publisher must not outlast the claim
	defer cancel()
	var flights []flight
	for i, s := range items {
		for _, f := range flightsOf(i, s) {
			if f.err == nil {
				f.err = r.check(f.event)
			}
			if f.err == nil {
				f.receipt, f.err = r.cfg.Publisher.EnqueueEncoded(ctx, s.pk, f.data)
			}
			flights = append(flights, f)
			if f.err != nil && !r.permanent(f.err) {
				return flights
			}
		}
	}
	return flights
}

func (r *Relay) check(e events.Event) error {
	if r.cfg.Check == nil {
		return nil
	}
	return r.cfg.Check(e)
}

// flightsOf reads the events of an item. An item without any is one that cannot
// be read.
func flightsOf(index int, s stored) []flight {
	if len(s.events) == 0 {
		return []flight{{item: index, err: fmt.Errorf("%w: the item has no list of bytes in the attribute %s", events.ErrMalformed, attrEvents)}}
	}
	flights := make([]flight, len(s.events))
	for i, data := range s.events {
		f := flight{item: index, data: data}
		f.event, f.err = events.Decode(data)
		if f.err == nil && f.event.PartitionKey != s.pk {
			f.err = fmt.Errorf("%w: partitionkey: %q in an item of key %q", events.ErrMalformed, f.event.PartitionKey, s.pk)
		}
		flights[i] = f
	}
	return flights
}

func (r *Relay) permanent(err error) bool {
	return errors.Is(err, events.ErrMalformed) || r.cfg.Permanent(err)
}

// awaitReceipt waits for a receipt and renews the claim meanwhile.
func (r *Relay) awaitReceipt(ctx context.Context, first stored, receipt publishers.Receipt) error {
	select {
	case <-receipt.Done():
		return nil
	default:
	}
	renew := time.NewTicker(r.cfg.Claim / 3)
	defer renew.Stop()
	for renewed := time.Now(); ; {
		select {
		case <-receipt.Done():
			return nil
		case <-renew.C:
			err := r.claim(ctx, first)
			if errors.Is(err, errLost) || err != nil && time.Since(renewed) > r.cfg.Claim/2 {
				return fmt.Errorf("%w, and %w", ErrInFlight, err)
			}
			if err == nil {
				renewed = time.Now()
			}
		case <-ctx.Done():
			if _, err := receipt.Wait(ctx); errors.Is(err, ctx.Err()) {
				return fmt.Errorf("%w: %w", ErrInFlight, err) // which may say what the stream answered
			}
			return nil
		}
	}
}

// recordOutcome counts an event that is kept, and writes a dead letter of one that
// never will be.
func (r *Relay) recordOutcome(ctx context.Context, s stored, f flight, t *tally) error {
	switch {
	case f.err == nil:
		t.published++
		t.lags = append(t.lags, r.cfg.Now().Sub(s.at))
		return nil
	case !r.permanent(f.err):
		return fmt.Errorf("publish event %s: %w", f.event.ID, f.err)
	}
	err := r.cfg.DeadLetters.Put(ctx, DeadLetter{
		Table: r.cfg.Table, PartitionKey: s.pk, SortKey: s.sk, Event: f.event, Raw: f.data,
		Reason: f.err.Error(), Made: s.at, At: r.cfg.Now().UTC(),
	})
	if err != nil {
		return fmt.Errorf("write the dead letter of event %s (%w): %w", f.event.ID, f.err, err)
	}
	t.deadLetters++
	t.errs = append(t.errs, f.err)
	return nil
}
