package capacity

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Write prints an estimate for a person, rounded to two digits.
func (e Estimate) Write(out io.Writer) error {
	var b strings.Builder
	l := e.Load
	fmt.Fprintf(&b, "%s events/s of %d bytes, %d publishers, %d read models, %g + %g items an event, %s\n\n",
		round(l.Rate), l.Size, l.Publishers, l.ReadModels, float64(l.ReadModels)*l.Items, l.FanOut, e.Prices.Region)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, with, without string) { fmt.Fprintf(w, "%s\t%s\t%s\t\n", name, with, without) }
	a, p := e.With, e.Without
	row("a second", "aggregated", "plain")
	row("shards (provisioned)", fmt.Sprintf("%d (%s)", a.Stream.Shards, a.Stream.ShardsBy), fmt.Sprintf("%d (%s)", p.Stream.Shards, p.Stream.ShardsBy))
	both := func(name string, of func(Way) float64) { row(name, round(of(a)), round(of(p))) }
	both("PutRecords", func(w Way) float64 { return w.Stream.Requests })
	both("records", func(w Way) float64 { return w.Stream.Records })
	both("events in a record", func(w Way) float64 { return w.Stream.EventsPerRecord })
	both("payload units of 25 KiB", func(w Way) float64 { return w.Stream.PutUnits })
	both("invocations", func(w Way) float64 { return w.Functions.Invocations })
	both("concurrency, average", func(w Way) float64 { return w.Functions.Concurrency })
	both("concurrency, most", func(w Way) float64 { return float64(w.Functions.Most) })
	both("parallelization factor", func(w Way) float64 { return float64(w.Functions.Parallelization) })
	both("GB-seconds", func(w Way) float64 { return w.Functions.GBSeconds })
	row("write units (at most)", round(e.Tables.WriteUnits), round(e.Tables.WriteUnits))
	row("", "", "")
	row("dollars a month", "aggregated", "plain")
	usd := func(name string, of func(Monthly) float64) { row(name, dollars(of(a.Monthly)), dollars(of(p.Monthly))) }
	usd("stream, provisioned", func(m Monthly) float64 { return m.StreamProvisioned })
	usd("stream, on demand", func(m Monthly) float64 { return m.StreamOnDemand })
	if l.EnhancedFanOut {
		usd("+ fan-out, provisioned", func(m Monthly) float64 { return m.FanOutProvisioned })
		usd("+ fan-out, on demand", func(m Monthly) float64 { return m.FanOutOnDemand })
	}
	usd("functions", func(m Monthly) float64 { return m.Functions })
	usd("tables, provisioned", func(m Monthly) float64 { return m.TablesProvisioned })
	usd("tables, on demand", func(m Monthly) float64 { return m.TablesOnDemand })
	usd("all, cheaper modes", func(m Monthly) float64 { return m.Least })
	usd("all, dearer modes", func(m Monthly) float64 { return m.Most })
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write the estimate: %w", err)
	}
	e.writeNotes(&b)
	if _, err := io.WriteString(out, b.String()); err != nil {
		return fmt.Errorf("write the estimate: %w", err)
	}
	return nil
}

func (e Estimate) writeNotes(b *strings.Builder) {
	if q := e.Queue; q != nil {
		fmt.Fprintf(b, "\nqueue of %s messages/s: %s a month by a mapping, %s by %d loops that run all the time\n",
			round(e.Load.Messages), dollars(q.Mapping), dollars(q.Loop), q.Loops)
	}
	fmt.Fprintf(b, "\nCheaper at this rate all month: the stream %s, the tables %s. On demand is cheaper where the\n"+
		"average of the month is less than some %.2g %% of it for the stream (plain: %.2g %%) and %.2g %% for the\n"+
		"tables, and nothing scales what is provisioned down.\n",
		e.With.StreamMode, e.With.TablesMode, 100*e.With.StreamMode.Below, 100*e.Without.StreamMode.Below, 100*e.With.TablesMode.Below)
	for i, warning := range e.Warnings {
		if i == 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(b, "! %s\n", warning)
	}
	oldest, newest := e.Prices.dates()
	fmt.Fprintf(b, "\nPrices of sources from %s to %s, no free tiers, no discounts. A shard and\n"+
		"provisioned capacity are used to %.0f %%. %v an event in a function is an assumption\n"+
		"that decides much: measure yours (--per-event). Not counted: storage, logs, transfer.\n",
		oldest, newest, e.Load.Use*100, e.Load.PerEvent)
}

// String is "on demand" or "provisioned".
func (m Mode) String() string {
	if m.OnDemand {
		return "on demand"
	}
	return "provisioned"
}

func (p Prices) dates() (oldest, newest string) {
	for _, price := range p.By {
		if oldest == "" || price.Seen < oldest {
			oldest = price.Seen
		}
		newest = max(newest, price.Seen)
	}
	return oldest, newest
}

// round shows two digits, and thousands apart.
func round(v float64) string {
	if v == 0 {
		return "0"
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(v)))-1)
	if v == math.Trunc(v) && v < 10_000 {
		unit = 1 // a count
	}
	r := math.Round(v/unit) * unit
	if r < 10 {
		return strconv.FormatFloat(r, 'g', 2, 64)
	}
	return thousands(strconv.FormatFloat(r, 'f', 0, 64))
}

func dollars(v float64) string { return "$" + round(v) }

func thousands(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
