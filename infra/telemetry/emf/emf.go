// Package emf writes metrics as log lines in the CloudWatch embedded metric
// format, from which CloudWatch makes metrics without a call of its API:
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
//
// A function prints the lines to its standard output. A line that cannot be
// written is lost: metrics must never fail what they measure.
package emf

import (
	"encoding/json"
	"io"
	"maps"
	"slices"
	"sync"
	"time"
)

// Unit of a metric, as CloudWatch names it.
type Unit string

// The units in use.
const (
	Count        Unit = "Count"
	Bytes        Unit = "Bytes"
	Percent      Unit = "Percent"
	Megabytes    Unit = "Megabytes"
	Milliseconds Unit = "Milliseconds"
)

// Metric is one figure, or several of the same instant.
type Metric struct {
	Name  string
	Unit  Unit
	Value float64
	// Values count instead of Value if there are any; at most 100.
	Values []float64
}

// Line is what is written at once.
type Line struct {
	// At is the instant that the figures are of.
	At time.Time
	// Dimensions are one set, by name; none to 30. Every set of values is a metric of
	// its own, and paid for.
	Dimensions map[string]string
	// Metrics are at most 100.
	Metrics []Metric
	// Properties can be searched for in the log and are no metrics.
	Properties map[string]any
}

// Writer writes lines of one namespace. It is safe for concurrent use.
type Writer struct {
	namespace string
	mu        sync.Mutex
	w         io.Writer
}

// New makes a writer to w, on Lambda the standard output.
func New(w io.Writer, namespace string) *Writer { return &Writer{namespace: namespace, w: w} }

// Write writes one line.
func (w *Writer) Write(l Line) {
	text, err := json.Marshal(w.document(l))
	if err != nil {
		return // a figure, such as NaN, that JSON cannot have
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = w.w.Write(append(text, '\n'))
}

type definition struct {
	Name string
	Unit Unit
}

func (w *Writer) document(l Line) map[string]any {
	doc := map[string]any{}
	maps.Copy(doc, l.Properties)
	for name, value := range l.Dimensions {
		doc[name] = value
	}
	var metrics []definition
	for _, m := range l.Metrics {
		doc[m.Name] = m.Value
		if len(m.Values) > 0 {
			doc[m.Name] = m.Values
		}
		metrics = append(metrics, definition{m.Name, m.Unit})
	}
	dimensions := slices.AppendSeq([]string{}, maps.Keys(l.Dimensions)) // none is [], not null
	slices.Sort(dimensions)
	doc["_aws"] = map[string]any{
		"Timestamp": l.At.UnixMilli(),
		"CloudWatchMetrics": []any{map[string]any{
			"Namespace":  w.namespace,
			"Dimensions": [][]string{dimensions},
			"Metrics":    metrics,
		}},
	}
	return doc
}
