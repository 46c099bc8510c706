package observation

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The figures. A request that fell back counts as an exchange with each of two sides.
var (
	exchangesFigure = figure("exchanges_total", "Exchanges with one side, by the first digit of the status that it answered.", "code")
	causesFigure    = figure("failed_exchanges_total", "Exchanges that did not end well, by why, and by who has to mend it.", "cause", "fault")
	fellBackFigure  = figure("fell_back_total", "Requests that the old API answered because the new one did not.")
	firstFigure     = figure("first_byte_seconds", "Time until the head of the answer.")
	secondsFigure   = figure("exchange_seconds_total", "Time until answers were delivered.")
	receivedFigure  = figure("received_bytes_total", "Bytes of the bodies that clients sent.")
	sentFigure      = figure("sent_bytes_total", "Bytes of the bodies that clients were sent.")
)

func figure(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("banyan_proxy_"+name, help, append([]string{"route", "side"}, labels...), nil)
}

// Describe implements [prometheus.Collector].
func (c *Counters) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{exchangesFigure, causesFigure, fellBackFigure, firstFigure, secondsFigure, receivedFigure, sentFigure} {
		to <- d
	}
}

// Collect implements [prometheus.Collector]. Requests that no route matched have the route
// (none).
func (c *Counters) Collect(to chan<- prometheus.Metric) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for key, cell := range c.sorted() {
		if key.route == "" {
			key.route = unrouted
		}
		cell.collect(to, key.route, key.side.String())
	}
}

func (c *cell) collect(to chan<- prometheus.Metric, route, side string) {
	count := func(d *prometheus.Desc, value float64, labels ...string) {
		if value > 0 {
			to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, append([]string{route, side}, labels...)...)
		}
	}
	for class := range c.classes {
		code := "none"
		if class > 0 {
			code = fmt.Sprintf("%dxx", class)
		}
		count(exchangesFigure, float64(c.classes[class].Load()), code)
	}
	for _, cause := range Causes() {
		count(causesFigure, float64(c.causes[cause].Load()), cause.String(), cause.Fault().String())
	}
	count(fellBackFigure, float64(c.fellBack.Load()))
	count(secondsFigure, time.Duration(c.total.Load()).Seconds())
	count(receivedFigure, float64(c.in.Load()))
	count(sentFigure, float64(c.out.Load()))
	buckets, n := map[float64]uint64{}, uint64(0)
	for i := range c.firstByte.buckets {
		n += uint64(c.firstByte.buckets[i].Load())
		if i < len(bounds) {
			buckets[bounds[i].Seconds()] = n
		}
	}
	if n > 0 {
		to <- prometheus.MustNewConstHistogram(firstFigure, n, time.Duration(c.firstByte.sum.Load()).Seconds(), buckets, route, side)
	}
}
