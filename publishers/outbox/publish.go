package outbox

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/publishers"
)

// errTransient marks errors that a retry may not meet.
var errTransient = errors.New("will be retried")

// transient marks err as one to retry, unless the server refuses the operation for
// bad values, missing rights or unknown commands.
func transient(err error) error {
	if err == nil || errors.Is(err, errTransient) || errors.Is(err, errUnwritable) {
		return err
	}
	if mongoerr.HasCode(err, mongoerr.BadValue, mongoerr.FailedToParse, mongoerr.Unauthorized, mongoerr.TypeMismatch,
		mongoerr.AuthenticationFailed, mongoerr.CommandNotFound, mongoerr.InvalidOptions) {
		return err
	}
	return fmt.Errorf("%w: %w", errTransient, err)
}

// errBehind is the reason for keeping an event that a sweep has published.
var errBehind = fmt.Errorf("%w: an earlier event was not published, so both will be published again, in order", errTransient)

// sweepRun is what the entries of one sweep have in common; the cleaner's own.
type sweepRun struct{ failed bool }

// batch holds the entries of one document, from the publisher to the clean-up. The
// position waits for it.
type batch struct {
	origin  *origin
	entries []*flight
	broken  error // not all of it was enqueued
	err     error
	done    chan struct{} // closed when err is final

	sweep   *sweepRun // nil for what the stream had
	decided bool      // outcome is known
	outcome error
}

// flight is one entry in flight.
type flight struct {
	entry
	receipt  publishers.Receipt // nil for what was refused at once
	repeated bool               // the receipt is that of an earlier one of the same event
	refusal  error              // why it is moved to the refused ones
	stays    bool               // it is refused, and cannot be moved to the refused ones
}

// wait is a mongostream.Ack.
func (b *batch) wait(ctx context.Context) error {
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// countNew counts what was not known before.
func (b *batch) countNew() (n int64) {
	for _, p := range b.entries {
		if !p.repeated {
			n++
		}
	}
	return n
}

func (b *batch) complete(err error) {
	b.err = err
	close(b.done)
}

// publish enqueues entries. One that is known already shares the receipt of the earlier
// one: it is removed from the database when that is published. The batch is nil if
// there is nothing.
func (r *Relay) publish(ctx context.Context, o *origin, found []bson.RawValue, sweep *sweepRun) (*batch, error) {
	r.publishing.Lock()
	defer r.publishing.Unlock()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	b := &batch{origin: o, sweep: sweep, done: make(chan struct{})}
	first := o.number
	for i, raw := range found {
		o.number = first + i
		p := &flight{}
		if p.entry, p.refusal = parseEntry(raw, o); p.refusal == nil {
			if b.broken = r.publishEntry(ctx, p); b.broken != nil {
				break
			}
		}
		b.entries = append(b.entries, p)
	}
	if len(b.entries) == 0 {
		return nil, b.broken
	}
	if err := r.enqueueCleanUp(ctx, b); err != nil {
		return nil, err
	}
	return b, b.broken
}

// publishEntry sets the receipt or the refusal of an event.
func (r *Relay) publishEntry(ctx context.Context, p *flight) (err error) {
	if p.receipt, p.repeated = r.known.Get(p.known); p.repeated {
		r.counts.repeated.Add(1)
		return nil
	}
	if p.receipt, err = r.enqueue(ctx, p); p.receipt != nil {
		r.known.Add(p.known, p.receipt)
	}
	return err
}

// enqueue retries while the publisher admits nothing; nothing else is published
// meanwhile, so the order stays. An event that it never admits is refused.
func (r *Relay) enqueue(ctx context.Context, p *flight) (publishers.Receipt, error) {
	for attempt := 0; ; attempt++ {
		receipt, err := r.cfg.Publisher.EnqueueEncoded(ctx, p.key, p.data)
		switch {
		case err == nil:
			return receipt, nil
		case r.cfg.Permanent(err):
			p.refusal = err
			return nil, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		}
		r.counts.held.Add(1)
		r.cfg.Log.Warn("the publisher admits no events", "relay", r.cfg.Name, "error", err)
		if err := retryDelay.Wait(ctx, attempt); err != nil {
			return nil, err
		}
	}
}

// enqueueCleanUp waits while the window is full.
func (r *Relay) enqueueCleanUp(ctx context.Context, b *batch) error {
	select {
	case r.queue <- b:
		r.counts.addWaiting(b)
		return nil
	case <-ctx.Done():
		r.lost.Store(true)
		return context.Cause(ctx)
	}
}

// awaitPublished waits for all of a batch and separates what was refused. The first
// transient error is returned: then none of the batch is cleaned up.
func (r *Relay) awaitPublished(ctx context.Context, b *batch) error {
	if !b.decided {
		b.outcome, b.decided = r.outcomeOf(ctx, b), true
	}
	if b.outcome == nil && b.sweep != nil && b.sweep.failed {
		b.outcome = errBehind
	}
	return b.outcome
}

func (r *Relay) outcomeOf(ctx context.Context, b *batch) error {
	failure := b.broken
	for _, p := range b.entries {
		if p.receipt == nil {
			continue
		}
		_, err := p.receipt.Wait(ctx)
		switch {
		case err == nil && p.repeated:
		case err == nil:
			r.counts.published.Add(1)
			r.counts.bytes.Add(int64(len(p.data)))
		case r.cfg.Permanent(err):
			p.refusal = err
			r.known.Remove(p.known) // it may be redriven
		case failure == nil:
			failure = fmt.Errorf("%w: %w", errTransient, err)
		}
	}
	return failure
}
