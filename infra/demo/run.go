package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

// catchUp is how long the read models may take for what there was before.
const catchUp = 10 * time.Minute

// Run runs the whole demo and checks every invariant. Its error says what broke; the
// summary was printed, and written if asked for, before it returns.
func Run(ctx context.Context, cfg Config) error {
	_, err := run(ctx, cfg)
	return err
}

// run is Run; its report is nil where the world could not be made.
func run(ctx context.Context, cfg Config) (r *Report, err error) {
	w, err := newWorld(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil && !errors.Is(ctx.Err(), context.Canceled) {
			w.explainFailure()
		}
		w.Close(err != nil || cfg.Keep)
	}()
	began := time.Now()
	r = &Report{Seed: w.cfg.Seed, Size: w.cfg.Size, Chaos: w.cfg.Chaos}

	if err := w.startMonolith(ctx); err != nil {
		return r, err
	}
	t, err := w.startTraffic(ctx, r)
	if err != nil {
		return r, err
	}
	for _, part := range []func(context.Context, *Report) error{w.moveTimeline, w.migrateAll, w.keepRunning} {
		if err := part(ctx, r); err != nil {
			t.stopAndWait()
			r.collect(w, t, began)
			r.print(w.screen)
			return r, err
		}
	}
	t.stopAndWait()
	if err := w.stopFaults(); err != nil {
		return r, err
	}
	if err := w.checkOutcome(ctx, t, r); err != nil {
		return r, err
	}
	r.collect(w, t, began)
	r.checkInvariants()
	r.print(w.screen)
	if cfg.Report != "" {
		if err := r.save(cfg.Report); err != nil {
			return r, err
		}
	}
	if len(r.Broken) > 0 {
		return r, fmt.Errorf("%d invariants broken (seed %d)", len(r.Broken), r.Seed)
	}
	return r, nil
}

// startMonolith starts what there is before a migration: a monolith with its data in
// MongoDB, which publishes its events, and the consumers of these.
func (w *World) startMonolith(ctx context.Context) error {
	w.screen.heading("I. A monolith, its MongoDB, and read models beside it")
	if err := w.provision(ctx); err != nil {
		return err
	}
	w.screen.step("%s", w.describeServices())
	if err := w.loadMonolith(ctx); err != nil {
		return err
	}
	if err := w.deployConsumers(ctx); err != nil {
		return err
	}
	w.screen.step("two consumers run as Lambda functions and keep their read models in DynamoDB")
	var published struct{ Events int64 }
	if err := w.runJSON(ctx, "snapshot", &published, "banyan-monolith", "snapshot", "--json"); err != nil {
		return err
	}
	w.screen.step("the monolith published the data it has as %s events", number(published.Events))
	if err := w.putMalformedRecord(ctx); err != nil {
		return err
	}
	published.Events++ // the malformed record is handled as well
	if err := w.startServices(ctx); err != nil {
		return err
	}
	return w.awaitReadModels(ctx, published.Events)
}

// awaitReadModels waits until the consumers have handled what was published so far.
// The metrics of functions that run elsewhere are out of reach: these catch up while
// the traffic runs.
func (w *World) awaitReadModels(ctx context.Context, published int64) error {
	if !slices.Contains(w.sandbox.Embedded(), sandbox.Lambda) {
		return nil
	}
	began := time.Now()
	for {
		left := w.metrics.behind(published)
		if left == 0 {
			break
		}
		if time.Since(began) > catchUp {
			return fmt.Errorf("the read models are still %d events behind after %s", left, catchUp)
		}
		w.screen.progress("%s events left to consume", number(left))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	w.metrics.resetLags()
	w.screen.step("the consumers have applied all of them")
	return w.checkProcesses()
}

func (w *World) describeServices() string {
	if at := w.sandbox.Embedded(); len(at) > 0 {
		return fmt.Sprintf("the sandbox stands in for %s", list(at))
	}
	return "no sandbox: your environment names a server for every service"
}

func list(words []string) string {
	var b bytes.Buffer
	for i, s := range words {
		switch {
		case i > 0 && i == len(words)-1:
			b.WriteString(" and ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(s)
	}
	return b.String()
}

// loadMonolith gives the monolith its data.
func (w *World) loadMonolith(ctx context.Context) error {
	if w.cfg.Data != "" {
		if err := w.run(ctx, "import", nil, "banyan-monolith", "import", "--users", w.cfg.Data); err != nil {
			return err
		}
		w.screen.step("the monolith imported its users from %s", w.cfg.Data)
		return nil
	}
	if err := w.run(ctx, "generate", nil, "banyan-monolith", "generate", "--users", fmt.Sprint(w.cfg.Size),
		"--follows-per-user", "2", "--posts-per-user", "0.3", "--seed", fmt.Sprint(w.cfg.Seed)); err != nil {
		return err
	}
	w.screen.step("the monolith has %s users, their follows and posts", number(int64(w.cfg.Size)))
	return nil
}

// startTraffic starts the mobile apps, and with chaos the faults.
func (w *World) startTraffic(ctx context.Context, r *Report) (*traffic, error) {
	others, err := w.sampleUsers(ctx, 300)
	if err != nil {
		return nil, err
	}
	if w.cfg.Chaos {
		plan, err := fault.Parse(chaosPlan)
		if err != nil {
			return nil, err
		}
		if err := w.sandbox.Faults().SetPlan(plan); err != nil {
			return nil, err
		}
		w.sandbox.Faults().Switch(true)
		w.screen.step("chaos: throttles, time-outs, partial failures and duplicates are injected from here on (seed %d)", w.cfg.Seed)
	}
	t := newTraffic("http://"+w.addresses["proxy"], w.cfg.Seed, others)
	if err := t.start(ctx, w.cfg.Rate); err != nil {
		t.stopAndWait()
		return nil, err
	}
	w.traffic = t
	if w.cfg.Chaos {
		w.startKilling(r)
		w.screen.step("chaos: instances of the services are killed, and started anew, from here on")
	}
	w.screen.step("%d simulated mobile apps send %d requests a second to the proxy at http://%s until the end", mobiles, w.cfg.Rate, w.addresses["proxy"])
	return t, w.showTraffic(ctx, 3*time.Second)
}

// showTraffic lets time pass and shows the traffic.
func (w *World) showTraffic(ctx context.Context, d time.Duration) error {
	until := time.Now().Add(d)
	for time.Now().Before(until) {
		t := w.traffic
		w.screen.progress("%s requests, %d failed, p99 %.0f ms", number(t.requests.Load()), t.failed.Load(), ms(t.latencies.quantile(0.99)))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(200*time.Millisecond, time.Until(until))):
		}
	}
	return w.checkProcesses()
}

// moveTimeline moves the timeline route to the read model, for more users at a time.
func (w *World) moveTimeline(ctx context.Context, _ *Report) error {
	w.screen.heading("II. The proxy moves the timeline to its read model")
	for _, percent := range []int{10, 50, 100} {
		if err := w.setTimelinePercent(percent); err != nil {
			return err
		}
		if err := w.showTraffic(ctx, 2*time.Second); err != nil {
			return err
		}
		stats, err := w.timelineRoute(ctx)
		if err != nil {
			return err
		}
		w.screen.step("%3d %% of the users: %s timelines from the read model, %s from the monolith because the user's own write was not in it yet",
			percent, number(stats.Forwarded), number(stats.FellBack))
	}
	return nil
}

type routeStats struct{ Forwarded, FellBack, Legacy, Failed int64 }

func (w *World) timelineRoute(ctx context.Context) (routeStats, error) {
	var state struct {
		Routes []struct {
			Route string
			routeStats
		}
		Refused string
	}
	if err := getJSON(ctx, "http://"+w.addresses["proxy-admin"]+"/status", &state); err != nil {
		return routeStats{}, err
	}
	if state.Refused != "" {
		return routeStats{}, errors.New(state.Refused)
	}
	for _, s := range state.Routes {
		if s.Route == "timeline" {
			return s.routeStats, nil
		}
	}
	return routeStats{}, errors.New("the proxy knows no route named timeline")
}

// keepRunning runs the traffic on the new owner for a while.
func (w *World) keepRunning(ctx context.Context, _ *Report) error {
	w.screen.heading("IV. The traffic goes on")
	if err := w.showTraffic(ctx, 3*time.Second); err != nil {
		return err
	}
	w.screen.step("the apps still use the old API at the same address")
	return nil
}

// stopFaults ends the injected faults, and waits for late commands, so that none of them is the reason for what is
// wrong in the end.
func (w *World) stopFaults() (err error) {
	if w.cfg.Chaos {
		err = w.killing.stop()
		w.sandbox.Faults().Switch(false)
	}
	if w.network != nil {
		w.network.calmDown()
	}
	return err
}

// checkOutcome compares what was acknowledged with what is there.
func (w *World) checkOutcome(ctx context.Context, t *traffic, r *Report) error {
	w.screen.step("the traffic has ended; comparing what was acknowledged with what is there")
	if err := w.awaitOutboxes(ctx); err != nil {
		return err
	}
	t.readBack(ctx)
	if err := w.compareDocuments(ctx, t, r); err != nil {
		return err
	}
	if err := w.audit(ctx, t, r); err != nil {
		return err
	}
	if err := w.checkDeadLetters(ctx, r); err != nil {
		return err
	}
	var m struct {
		LongestWriteHoldMS float64 `json:"longest_write_hold_ms"`
		ServicesRetried    int64   `json:"services_retried"`
		ServicesUnknown    int64   `json:"services_unknown"`
	}
	a := w.addresses
	for _, admin := range []string{a["users-admin"], a["relationships-admin"], a["posts-admin"], a["monolith-admin"]} {
		if err := getJSON(ctx, "http://"+admin+"/metrics.json", &m); err != nil {
			return err
		}
		// The longest that a service held a write, or if there was none during the
		// cut-over, what the cut-over itself measured.
		r.WriteHoldMS = max(r.WriteHoldMS, m.LongestWriteHoldMS)
	}
	r.ServicesRetried, r.ServicesUnknown = m.ServicesRetried, m.ServicesUnknown
	return w.checkProcesses()
}

// collect adds what the traffic and the sandbox counted.
func (r *Report) collect(w *World, t *traffic, began time.Time) {
	r.Requests, r.FailedRequests, r.ReadYourWritesViolation = t.requests.Load(), t.failed.Load(), t.violations.Load()
	r.P50MS, r.P99MS, r.MaxMS = ms(t.latencies.quantile(0.5)), ms(t.latencies.quantile(0.99)), ms(t.latencies.quantile(1))
	r.LagP99MS = ms(w.metrics.lags.quantile(0.99))
	r.Seconds = time.Since(began).Seconds()
	r.Details = append(r.Details, t.errors...)
	if w.cfg.Chaos {
		r.FaultsInjected = int64(w.sandbox.Faults().Total())
	}
	if w.network != nil {
		n := w.network.counted()
		r.CommandsLost, r.CommandsLate, r.CommandsRepeated, r.LatestMS = n.lost, n.late, n.repeated, ms(n.longest)
	}
}

// runJSON runs a program whose standard output ends with one JSON value.
func (w *World) runJSON(ctx context.Context, name string, v any, args ...string) error {
	var out bytes.Buffer
	if err := w.run(ctx, name, &out, args...); err != nil {
		return err
	}
	return lastJSON(out.Bytes(), v)
}

func lastJSON(out []byte, v any) error {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	if err := json.Unmarshal(lines[len(lines)-1], v); err != nil {
		return fmt.Errorf("expected JSON as the last line, got %.100q: %w", lines[len(lines)-1], err)
	}
	return nil
}

func getJSON(ctx context.Context, url string, v any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %d: %.200s", url, resp.StatusCode, b)
	}
	return json.Unmarshal(b, v)
}
