package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/banyan-fig/banyan/publishers/kinesis/bench/measure"
)

// measure runs what is asked for and writes it as lines of JSON or as a table.
func (f flags) measure(ctx context.Context, out io.Writer) error {
	if f.JSON {
		lines := json.NewEncoder(out)
		return measure.Run(ctx, f.options(), func(fig measure.Figure) { _ = lines.Encode(newLine(fig)) })
	}
	o := f.options()
	fmt.Fprintf(out, "%s\n%d events a run, median of %d rounds (least to most), %d partition keys\n\n", f.Pinning, o.Events, o.Rounds, o.Keys)
	fmt.Fprintf(out, "%-36s %-32s %12s   %-26s %s\n", "case", "metric", "value", "least to most", "target")
	err := measure.Run(ctx, o, func(fig measure.Figure) { fmt.Fprintln(out, row(fig)) })
	fmt.Fprintln(out, footnote)
	return err
}

const footnote = `
putrecords is the plain SDK: batches of 500, one call after the other, the same bytes.
aggregated-unordered is made of the same parts as the publisher, without what keeps the order.
Of the CPU figures, those in us depend on the machine and the hour; the ratios less so.
Not measured: a8m/kinesis-producer, another (unordered) aggregating publisher, since its
module cannot be had here.`

// line is a figure for machines.
type line struct {
	Bench  string  `json:"bench"`
	Case   string  `json:"case"`
	Metric string  `json:"metric"`
	Value  float64 `json:"value"`
}

func newLine(f measure.Figure) line { return line{"publisher", f.Case, f.Metric, f.Value} }

func row(f measure.Figure) string {
	span := fmt.Sprintf("%s to %s", number(f.Least), number(f.Most))
	return fmt.Sprintf("%-36s %-32s %12s   %-26s %s", f.Case, f.Metric, number(f.Value), span, f.Verdict())
}

// number has as many digits as mean something.
func number(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3f", v)
}
