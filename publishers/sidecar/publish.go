package sidecar

import (
	"context"
	"errors"
	"fmt"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers"
)

// kept is where an event is stored.
type kept string

const (
	keptNo      kept = "no"
	keptUnknown kept = "unknown"
	keptStream  kept = "stream"
	keptSpool   kept = "spool"
)

// publish enqueues the items in order and waits for their outcomes.
// It stops at the first that is not enqueued, so that none overtakes it. The error is
// that of the first item that is not kept.
func (h *Handler) publish(ctx context.Context, items []item) error {
	var receipts []publishers.Receipt
	for i := range items {
		r, err := h.cfg.Publisher.EnqueueEncoded(ctx, items[i].key, items[i].data)
		if err != nil {
			items[i].err = h.explainRejection(err)
			break
		}
		receipts = append(receipts, r)
	}
	for i, r := range receipts {
		items[i].pos, items[i].err = r.Wait(ctx)
		items[i].recordOutcome(h)
	}
	for i := range items {
		if items[i].err != nil {
			return items[i].err
		}
	}
	return nil
}

func (h *Handler) explainRejection(err error) error {
	if permanent := h.permanent(err); permanent != nil {
		return permanent
	}
	return fmt.Errorf("%w: %w", errNotKept, err)
}

// recordOutcome classifies the outcome of waiting. After an error that is not caused by the
// event, it is unknown whether the event was sent.
func (it *item) recordOutcome(h *Handler) {
	switch {
	case it.err == nil && it.pos.IsZero():
		it.kept = keptSpool
	case it.err == nil:
		it.kept = keptStream
	case h.permanent(it.err) != nil:
		it.err = h.permanent(it.err)
	default:
		it.kept = keptUnknown
		it.err = fmt.Errorf("%w: %w", errUnknown, it.err)
	}
}

// permanent returns err as the error of an event that no retry will publish, nil if a retry may.
func (h *Handler) permanent(err error) error {
	switch {
	case errors.Is(err, errTooLarge), errors.Is(err, events.ErrMalformed):
		return err
	case h.cfg.TooLarge(err):
		return fmt.Errorf("%w: %w", errTooLarge, err)
	}
	return nil
}
