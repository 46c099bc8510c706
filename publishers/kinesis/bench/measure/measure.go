package measure

import (
	"context"
	"fmt"
	"runtime"
	"slices"

	"github.com/banyan-fig/banyan/infra/figures"
)

// The metrics.
const (
	metricCPU          = "cpu_us_per_event"
	metricThroughput   = "events_per_second"
	metricToPutRecords = "cpu_ratio_to_putrecords"
	metricToUnordered  = "cpu_ratio_to_unordered"
	metricOthers       = "other_keys_throughput_ratio"
	metricAllocations  = "allocations_per_event_enqueued"
	metricAllAllocs    = "allocations_per_event_process"
)

// comparison is two ways that are run in turns.
type comparison struct {
	name   string // as in Options.Cases
	base   string
	way    string
	metric string
	target float64
}

func comparisons() []comparison {
	return []comparison{
		{caseAggregated, casePutRecords, caseAggregated, metricToPutRecords, 0.5},
		{casePlain, casePutRecords, casePlain, metricToPutRecords, 0},
		{caseEnvelope, casePutRecords, caseEnvelope, metricToPutRecords, 1},
		{caseCBOR, casePutRecords, caseCBOR, metricToPutRecords, 0.5},
		{caseBoth, casePutRecords, caseBoth, metricToPutRecords, 1},
		{caseUnordered, caseUnordered, caseAggregated, metricToUnordered, 1.1},
	}
}

// Run measures and hands each figure to report as soon as it is known. It fails
// when anything could not be published; a missed target is no failure.
func Run(ctx context.Context, o Options, report func(figures.Figure)) error {
	if err := o.Validate(); err != nil {
		return err
	}
	for _, size := range o.Sizes {
		l, err := newLoad(size, o.Keys)
		if err != nil {
			return err
		}
		if err := (&run{Options: o, load: l, report: report}).all(ctx); err != nil {
			return fmt.Errorf("%d bytes: %w", size, err)
		}
	}
	return nil
}

// run measures one size.
type run struct {
	Options
	load   *load
	report func(figures.Figure)
	costed []string // the ways of which the costs were reported
}

func (r *run) all(ctx context.Context) error {
	for _, c := range comparisons() {
		if !r.wants(c.name) {
			continue
		}
		if err := r.compare(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	for _, c := range []struct {
		name  string
		paced bool
	}{{caseThrottled, false}, {casePaced, true}} {
		if !r.wants(c.name) {
			continue
		}
		if err := r.throttled(ctx, c.name, c.paced); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return r.allocations(ctx)
}

func (r *run) wants(name string) bool { return len(r.Cases) == 0 || slices.Contains(r.Cases, name) }

func (r *run) name(of string) string { return fmt.Sprintf("%dB-%s", r.load.size, of) }

// warmUp is the part of a run that goes before the first.
const warmUp = 4

func (r *run) compare(ctx context.Context, c comparison) error {
	base, err := r.start(ctx, c.base)
	if err != nil {
		return err
	}
	defer base.close(ctx)
	way, err := r.start(ctx, c.way)
	if err != nil {
		return err
	}
	defer way.close(ctx)
	var bases, ways, ratios []figures.Usage
	for range r.Rounds {
		b, err := measured(ctx, base, r.Events)
		if err != nil {
			return fmt.Errorf("%s: %w", c.base, err)
		}
		w, err := measured(ctx, way, r.Events)
		if err != nil {
			return fmt.Errorf("%s: %w", c.way, err)
		}
		bases, ways, ratios = append(bases, b), append(ways, w), append(ratios, w.Over(b))
	}
	r.costs(c.base, bases)
	r.costs(c.way, ways)
	f := figure(r.name(c.way), c.metric, ratios, func(u figures.Usage) float64 { return u.CPU })
	if c.target > 0 {
		f = f.Within(figures.AtMost, c.target)
	}
	r.report(f)
	return nil
}

// start opens a way, has what it sends counted, and warms it up.
func (r *run) start(ctx context.Context, name string) (way, error) {
	if err := r.check(ctx, name); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	w, err := open(ctx, name, r.Endpoint, streamOne, r.load)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := w.send(ctx, max(r.Events/warmUp, batchRecords)); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return w, nil
}

// costs reports those of a way once, from the first comparison it is in.
func (r *run) costs(name string, of []figures.Usage) {
	if slices.Contains(r.costed, name) {
		return
	}
	r.costed = append(r.costed, name)
	r.report(figure(r.name(name), metricCPU, of, func(u figures.Usage) float64 { return u.CPU * 1e6 / float64(r.Events) }))
	r.report(figure(r.name(name), metricThroughput, of, func(u figures.Usage) float64 { return float64(r.Events) / u.Wall }))
	r.report(figure(r.name(name), metricAllAllocs, of, func(u figures.Usage) float64 { return u.Mallocs / float64(r.Events) }))
}

// figure is the median of what value finds in each round.
func figure(name, metric string, of []figures.Usage, value func(figures.Usage) float64) figures.Figure {
	var values []float64
	for _, u := range of {
		values = append(values, value(u))
	}
	return figures.Median(name, metric, values)
}

// measured sends n events and returns what that used.
func measured(ctx context.Context, w way, n int) (figures.Usage, error) {
	runtime.GC() // of what is left from another run
	before := figures.Now()
	if err := w.send(ctx, n); err != nil {
		return figures.Usage{}, err
	}
	return figures.Since(before), nil
}
