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
	receipt publishers.Receipt // nil for an event that was not taken in
	err     error              // why
}

// publish brings the events of items to the stream, in order, under the claim of
// the first. It returns how many items, from the front, are done with: each of
// their events is kept, or is a dead letter. An error says why that is not all
// of them; [ErrInFlight] if some may still arrive.
func (r *Relay) publish(ctx context.Context, items []stored, t *tally) (done int, err error) {
	flights := r.launch(ctx, items)
	for i := range flights {
		f := &flights[i]
		if f.err == nil {
			if err := r.await(ctx, items[0], f.receipt); err != nil {
				return 0, err
			}
			_, f.err = f.receipt.Wait(ctx)
		}
	}
	for _, f := range flights {
		if err := r.settle(ctx, items[f.item], f, t); err != nil {
			return f.item, err
		}
	}
	return len(items), nil
}

// launch hands the events to the publisher, up to the first that it does not
// take for a reason that passes.
func (r *Relay) launch(ctx context.Context, items []stored) []flight {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Claim/2) // a full publisher must not outlast the claim
	defer cancel()
	var flights []flight
	for i, s := range items {
		for _, f := range flightsOf(i, s) {
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

// await waits for a receipt and renews the claim meanwhile.
func (r *Relay) await(ctx context.Context, first stored, receipt publishers.Receipt) error {
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
				return fmt.Errorf("%w: %w", ErrInFlight, err) // which may tell what the stream says
			}
			return nil
		}
	}
}

// settle counts an event that is kept and parks one that never will be.
func (r *Relay) settle(ctx context.Context, s stored, f flight, t *tally) error {
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
		return fmt.Errorf("park event %s (%w): %w", f.event.ID, f.err, err)
	}
	t.parked++
	t.errs = append(t.errs, f.err)
	return nil
}
