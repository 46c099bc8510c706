package measure

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/banyan-fig/banyan/infra/figures"
	"github.com/banyan-fig/banyan/publishers/kinesis"
)

// allocations counts what a caller allocates while nothing is sent: the linger
// has not passed and no aggregate is full, so nothing else runs.
func (r *run) allocations(ctx context.Context) error {
	for _, c := range []struct {
		name    string
		enqueue func(context.Context, *ordered, int) error
		target  float64
	}{
		{caseAggregated, encoded, 0},
		{caseEnvelope, enveloped, 1}, // the encoded event
	} {
		if !r.wants(c.name) {
			continue
		}
		n, err := r.callerAllocations(ctx, c.enqueue)
		if err != nil {
			return fmt.Errorf("allocations of %s: %w", c.name, err)
		}
		r.report(figures.Median(r.name(c.name), metricAllocations, []float64{n}).Within(figures.AtMost, c.target+sharedAllocations))
	}
	return nil
}

// sharedAllocations is an event's part of memory for hundreds of events at once.
const sharedAllocations = 0.05

const (
	largestRecord  = 1 << 20
	mostAllocCalls = 4000
	envelopeAtMost = 1000 // bytes around a payload
	lingering      = time.Minute
)

func (r *run) callerAllocations(ctx context.Context, enqueue func(context.Context, *ordered, int) error) (float64, error) {
	o, err := newOrdered(ctx, kinesis.Config{
		Client: newClient(r.Endpoint), Stream: streamOne, Linger: lingering, AggregateBytes: largestRecord,
	}, r.load, enqueue)
	if err != nil {
		return 0, err
	}
	defer o.close(ctx)
	calls := min(mostAllocCalls, largestRecord/(r.load.size+envelopeAtMost))
	var mallocs uint64
	for round := range r.Rounds + 1 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range calls {
			if err := o.enqueue(ctx, o, i); err != nil {
				return 0, err
			}
		}
		runtime.ReadMemStats(&after)
		if round > 0 { // the first makes what the others use again
			mallocs += after.Mallocs - before.Mallocs
		}
		if err := o.p.Flush(ctx); err != nil {
			return 0, err
		}
	}
	return float64(mallocs) / float64(calls*r.Rounds), nil
}
