package streams

import (
	"context"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// The conditions under which a batch is given up on, as the on-failure
// destination names them.
const (
	RetriesExhausted = "RetryAttemptsExhausted"
	AgeExceeded      = "RecordAgeExceeded"
)

// attempt is a batch, or what is left of one, that is to be tried.
type attempt struct {
	records  []Record
	retries  int // that were counted
	calls    int // of the function, with these records first
	failures int // in a row, for the pause
	last     Outcome
}

// delivery brings the batches of one lane to the function.
type delivery struct {
	shard       string
	lane        *lane
	settings    Settings
	pace        Pace
	invoker     Invoker
	destination Destination // nil: discarded batches are only counted
	status      *Status
	later       []Record // a duplicate that waits for the following batch
}

// run delivers batches until the lane is at its end or the context is.
func (d *delivery) run(ctx context.Context) {
	for {
		batch, err := d.lane.gather(ctx, d.settings.BatchSize, d.settings.Window)
		if err != nil || len(batch) == 0 {
			return
		}
		if d.deliver(ctx, batch) != nil {
			return
		}
	}
}

// deliver tries a batch until each of its records has succeeded or was given
// up on. The parts of a bisected batch are worked off in order.
func (d *delivery) deliver(ctx context.Context, batch []Record) error {
	todo := []attempt{{records: batch}}
	for len(todo) > 0 {
		a := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		next, err := d.try(ctx, a)
		if err != nil {
			return err
		}
		todo = append(todo, next...)
	}
	return nil
}

// try invokes the function once and returns what is left to be tried, the
// last first.
func (d *delivery) try(ctx context.Context, a attempt) ([]attempt, error) {
	a, err := d.dropExpired(ctx, a)
	if err != nil || len(a.records) == 0 {
		return nil, err
	}
	body := payload(a.records)
	if len(body) > MaxPayload {
		return nil, d.discard(ctx, a, a.records, RetriesExhausted)
	}
	out := d.invoker.Invoke(ctx, body)
	if out.Undelivered {
		d.status.problem(out.Reason)
		a.failures++
		return []attempt{a}, d.wait(ctx, a.failures-1)
	}
	a.calls++
	a.last = out
	failed := failures(out, a.records, d.settings.ReportFailures)
	if len(failed) == 0 {
		d.succeeded(ctx, a.records, out.Again)
		return nil, nil
	}
	d.status.problem(callFailed)
	return d.retry(ctx, a, failed[0]) // the lowest number is the checkpoint
}

const callFailed = "Function call failed"

func (d *delivery) succeeded(ctx context.Context, records []Record, again Again) {
	d.lane.advance(len(records))
	d.status.ok()
	if ctx.Err() != nil {
		return
	}
	if stale := d.later; stale != nil {
		d.later = nil
		d.invoker.Invoke(ctx, payload(stale))
	}
	if !again.Deliver {
		return
	}
	part := again.part(records)
	if again.Later {
		d.later = part
		return
	}
	d.invoker.Invoke(ctx, payload(part))
}

// retry decides what follows a failure at index failed.
//
// "Configuring partial batch response": where bisecting is on too, the batch is
// cut at the returned number and only what follows it is tried again. "Using
// Lambda to process records from Kinesis": splitting a batch does not count
// against the retry quota. Where the first record is the one that failed there
// is nothing to cut off, and the batch is split in half, so that the bad record
// gets isolated.
func (d *delivery) retry(ctx context.Context, a attempt, failed int) ([]attempt, error) {
	d.lane.advance(failed)
	rest := a
	rest.records = a.records[failed:]
	rest.failures++
	if d.settings.Bisect && failed > 0 {
		rest.failures = 0
		return []attempt{rest}, nil
	}
	if half := len(rest.records) / 2; d.settings.Bisect && half > 0 {
		first, second := rest, rest
		first.records, second.records = rest.records[:half], rest.records[half:]
		first.calls, second.calls, second.failures = 0, 0, 0
		return []attempt{second, first}, d.wait(ctx, 0)
	}
	if d.settings.Retries >= 0 && rest.retries >= d.settings.Retries {
		return nil, d.discard(ctx, rest, rest.records, RetriesExhausted)
	}
	rest.retries++
	return []attempt{rest}, d.wait(ctx, rest.failures-1)
}

// dropExpired gives up on the records at the front that are too old
// (CreateEventSourceMapping, MaximumRecordAgeInSeconds).
func (d *delivery) dropExpired(ctx context.Context, a attempt) (attempt, error) {
	if d.settings.MaxAge == 0 {
		return a, nil
	}
	n, now := 0, time.Now()
	for n < len(a.records) && now.Sub(a.records[n].Arrived) > d.settings.MaxAge {
		n++
	}
	if n == 0 {
		return a, nil
	}
	err := d.discard(ctx, a, a.records[:n], AgeExceeded)
	a.records = a.records[n:]
	return a, err
}

// sendAttempts is how often a destination is tried. Lambda documents no number;
// like it, the mapping goes on when the destination cannot be reached.
const sendAttempts = 5

// discard gives up on records, which the destination is told of.
func (d *delivery) discard(ctx context.Context, a attempt, records []Record, condition string) error {
	gone := Discarded{
		Shard: d.shard, Records: records, Condition: condition, Invocations: a.calls,
		RequestID: a.last.RequestID, Version: a.last.Version, FunctionError: a.last.FunctionError, At: time.Now(),
	}
	for n := 0; d.destination != nil; n++ {
		err := d.destination.Send(ctx, gone)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d.status.problem("the on-failure destination refused: " + err.Error())
		if n+1 == sendAttempts {
			break
		}
		if err := d.wait(ctx, n); err != nil {
			return err
		}
	}
	d.lane.advance(len(records))
	return nil
}

func (d *delivery) wait(ctx context.Context, n int) error { return backoff.Sleep(ctx, d.pace.pause(n)) }
