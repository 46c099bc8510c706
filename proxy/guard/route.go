package guard

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/proxy/guard/evidence"
	"github.com/banyan-fig/banyan/proxy/override"
)

// The kinds of budgets.
const (
	byErrors = iota
	byLatency
	byDiffs
	kinds
)

var (
	kindNames = [kinds]string{"errors", "latency", "diffs"}
	badIs     = [kinds]string{"of the requests failed", "of the answers were slow", "of the answers differed"}
)

// meter is the test of one budget.
type meter struct {
	test    *evidence.Test
	allowed float64 // percentage points
	recent  sums
}

type sums struct{ bad, all, otherBad, otherAll float64 }

// fade makes recent the sums of about half a minute.
const fade = 1 - 1./30

func (m *meter) add(b evidence.Block) (breach bool) {
	r := &m.recent
	r.bad, r.all = r.bad*fade+float64(b.Bad), r.all*fade+float64(b.All)
	r.otherBad, r.otherAll = r.otherBad*fade+float64(b.OtherBad), r.otherAll*fade+float64(b.OtherAll)
	return m.test.Add(b)
}

// route is one with a budget.
type route struct {
	counts
	name   string
	budget Budget

	// Of Check, under its lock.
	meters  [kinds]*meter     // nil: no budget
	seen    time.Time         // when the new side last answered a client
	turned  override.Override // since when the evidence is collected
	judged  int64             // requests since then
	total   Counts            // since the budget is what it is, of this process
	foreign Counts            // of others, not judged yet
}

// reset begins anew.
func (r *route) reset() {
	r.judged = 0
	for _, m := range r.meters {
		if m != nil {
			m.test.Reset()
			m.recent = sums{}
		}
	}
}

func newRoute(name string, b Budget) *route {
	r := &route{name: name, budget: b}
	allowed := [kinds]float64{b.Errors, b.Latency.Share, b.Diffs}
	budgets := slices.DeleteFunc(slices.Clone(allowed[:]), func(a float64) bool { return a == 0 })
	for kind, a := range allowed {
		if a > 0 {
			r.meters[kind] = &meter{allowed: a, test: evidence.New(evidence.Config{
				Margin: a / 100, Seconds: cmp.Or(b.FalseAlarm, 720*time.Hour).Seconds() * float64(len(budgets)),
				Sustained: int(cmp.Or(b.Sustained, 3*time.Second).Round(time.Second) / time.Second),
			})}
		}
	}
	return r
}

// What a guard makes of a route.
const (
	watching = "watching"
	back     = "back"
	onTrial  = "trial"
	pinned   = "pinned"
)

func (r *route) state(now time.Time, o override.Override) string {
	switch {
	case !o.InForce(now):
		return watching
	case o.Mode == override.Legacy:
		return back
	case o.Pinned:
		return pinned
	case o.By == By && o.Mode == override.Split:
		return onTrial
	}
	return watching
}

// check judges the last second, and returns the override that follows from it, if any. last
// is the route's newest override, in force or not.
func (r *route) check(now time.Time, last override.Override) *override.Override {
	second := r.drain()
	r.total = r.total.plus(second, 1)
	second, r.foreign = second.plus(r.foreign, 1), Counts{}
	if o := r.turned; o.Mode != last.Mode || o.By != last.By || !o.At.Equal(last.At) {
		r.turned = last
		r.reset()
	}
	state := r.state(now, last)
	if state == back {
		return r.tryAgain(now, last)
	}
	breach := r.judge(now, second)
	switch {
	case breach != "" && state != pinned:
		return &override.Override{Mode: override.Legacy, Why: breach, Attempt: r.attempt(now, last)}
	case state == onTrial:
		return r.endTrial(now, last)
	}
	return nil
}

// judge returns what the budgets that are used up say. Differences count while clients are
// given the answers of the new API.
func (r *route) judge(now time.Time, second Counts) (breach string) {
	if n := second.block(byErrors).All; n > 0 {
		r.seen = now
		r.judged += n
	}
	var breaches []string
	for kind, m := range r.meters {
		if m == nil || kind == byDiffs && now.Sub(r.seen) > time.Minute {
			continue
		}
		if m.add(second.block(kind)) {
			breaches = append(breaches, m.describe(kind))
		}
	}
	return strings.Join(breaches, "; ")
}

func (m *meter) describe(kind int) string {
	r := m.recent
	text := fmt.Sprintf("%s: %.3g%% %s in the last half minute", kindNames[kind], share(r.bad, r.all), badIs[kind])
	if r.otherAll > 0 {
		text += fmt.Sprintf(", %.3g%% of the legacy app's", share(r.otherBad, r.otherAll))
	}
	return text + fmt.Sprintf("; %.3g more of 100 are allowed", m.allowed)
}

// attempt counts on from a turn of the last day that no operator has followed.
func (r *route) attempt(now time.Time, last override.Override) int {
	if last.By == By && now.Sub(last.At) < longestRetry {
		return last.Attempt + 1
	}
	return 1
}

func (r *route) tryAgain(now time.Time, last override.Override) *override.Override {
	wait := r.budget.retryAfter(last.Attempt)
	if last.By != By || last.Pinned || wait == 0 || now.Sub(last.At) < wait {
		return nil
	}
	return &override.Override{
		Mode: override.Split, Percent: cmp.Or(r.budget.RetryPercent, 1), Attempt: last.Attempt,
		Why: fmt.Sprintf("trial, %v after: %.800s", wait, last.Why),
	}
}

// doubt is how much of the evidence is needed for a closer look, and to keep a trial going.
const doubt = .2

func (r *route) isDoubted() bool {
	return slices.ContainsFunc(r.meters[:], func(m *meter) bool { return m != nil && m.test.Level() > doubt })
}

func (r *route) endTrial(now time.Time, last override.Override) *override.Override {
	if r.judged < Enough || r.isDoubted() || now.Sub(last.At) < r.budget.RetryAfter {
		return nil
	}
	return &override.Override{Attempt: last.Attempt, Why: fmt.Sprintf("the trial of %d requests went well", r.judged)}
}
