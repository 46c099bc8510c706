package consumers

import (
	"context"
	"io"
	"time"

	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

// Report is what became of one batch.
type Report struct {
	Consumer string
	At       time.Time
	// Records is how many Kinesis records the batch had, Messages how many
	// events were in them. Messages = Applied + Stale + DeadLetters +
	// Failed + Unhandled.
	Records, Messages int
	Applied           int
	Stale             int // duplicates and late deliveries that changed nothing
	DeadLetters       int // written to the dead letters
	Failed            int // reported to Lambda; delivered again
	Unhandled         int // not begun or interrupted; delivered again
	// Lags is, for each message that was applied, how long ago it arrived.
	Lags []time.Duration
	// Errors has the first few reasons of dead letters and failures, and what went wrong
	// with notes.
	Errors []error
}

const maxReportErrors = 10

func (d *delivery) report(records int) Report {
	now := d.cfg.Now()
	r := Report{Consumer: d.cfg.Name, At: now, Records: records, Messages: len(d.tasks), Errors: d.errs}
	for _, t := range d.tasks {
		switch t.done.kind {
		case applied:
			r.Applied++
			if !t.Message.Arrived.IsZero() {
				r.Lags = append(r.Lags, now.Sub(t.Message.Arrived))
			}
		case stale:
			r.Stale++
		case deadLetter:
			r.DeadLetters++
		case failed:
			r.Failed++
		case unhandled:
			r.Unhandled++
		}
		if t.done.err != nil && len(r.Errors) < maxReportErrors {
			r.Errors = append(r.Errors, t.done.err)
		}
	}
	return r
}

// EMF returns an observer that writes the figures of each batch to w (on Lambda the
// standard output) as one line of package [emf], in the given namespace with the
// dimension Function: the name under which the consumer is deployed, which differs
// between environments. Safe for concurrent use.
func EMF(w io.Writer, namespace, function string) func(context.Context, Report) {
	writer := emf.New(w, namespace)
	return func(_ context.Context, r Report) {
		writer.Write(emf.Line{
			At:         r.At,
			Dimensions: map[string]string{"Function": function},
			Metrics:    r.metrics(),
			Properties: map[string]any{"Consumer": r.Consumer},
		})
	}
}

// metrics are the figures of r. Lag is left out where nothing was applied.
func (r Report) metrics() []emf.Metric {
	count := func(name string, n int) emf.Metric {
		return emf.Metric{Name: name, Unit: emf.Count, Value: float64(n)}
	}
	metrics := []emf.Metric{
		count("Records", r.Records), count("Applied", r.Applied), count("Stale", r.Stale),
		count("DeadLetters", r.DeadLetters), count("Failed", r.Failed), count("Unhandled", r.Unhandled),
	}
	if lags := sampleLags(r.Lags); len(lags) > 0 {
		metrics = append(metrics, emf.Metric{Name: "Lag", Unit: emf.Milliseconds, Values: lags})
	}
	return metrics
}

// maxEMFValues is how many values a metric may have in one document.
const maxEMFValues = 100

// sampleLags thins the lags out evenly, in milliseconds. The greatest is always
// among them, in the first place.
func sampleLags(lags []time.Duration) []float64 {
	if len(lags) == 0 {
		return nil
	}
	greatest := 0
	for i, lag := range lags {
		if lag > lags[greatest] {
			greatest = i
		}
	}
	values := []float64{milliseconds(lags[greatest])}
	step := max(1, (len(lags)+maxEMFValues-2)/(maxEMFValues-1))
	for i := 0; i < len(lags); i += step {
		if i != greatest {
			values = append(values, milliseconds(lags[i]))
		}
	}
	return values
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
