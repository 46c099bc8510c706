package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/migrate"
)

// metricsFlags say where a run gives its figures to.
type metricsFlags struct {
	Metrics string `help:"Serve figures for Prometheus on this loopback address, under /metrics." placeholder:"HOST:PORT"`
	OTLP    otlp   `embed:"" prefix:"otlp-"`
}

// Validate refuses what cannot be meant.
func (f metricsFlags) Validate() error {
	host, _, err := net.SplitHostPort(f.Metrics)
	if ip := net.ParseIP(host); f.Metrics != "" && (err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback())) {
		return fmt.Errorf("invalid address %q of --metrics: it must be of loopback, such as 127.0.0.1:9464", f.Metrics)
	}
	return f.OTLP.validate()
}

// metrics has the last progress of each entity, as figures for Prometheus and OpenTelemetry. It
// is safe for concurrent use.
type metrics struct {
	mu   sync.Mutex
	last []migrate.Progress
}

// observe keeps a progress.
func (m *metrics) observe(p migrate.Progress) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.Message != "" {
		return
	}
	for i := range m.last {
		if m.last[i].Entity == p.Entity {
			m.last[i] = p
			return
		}
	}
	m.last = append(m.last, p)
}

// whileGiven runs fn while the figures are served on a loopback address, and pushed, where the
// flags say so.
func (m *metrics) whileGiven(ctx context.Context, f metricsFlags, out *output, fn func(context.Context) error) error {
	given, stop := context.WithCancel(ctx)
	defer stop()
	var g errgroup.Group
	if f.Metrics != "" {
		server, err := serving.Listen("--metrics", f.Metrics, m)
		if err != nil {
			return err
		}
		out.writeWarning(fmt.Sprintf("figures are on http://%s/metrics", server.Addr()))
		g.Go(func() error { return serving.Run(given, server) })
	}
	if f.OTLP.enabled() {
		g.Go(func() error {
			f.OTLP.push(given, m.families, out)
			return nil
		})
	}
	g.Go(func() error {
		defer stop()
		return fn(ctx)
	})
	return g.Wait()
}

// ServeHTTP implements http.Handler: it writes the text format of Prometheus.
func (m *metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/metrics" {
		http.NotFound(w, r)
		return
	}
	var b strings.Builder
	for _, f := range m.families() {
		kind := "gauge"
		if f.counter {
			kind = "counter"
		}
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", f.name, f.help, f.name, kind)
		for _, s := range f.samples {
			var labels []string
			for _, l := range s.labels {
				labels = append(labels, fmt.Sprintf("%s=%q", l[0], l[1]))
			}
			fmt.Fprintf(&b, "%s{%s} %v\n", f.name, strings.Join(labels, ","), s.value)
		}
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	fmt.Fprint(w, b.String())
}

// family is a figure of all entities for which it is known.
type family struct {
	name, help string
	counter    bool
	samples    []sample
}

type sample struct {
	at     time.Time
	labels [][2]string
	value  float64
}

// families are all figures that are known of an entity.
func (m *metrics) families() (all []*family) {
	m.mu.Lock()
	defer m.mu.Unlock()
	byName := map[string]*family{}
	for _, p := range m.last {
		add := func(name, help string, value float64, labels ...[2]string) {
			f := byName[name]
			if f == nil {
				f = &family{name: "banyan_migrate_" + name, help: help, counter: strings.HasSuffix(name, "_total")}
				byName[name], all = f, append(all, f)
			}
			f.samples = append(f.samples, sample{p.At, append([][2]string{{"entity", p.Entity}}, labels...), value})
		}
		add("phase", "The phase of the migration, as a label.", 1, [2]string{"phase", string(p.Phase)})
		add("documents_copied", "Documents copied by all processes.", float64(p.Copied.Documents))
		add("documents_estimated", "Documents to copy, as estimated at the beginning.", float64(p.Copied.Of))
		add("ranges_done", "Ranges copied.", float64(p.Copied.Done))
		add("ranges", "Ranges to copy.", float64(p.Copied.Ranges))
		add("documents_per_second", "Speed of the copy.", p.PerSecond)
		add("changes_total", "Changes of MongoDB applied.", float64(p.Changes.Events))
		add("out_of_band_writes_total", "Writes to MongoDB that were not the service's.", float64(p.Changes.OutOfBand.Writes))
		if p.Changes.Lag >= 0 {
			add("changes_lag_seconds", "By how much DynamoDB is behind MongoDB.", p.Changes.Lag.Seconds())
		}
		if v := p.Verification; v != nil {
			add("verification_mismatches", "Mismatches of the last verification.", float64(v.Mismatches))
			add("verification_finished_seconds", "When the last verification ended, in Unix time.", float64(v.FinishedAt.Unix()))
		}
		if h := p.Reverse; !h.Begun.IsZero() {
			if h.Lag >= 0 {
				add("way_back_lag_seconds", "By how much MongoDB is behind the table.", h.Lag.Seconds())
				add("way_back_left_seconds", "For how long the way back can stay as it is.", h.TimeLeft.Seconds())
			}
			add("way_back_misfits", "Items that do not fit MongoDB.", float64(h.Misfits))
			add("late_writes", "Writes to the table while MongoDB owned the entity.", float64(h.LateWrites))
		}
	}
	return all
}
