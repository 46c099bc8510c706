package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/consumers/archive"
	"github.com/banyan-fig/banyan/infra/backoff"
)

// Invoker is the function that is invoked, see [Function.Invoke].
type Invoker interface {
	Invoke(ctx context.Context, payload []byte, sequences []string) (done int, err error)
}

// Replay delivers records to a function.
type Replay struct {
	// Function that is invoked. nil for a dry run: events are counted, and nothing is invoked.
	Function Invoker
	// StreamARN is that of the stream, for the records.
	StreamARN string
	// Keep reports whether an event is replayed. nil: all are.
	Keep func(archive.Event) bool
	// Batch is how many records are delivered together, and then noted; 6 MB at most. 0: 1000.
	Batch int
	// Rate is how many events a second are delivered. 0: without a limit.
	Rate float64
	// Retries is how often a batch is delivered again of which nothing could be done, before
	// the replay ends with an error; a batch is never left out. 0: without a limit.
	Retries int
	// Delay between the attempts. Zero: from 200 ms to 30 s.
	Delay backoff.Backoff
	// Failed is called with each attempt that failed. May be nil. It is called by several
	// goroutines.
	Failed func(error)
}

// ErrTooLarge is returned for a record that does not fit into an invocation, as it does not in
// one of a mapping.
var ErrTooLarge = errors.New("the record does not fit into the 6 MB that a function is invoked with")

// Run delivers everything that a cursor gives. It moves p, and calls note with a copy of it after
// each part, so that it can be kept; a run that begins there delivers that part again only if
// it was not noted.
func (r *Replay) Run(ctx context.Context, cursor archive.Cursor, p *Progress, note func(Progress) error) error {
	w := &window{replay: r, cursor: cursor}
	for {
		began := time.Now()
		if err := w.fill(ctx); err != nil {
			return err
		}
		if w.read == 0 {
			return nil
		}
		if r.Function != nil {
			if err := r.deliver(ctx, w.batch); err != nil {
				return fmt.Errorf("after %d events, through %s: %w", p.Events, p.Through.Format(time.RFC3339), err)
			}
		}
		w.note(p)
		if err := note(p.clone()); err != nil {
			return err
		}
		if r.Rate > 0 {
			pace := time.Duration(float64(w.events()) / r.Rate * float64(time.Second))
			if err := backoff.Sleep(ctx, pace-time.Since(began)); err != nil {
				return err
			}
		}
	}
}

// window is what is delivered together.
type window struct {
	replay  *Replay
	cursor  archive.Cursor
	pending *archive.Record // which did not fit into the one before

	batch   []delivered
	last    map[string]string
	through time.Time
	read    int // records
	skipped int // events
}

func (w *window) fill(ctx context.Context) error {
	w.batch, w.read, w.skipped, w.last, w.through = nil, 0, 0, map[string]string{}, time.Time{}
	size := 0
	for most := cmp.Or(w.replay.Batch, 1000); w.read < most; {
		record, err := w.nextRecord(ctx)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		all, more, events := w.replay.prepare(record), 0, 0
		for _, d := range all {
			more, events = more+d.size(), events+d.events
		}
		if size += more; size > maxPayload {
			if w.read > 0 {
				w.pending = &record
				return nil
			}
			return fmt.Errorf("%s %s: %w", record.Shard, record.Sequence, ErrTooLarge)
		}
		w.batch = append(w.batch, all...)
		w.last[record.Shard] = record.Sequence
		w.read, w.skipped = w.read+1, w.skipped+len(record.Events)-events
		if record.Arrived.After(w.through) {
			w.through = record.Arrived
		}
	}
	return nil
}

func (w *window) nextRecord(ctx context.Context) (archive.Record, error) {
	if r := w.pending; r != nil {
		w.pending = nil
		return *r, nil
	}
	return w.cursor.Next(ctx)
}

func (w *window) events() (n int) {
	for _, d := range w.batch {
		n += d.events
	}
	return n
}

func (w *window) note(p *Progress) {
	for shard, sequence := range w.last {
		p.After[shard] = sequence
	}
	p.Records += len(w.batch)
	p.Events += w.events()
	p.Skipped += w.skipped
	if w.through.After(p.Through) {
		p.Through = w.through
	}
}

// deliver delivers each shard's records in order, and those of shards that were open at the
// same time, which excludes that one is the parent of another, at the same time.
func (r *Replay) deliver(ctx context.Context, batch []delivered) error {
	groups := byShard(batch)
	for len(groups) > 0 {
		n, least := 1, groups[0].last
		for n < len(groups) && groups[n].first.Before(least) {
			if groups[n].last.Before(least) {
				least = groups[n].last
			}
			n++
		}
		work, ctx := errgroup.WithContext(ctx)
		for _, g := range groups[:n] {
			work.Go(func() error { return r.deliverGroup(ctx, g.batch) })
		}
		if err := work.Wait(); err != nil {
			return err
		}
		groups = groups[n:]
	}
	return nil
}

var defaultDelay = backoff.Backoff{Min: 200 * time.Millisecond, Max: 30 * time.Second}

// deliverGroup returns when all is done.
func (r *Replay) deliverGroup(ctx context.Context, batch []delivered) error {
	delay := r.Delay
	if delay.Min == 0 {
		delay = defaultDelay
	}
	for attempt := 0; len(batch) > 0; {
		body, sequences, err := payload(batch)
		if err != nil {
			return err
		}
		done, err := r.Function.Invoke(ctx, body, sequences)
		if errors.Is(err, errPermanent) || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if batch = batch[done:]; len(batch) == 0 {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("record %s failed", batch[0].record.EventID)
		}
		if r.Failed != nil {
			r.Failed(err)
		}
		if attempt++; done > 0 {
			attempt = 0
		}
		if r.Retries > 0 && attempt > r.Retries {
			return fmt.Errorf("%s failed %d times: %w", batch[0].record.EventID, attempt, err)
		}
		if err := delay.Wait(ctx, attempt); err != nil {
			return err
		}
	}
	return nil
}
