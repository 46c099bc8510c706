package sidecar

import (
	"context"
	"errors"
	"fmt"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers"
)

// kept says where an event is.
type kept string

const (
	keptNo      kept = "no"
	keptUnknown kept = "unknown"
	keptStream  kept = "stream"
	keptSpool   kept = "spool"
)

// publish hands the items over in their order and waits for what becomes of them.
// The first that is not enqueued ends it, so that none overtakes it. The error is
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

// recordOutcome says what the outcome of waiting means. An error that does not blame the
// event leaves open whether it was sent before.
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

// permanent is err as one that repeating does not cure, nil if it might.
func (h *Handler) permanent(err error) error {
	switch {
	case errors.Is(err, errTooLarge), errors.Is(err, events.ErrMalformed):
		return err
	case h.cfg.TooLarge(err):
		return fmt.Errorf("%w: %w", errTooLarge, err)
	}
	return nil
}
