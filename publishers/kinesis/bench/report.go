package main

import (
	"context"
	"fmt"
	"io"

	"github.com/banyan-fig/banyan/infra/figures"
	"github.com/banyan-fig/banyan/publishers/kinesis/bench/measure"
)

// measure runs what is asked for and writes it as lines of JSON or as a table.
func (f flags) measure(ctx context.Context, out io.Writer) error {
	o := f.options()
	report := figures.Report{Bench: "publisher", Out: out, JSON: f.JSON}
	report.Head(fmt.Sprintf("%s\n%d events a run, median of %d rounds (least to most), %d partition keys", f.Pinning, o.Events, o.Rounds, o.Keys))
	err := measure.Run(ctx, o, report.Write)
	report.Foot(footnote)
	return err
}

const footnote = `
putrecords is the plain SDK: batches of 500, one call after the other, the same bytes.
aggregated-unordered is made of the same parts as the publisher, without what keeps the order.
Of the CPU figures, those in us depend on the machine and the hour; the ratios less so.
Not measured: a8m/kinesis-producer, another (unordered) aggregating publisher, since its
module cannot be had here.`
