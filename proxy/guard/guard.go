// Package guard turns a route back to the legacy app by itself when the new API does worse
// there: more requests fail, more are slow, or more answers differ than the route's [Budget]
// allows above the legacy app's share in the same time.
//
//	g := guard.New(guard.Config{Overrides: overrides, Log: log})
//	err := g.SetBudgets(map[string]guard.Budget{"order": {Errors: 1}}) // at each reload, too
//	go g.Run(ctx)
//	g.Observe(o) // each observation; a few atomic additions
//
// # When
//
// Each second, by an exact sequential test (package evidence) that may look as often as it
// likes and needs no number of requests. With the default of at most one turn without a
// cause in 30 days, one budget and 1 more of 100 allowed, it acts in the simulation of that
// package's tests after:
//
//	requests/s  on the new side  fail there  on legacy   median  nine in ten  failed by then
//	         1            all         100%          -      7 s          8 s               6
//	         1            all          50%          -     13 s         21 s               6
//	         1           half         100%       0.5%     33 s         51 s              15
//	         1             5%         100%       0.5%    135 s        196 s               6
//	      1000           half         100%       0.5%      3 s          3 s            1500
//	      1000           half           5%       0.5%      4 s          5 s             100
//	      1000           half         2.5%       0.5%     20 s         30 s             250
//	      1000             1%          10%       0.5%     14 s         24 s              15
//
// A few failures at a low rate are evidence as much as many at a high one; the counts of a
// second, whatever they are, are not (Budget.Sustained), nor is the absence of requests.
// Where all requests go to the new API there is nobody to compare with, and the budget is
// an absolute one, unless the legacy app answers shadow requests, or what fell back: what it
// could not answer either is no failure of the new API.
//
// What the client did is no failure and no success. Of latency only the time to the first byte
// of requests without a body counts. A status below 500 is taken for an answer: a new API that
// says 404 to everything is found by the comparison of answers.
//
// # What then
//
// The guard sets an override with mode legacy, made by [By], which package override puts in
// force at once, writes to the audit and shares. It stays until an operator clears it or, with
// Budget.RetryAfter, until a small percentage may try: a trial ends well, and the override with
// it, once it lasted that long and [Enough] of its requests leave no doubt. Each further time
// within a day the route stays back twice as long. An override that an operator pinned is not
// touched.
//
// # In a fleet
//
// Processes share their decisions, through the overrides, and with [Config.Peers] what they
// count: each adds to its own what the others counted meanwhile, every five seconds, or each
// second while there is a doubt about a route. So a fleet of many needs a few seconds more than
// one process. Each judges for itself: where nobody can be reached it goes on with its own counts,
// and nothing that it does waits for a store. Without shared counts it can take as many times
// longer as there are processes, and turns without a cause are as many times as likely.
package guard

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/banyan-fig/banyan/proxy/observation"
	"github.com/banyan-fig/banyan/proxy/override"
)

// By is who a guard's overrides are made by.
const By = "guard"

// Enough is how many requests of a trial must have been judged before it can end well.
const Enough = 20

// Config configures a [Guard].
type Config struct {
	Overrides *override.Table  // required
	Peers     Peers            // default: this process judges by its own counts alone
	Now       func() time.Time // default time.Now
	Log       *slog.Logger     // default discards; turns are in the override table's log
}

// Guard watches the routes that have a budget. All methods are safe for concurrent use.
type Guard struct {
	cfg    Config
	routes atomic.Pointer[map[string]*route]
	mu     sync.Mutex        // one check at a time
	others map[string]Totals // as of the last exchange
	shared time.Time         // when that was
}

// New returns a guard without budgets.
func New(cfg Config) *Guard {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	g := &Guard{cfg: cfg}
	g.routes.Store(&map[string]*route{})
	return g
}

// SetBudgets replaces the budgets, by the route's name. A route whose budget is the same
// keeps its evidence. It fails for the first budget that is invalid, and then changes none.
func (g *Guard) SetBudgets(budgets map[string]Budget) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	before, next := *g.routes.Load(), make(map[string]*route, len(budgets))
	for _, name := range slices.Sorted(maps.Keys(budgets)) {
		if err := budgets[name].Validate(); err != nil {
			return fmt.Errorf("guard of route %q: %w", name, err)
		}
		next[name] = before[name]
		if r := before[name]; r == nil || r.budget != budgets[name] {
			next[name] = newRoute(name, budgets[name])
		}
	}
	g.routes.Store(&next)
	return nil
}

// Observe takes an exchange into account: those with the new API whose answers went to
// clients, and those with the legacy app, shadow requests included. It does not keep o.
func (g *Guard) Observe(o *observation.Observation) {
	if r := (*g.routes.Load())[o.Route]; r != nil {
		r.observe(o, r.budget.Latency.Over)
	}
}

// Compared takes the comparison of two answers to one request into account.
func (g *Guard) Compared(route string, differs bool) {
	if r := (*g.routes.Load())[route]; r != nil {
		r.diffs.add(differs)
	}
}

// Run checks all routes each second, and shares counts, until ctx ends.
func (g *Guard) Run(ctx context.Context) {
	var sharing sync.WaitGroup
	defer sharing.Wait()
	if g.cfg.Peers != nil {
		sharing.Go(func() { g.share(ctx) })
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			g.Check()
		}
	}
}

// Check is what Run does each second: it judges what was observed since it was last called,
// and takes that for the observations of one second.
func (g *Guard) Check() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.cfg.Now()
	for _, r := range *g.routes.Load() {
		last, _ := g.cfg.Overrides.Last(r.name)
		next := r.check(now, last)
		if next == nil {
			continue
		}
		next.Route, next.By = r.name, By
		if err := g.cfg.Overrides.Apply(*next); err != nil {
			g.cfg.Log.Error("guard cannot turn a route", "route", r.name, "why", next.Why, "error", err.Error())
		}
	}
}

// Verdict is what a guard thinks of one budget of a route.
type Verdict struct {
	Route  string `json:"route"`
	Budget string `json:"budget"` // errors, latency or diffs
	State  string `json:"state"`  // watching, back, trial, or pinned by an operator
	// Evidence is how much of the evidence that is needed there is, 0 to 1, logarithmic.
	Evidence float64 `json:"evidence"`
	// New and Legacy are the percentages of bad requests lately, of NewRequests and LegacyRequests.
	New            float64 `json:"new"`
	Legacy         float64 `json:"legacy"`
	NewRequests    float64 `json:"newRequests"`
	LegacyRequests float64 `json:"legacyRequests"`
	Allowed        float64 `json:"allowed"` // percentage points above Legacy
}

// Verdicts returns one verdict a budget, by route.
func (g *Guard) Verdicts() []Verdict {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.cfg.Now()
	var all []Verdict
	for _, r := range *g.routes.Load() {
		last, _ := g.cfg.Overrides.Last(r.name)
		for i, m := range r.meters {
			if m == nil {
				continue
			}
			all = append(all, Verdict{
				r.name, kindNames[i], r.state(now, last), m.test.Level(),
				share(m.recent.bad, m.recent.all), share(m.recent.otherBad, m.recent.otherAll),
				m.recent.all, m.recent.otherAll, m.allowed,
			})
		}
	}
	slices.SortFunc(all, func(a, b Verdict) int {
		return cmp.Or(cmp.Compare(a.Route, b.Route), cmp.Compare(a.Budget, b.Budget))
	})
	return all
}

// share is a percentage.
func share(bad, all float64) float64 {
	if all == 0 {
		return 0
	}
	return 100 * (bad / all)
}
