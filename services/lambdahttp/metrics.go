package lambdahttp

import (
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

// Namespace of the metrics of services.
const Namespace = "Banyan/Services"

// writeMetrics writes the metrics of one request.
func (f *function) writeMetrics(begin time.Time, method string, status int) {
	if f.cfg.Metrics == nil {
		return
	}
	now := f.cfg.Now()
	f.cfg.Metrics.Write(emf.Line{
		At: now, Dimensions: map[string]string{"Service": f.cfg.Service},
		Metrics: []emf.Metric{
			{Name: "Requests", Unit: emf.Count, Value: 1},
			{Name: "Latency", Unit: emf.Milliseconds, Value: float64(now.Sub(begin)) / float64(time.Millisecond)},
			{Name: fmt.Sprintf("Status%dxx", status/100), Unit: emf.Count, Value: 1},
		},
		Properties: map[string]any{"Method": method, "Status": status},
	})
}
