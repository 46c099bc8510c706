package outbox

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/publishers"
)

// errAgain marks errors that another attempt may not see.
var errAgain = errors.New("will be tried again")

// Error codes of the server that another attempt does not change: bad values,
// missing rights, unknown commands.
var final = []int{2, 9, 13, 14, 18, 59, 72}

// again marks err unless it will not pass.
func again(err error) error {
	var server mongo.ServerError
	if err == nil || errors.Is(err, errAgain) || errors.Is(err, errUnwritable) {
		return err
	}
	if errors.As(err, &server) {
		for _, code := range final {
			if server.HasErrorCode(code) {
				return err
			}
		}
	}
	return fmt.Errorf("%w: %w", errAgain, err)
}

// errBehind is why an event stays that a sweep has published.
var errBehind = fmt.Errorf("%w: an event before it was not published, and both will be again, in order", errAgain)

// sweepRun is what the entries of one sweep have in common; the cleaner's own.
type sweepRun struct{ failed bool }

// batch is what one document brought, from the publisher to the clean-up. The
// position waits for it.
type batch struct {
	origin  *origin
	entries []*passage
	broken  error // it was not taken in whole
	err     error
	done    chan struct{} // closed when err is final

	sweep   *sweepRun // nil for what the stream told
	judged  bool      // outcome is known
	outcome error
}

// passage is one entry on its way.
type passage struct {
	entry
	receipt  publishers.Receipt // nil for what was refused at once
	repeated bool               // the receipt is that of an earlier one of the same event
	refusal  error              // why it is moved aside
	stays    bool               // it is refused and cannot be moved
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

// news counts what was not known before.
func (b *batch) news() (n int64) {
	for _, p := range b.entries {
		if !p.repeated {
			n++
		}
	}
	return n
}

func (b *batch) settle(err error) {
	b.err = err
	close(b.done)
}

// publish hands entries on. One that is known already has the fate of the earlier
// one: it is taken out of the database when that is published. The batch is nil if
// there is nothing.
func (r *Relay) publish(ctx context.Context, o *origin, found []bson.RawValue, sweep *sweepRun) (*batch, error) {
	b := &batch{origin: o, sweep: sweep, done: make(chan struct{})}
	first := o.number
	for i, raw := range found {
		o.number = first + i
		p := &passage{}
		if p.entry, p.refusal = parse(raw, o); p.refusal == nil {
			if b.broken = r.pass(ctx, p); b.broken != nil {
				break
			}
		}
		b.entries = append(b.entries, p)
	}
	if len(b.entries) == 0 {
		return nil, b.broken
	}
	if err := r.push(ctx, b); err != nil {
		return nil, err
	}
	return b, b.broken
}

// pass gives an event its receipt, or a refusal.
func (r *Relay) pass(ctx context.Context, p *passage) (err error) {
	if p.receipt, p.repeated = r.known.Get(p.known); p.repeated {
		r.counts.repeated.Add(1)
		return nil
	}
	if p.receipt, err = r.enqueue(ctx, p); p.receipt != nil {
		r.known.Add(p.known, p.receipt)
	}
	return err
}

// enqueue waits for a publisher that cannot take anything in now; nothing else is
// handed on meanwhile, so the order stays. An event that it never takes is refused.
func (r *Relay) enqueue(ctx context.Context, p *passage) (publishers.Receipt, error) {
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
		r.cfg.Log.Warn("the publisher takes no events in", "relay", r.cfg.Name, "error", err)
		if err := retryDelay.Wait(ctx, attempt); err != nil {
			return nil, err
		}
	}
}

// push hands a batch to the clean-up.
func (r *Relay) push(ctx context.Context, b *batch) error {
	select {
	case r.queue <- b:
		r.counts.enter(b)
		return nil
	case <-ctx.Done():
		r.lost.Store(true)
		return context.Cause(ctx)
	}
}

// published waits for all of a batch and sorts out what was refused. The first
// error that passes is returned: then none of the batch is cleaned up.
func (r *Relay) published(ctx context.Context, b *batch) error {
	if !b.judged {
		b.outcome, b.judged = r.judge(ctx, b), true
	}
	if b.outcome == nil && b.sweep != nil && b.sweep.failed {
		b.outcome = errBehind
	}
	return b.outcome
}

func (r *Relay) judge(ctx context.Context, b *batch) error {
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
			r.known.Remove(p.known) // it may be put back
		case failure == nil:
			failure = fmt.Errorf("%w: %w", errAgain, err)
		}
	}
	return failure
}
