// Package figures is what the benchmarks of this repository share: the figures that they
// print, the medians that those are, and what a process has used.
//
//	report := figures.Report{Bench: "publisher", Out: os.Stdout, JSON: asJSON}
//	before := figures.Now()
//	... // one round
//	rounds = append(rounds, figures.Since(before).CPU)
//	report.Write(figures.Median("200B", "cpu_seconds", rounds))
//
// Machines get slower and faster while one measures: let a figure be the ratio of two runs
// right after each other, and the median of several such pairs.
package figures

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// Bound says on which side of its target a figure should be.
type Bound int

// The bounds. A figure has none by default.
const (
	None    Bound = iota
	AtMost        // the target is the most that is allowed
	AtLeast       // the target is the least that is wanted
)

// Figure is one measured number.
type Figure struct {
	Case   string  // what was done, such as "200B-aggregated-ordered"
	Metric string  // what was measured of it, with its unit
	Value  float64 // the median
	// Least and Most are the extremes of the rounds, where there were several.
	Least, Most float64
	Bound       Bound
	Target      float64 // where there is a Bound
}

// Median is the figure of several rounds; values must not be empty, and are sorted.
func Median(name, metric string, values []float64) Figure {
	slices.Sort(values)
	n := len(values)
	return Figure{Case: name, Metric: metric, Value: (values[n/2] + values[(n-1)/2]) / 2, Least: values[0], Most: values[n-1]}
}

// Within returns the figure with a target.
func (f Figure) Within(b Bound, target float64) Figure {
	f.Bound, f.Target = b, target
	return f
}

// Met reports whether the figure keeps its target; one without a target does.
func (f Figure) Met() bool {
	switch f.Bound {
	case AtLeast:
		return f.Value >= f.Target
	case AtMost:
		return f.Value <= f.Target
	}
	return true
}

// Verdict says in words whether the figure keeps its target, nothing where it has none.
func (f Figure) Verdict() string {
	if f.Bound == None {
		return ""
	}
	bound, met := "at most", "met"
	if f.Bound == AtLeast {
		bound = "at least"
	}
	if !f.Met() {
		met = "MISSED"
	}
	return fmt.Sprintf("%s %v: %s", bound, f.Target, met)
}

// Report writes figures as a table, or as JSON, one line a figure.
type Report struct {
	Bench string // its name in JSON
	Out   io.Writer
	JSON  bool
}

// line is a figure for machines.
type line struct {
	Bench  string  `json:"bench"`
	Case   string  `json:"case"`
	Metric string  `json:"metric"`
	Value  float64 `json:"value"`
}

const columns = "%-36s %-32s %12s   %-26s %s\n"

// Head writes what stands above the table, and the names of its columns; as JSON nothing.
func (r Report) Head(text string) {
	if !r.JSON {
		fmt.Fprintf(r.Out, "%s\n\n"+columns, text, "case", "metric", "value", "least to most", "target")
	}
}

// Foot writes what stands below the table; as JSON nothing.
func (r Report) Foot(text string) {
	if !r.JSON {
		fmt.Fprintln(r.Out, text)
	}
}

// Write writes a figure.
func (r Report) Write(f Figure) {
	if r.JSON {
		_ = json.NewEncoder(r.Out).Encode(line{r.Bench, f.Case, f.Metric, f.Value})
		return
	}
	span := fmt.Sprintf("%s to %s", number(f.Least), number(f.Most))
	fmt.Fprintf(r.Out, columns, f.Case, f.Metric, number(f.Value), span, f.Verdict())
}

// number has as many digits as mean something.
func number(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3f", v)
}
