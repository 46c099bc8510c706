package follow

import "github.com/prometheus/client_golang/prometheus"

// The figures of each entity.
var (
	phaseFigure   = figure("entity_phase", "1 for the owner and phase that routes go by.", "owner", "phase")
	ageFigure     = figure("entity_age_seconds", "How old what is known of the entity is.")
	waitingFigure = figure("held_requests", "Writes that wait while the entity's are held.")
	waitedFigure  = figure("held_requests_total", "Writes that had to wait, by whether they were refused in the end.", "refused")
)

func figure(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("banyan_proxy_"+name, help, append([]string{"entity"}, labels...), nil)
}

// Describe implements [prometheus.Collector].
func (r *Records) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{phaseFigure, ageFigure, waitingFigure, waitedFigure} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (r *Records) Collect(to chan<- prometheus.Metric) {
	for _, s := range r.States() {
		send := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
			to <- prometheus.MustNewConstMetric(d, kind, value, append([]string{s.Entity}, labels...)...)
		}
		send(phaseFigure, prometheus.GaugeValue, 1, string(s.Owner), string(s.Phase))
		send(ageFigure, prometheus.GaugeValue, s.Age)
		send(waitingFigure, prometheus.GaugeValue, float64(s.Waiting))
		send(waitedFigure, prometheus.CounterValue, float64(s.Waited), "false")
		send(waitedFigure, prometheus.CounterValue, float64(s.GaveUp), "true")
	}
}
