package measure

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// Figure is one measured number.
type Figure struct {
	Case   string  // size and name, such as "200B-aggregated-ordered"
	Metric string  // what was measured, with its unit
	Value  float64 // the median
	// Least and Most are the extremes of the rounds, where there were several.
	Least, Most float64
	// Target is what the value should not go beyond, none if zero: most allowed,
	// or the least wanted where AtLeast is set.
	Target  float64
	AtLeast bool
}

// Met reports whether the figure keeps its target; one without a target does.
// Allocations are compared by tenths.
func (f Figure) Met() bool {
	value := f.Value
	if f.Metric == metricAllocations {
		value = math.Round(value*10) / 10 // memory for hundreds of events at once is not one of theirs
	}
	switch {
	case f.AtLeast:
		return value >= f.Target
	case f.hasTarget():
		return value <= f.Target
	}
	return true
}

func (f Figure) hasTarget() bool { return f.Target != 0 || f.AtLeast || f.Metric == metricAllocations }

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
func Run(ctx context.Context, o Options, report func(Figure)) error {
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
	report func(Figure)
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
	var bases, ways, ratios []usage
	for range r.Rounds {
		b, err := measured(ctx, base, r.Events)
		if err != nil {
			return fmt.Errorf("%s: %w", c.base, err)
		}
		w, err := measured(ctx, way, r.Events)
		if err != nil {
			return fmt.Errorf("%s: %w", c.way, err)
		}
		bases, ways, ratios = append(bases, b), append(ways, w), append(ratios, w.over(b))
	}
	r.costs(c.base, bases)
	r.costs(c.way, ways)
	f := figure(r.name(c.way), c.metric, ratios, usage.cpuOf)
	f.Target = c.target
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
func (r *run) costs(name string, of []usage) {
	if slices.Contains(r.costed, name) {
		return
	}
	r.costed = append(r.costed, name)
	r.report(figure(r.name(name), metricCPU, of, func(u usage) float64 { return u.cpu * 1e6 / float64(r.Events) }))
	r.report(figure(r.name(name), metricThroughput, of, func(u usage) float64 { return float64(r.Events) / u.wall }))
	r.report(figure(r.name(name), metricAllAllocs, of, func(u usage) float64 { return u.mallocs / float64(r.Events) }))
}

// figure is the median of what value finds in each round.
func figure(name, metric string, of []usage, value func(usage) float64) Figure {
	var values []float64
	for _, u := range of {
		values = append(values, value(u))
	}
	return summary(name, metric, values)
}

func summary(name, metric string, values []float64) Figure {
	slices.Sort(values)
	return Figure{Case: name, Metric: metric, Value: median(values), Least: values[0], Most: values[len(values)-1]}
}

// median needs sorted values.
func median(values []float64) float64 {
	n := len(values)
	return (values[n/2] + values[(n-1)/2]) / 2
}

// Verdict says in words whether the figure keeps its target, nothing where it
// has none.
func (f Figure) Verdict() string {
	if !f.hasTarget() {
		return ""
	}
	most, met := "at most", "met"
	if f.AtLeast {
		most = "at least"
	}
	if !f.Met() {
		met = "MISSED"
	}
	return fmt.Sprintf("%s %v: %s", most, f.Target, met)
}
