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

// Run tells the whole story and judges it. Its error says what broke; the
// summary was printed, and written if asked for, before it returns.
func Run(ctx context.Context, cfg Config) (err error) {
	w, err := newWorld(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && ctx.Err() == nil {
			w.lament()
		}
		w.Close(err != nil || cfg.Keep)
	}()
	began := time.Now()
	r := &Report{Seed: w.cfg.Seed, Size: w.cfg.Size, Chaos: w.cfg.Chaos}

	if err := w.legacy(ctx); err != nil {
		return err
	}
	t, err := w.open(ctx)
	if err != nil {
		return err
	}
	for _, chapter := range []func(context.Context, *Report) error{w.shift, w.migrate, w.after} {
		if err := chapter(ctx, r); err != nil {
			t.end()
			r.collect(w, t, began)
			r.show(w.screen)
			return err
		}
	}
	t.end()
	w.calm()
	if err := w.reckon(ctx, t, r); err != nil {
		return err
	}
	r.collect(w, t, began)
	r.judge()
	r.show(w.screen)
	if cfg.Report != "" {
		if err := r.save(cfg.Report); err != nil {
			return err
		}
	}
	if len(r.Broken) > 0 {
		return fmt.Errorf("%d invariants broke (seed %d)", len(r.Broken), r.Seed)
	}
	return nil
}

// legacy is the world before: a monolith with its data in MongoDB, and what
// it tells from now on.
func (w *World) legacy(ctx context.Context) error {
	w.screen.act("I. A monolith, its MongoDB, and something to grow around it")
	if err := w.provision(ctx); err != nil {
		return err
	}
	w.screen.step("%s", w.whereabouts())
	if err := w.load(ctx); err != nil {
		return err
	}
	if err := w.deploy(ctx); err != nil {
		return err
	}
	w.screen.step("two consumers run as Lambda functions and keep read models in DynamoDB")
	var told struct{ Events int64 }
	if err := w.runJSON(ctx, "snapshot", &told, "banyan-monolith", "snapshot", "--json"); err != nil {
		return err
	}
	w.screen.step("the monolith told what it knew so far: %s events on the stream", number(told.Events))
	if err := w.putPoison(ctx); err != nil {
		return err
	}
	told.Events++ // the poison is to be handled as well
	if err := w.serve(ctx); err != nil {
		return err
	}
	return w.caughtUp(ctx, told.Events)
}

// caughtUp waits until the consumers have handled what was told so far. With
// functions that run elsewhere there is nothing to be seen here: they catch up
// while the traffic runs.
func (w *World) caughtUp(ctx context.Context, told int64) error {
	if !slices.Contains(w.sandbox.Embedded(), sandbox.Lambda) {
		return nil
	}
	began := time.Now()
	for {
		left := w.metrics.behind(told)
		if left == 0 {
			break
		}
		if time.Since(began) > catchUp {
			return fmt.Errorf("the read models are still %d events behind after %s", left, catchUp)
		}
		w.screen.now("%s events to go", number(left))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	w.metrics.forget()
	w.screen.step("the read models have caught up")
	return w.healthy()
}

func (w *World) whereabouts() string {
	if at := w.sandbox.Embedded(); len(at) > 0 {
		return fmt.Sprintf("embedded here, over the wire: %s", list(at))
	}
	return "nothing is embedded: all services are yours"
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

// load gives the monolith its data.
func (w *World) load(ctx context.Context) error {
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

// open lets the mobile clients in.
func (w *World) open(ctx context.Context) (*traffic, error) {
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
		w.screen.step("from here on throttles, time-outs, partial failures and duplicates come by seed %d", w.cfg.Seed)
	}
	t := newTraffic("http://"+w.addresses.proxy, w.cfg.Seed, others)
	if err := t.begin(ctx, w.cfg.Rate); err != nil {
		t.end()
		return nil, err
	}
	w.traffic = t
	w.screen.step("%d mobile apps make %d requests a second to http://%s, and will until the end", mobiles, w.cfg.Rate, w.addresses.proxy)
	return t, w.watch(ctx, 3*time.Second)
}

// watch lets time pass, showing the traffic.
func (w *World) watch(ctx context.Context, d time.Duration) error {
	until := time.Now().Add(d)
	for time.Now().Before(until) {
		t := w.traffic
		w.screen.now("%s requests, %d failed, p99 %.0f ms", number(t.requests.Load()), t.failed.Load(), ms(t.latencies.quantile(0.99)))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(200*time.Millisecond, time.Until(until))):
		}
	}
	return w.healthy()
}

// shift moves the timeline route to the read model, more subjects at a time.
func (w *World) shift(ctx context.Context, _ *Report) error {
	w.screen.act("II. The timeline leaves the monolith")
	for _, percent := range []int{10, 50, 100} {
		if err := w.setShare(percent); err != nil {
			return err
		}
		if err := w.watch(ctx, 2*time.Second); err != nil {
			return err
		}
		stats, err := w.timelineRoute(ctx)
		if err != nil {
			return err
		}
		w.screen.step("%3d %% of subjects read the new timeline: %s answered there, %s went back to the monolith to see their own write",
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
	if err := getJSON(ctx, "http://"+w.addresses.proxyAdmin+"/routes", &state); err != nil {
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

// after lets the new world run for a while.
func (w *World) after(ctx context.Context, _ *Report) error {
	w.screen.act("IV. Life goes on")
	if err := w.watch(ctx, 3*time.Second); err != nil {
		return err
	}
	w.screen.step("the apps still hit the same address")
	return nil
}

// calm ends the injected faults, so that what is wrong in the end cannot be
// blamed on the last of them.
func (w *World) calm() {
	if w.cfg.Chaos {
		w.sandbox.Faults().Switch(false)
	}
}

// reckon checks everything that was promised.
func (w *World) reckon(ctx context.Context, t *traffic, r *Report) error {
	w.screen.step("the traffic has ended; now everything is counted")
	t.readBack(ctx)
	if err := w.compareUsers(ctx, t, r); err != nil {
		return err
	}
	if err := w.audit(ctx, t, r); err != nil {
		return err
	}
	if err := w.deadLetters(ctx, r); err != nil {
		return err
	}
	var m struct {
		LongestWriteHoldMS float64 `json:"longest_write_hold_ms"`
	}
	if err := getJSON(ctx, "http://"+w.addresses.usersAdmin+"/metrics.json", &m); err != nil {
		return err
	}
	// What the service's clients felt, or if none of them wrote in that moment
	// what the cut-over itself counted.
	r.WriteHoldMS = max(r.WriteHoldMS, m.LongestWriteHoldMS)
	return w.healthy()
}

// collect takes over what the traffic and the sandbox counted.
func (r *Report) collect(w *World, t *traffic, began time.Time) {
	r.Requests, r.FailedRequests, r.ReadYourWritesViolation = t.requests.Load(), t.failed.Load(), t.violations.Load()
	r.P50MS, r.P99MS, r.MaxMS = ms(t.latencies.quantile(0.5)), ms(t.latencies.quantile(0.99)), ms(t.latencies.quantile(1))
	r.LagP99MS = ms(w.metrics.lags.quantile(0.99))
	r.Seconds = time.Since(began).Seconds()
	r.Details = append(r.Details, t.errors...)
	if w.cfg.Chaos {
		r.FaultsInjected = int64(w.sandbox.Faults().Total())
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
