package guard

import (
	"context"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/proxy/guard/evidence"
)

// Peers is how the guards of a fleet know what the others counted. Package peers has one in DynamoDB.
type Peers interface {
	// Exchange publishes what this process counted since it began, and returns the same of
	// each other process, by any name that no two share.
	Exchange(ctx context.Context, mine Totals) (others map[string]Totals, err error)
}

// Totals are the counts of a process by route, which only grow while it runs.
type Totals map[string]Counts

// Counts are those of one route, to be passed on as they are: for errors, latency and
// differences bad and all of the new side, bad and all of the legacy side, and excused.
type Counts [kinds][5]int64

// plus adds other times sign.
func (c Counts) plus(other Counts, sign int64) Counts {
	for kind := range c {
		for i := range c[kind] {
			c[kind][i] += sign * other[kind][i]
		}
	}
	return c
}

// isSome reports whether it counts something, and nothing less than before.
func (c Counts) isSome() bool {
	some := false
	for kind := range c {
		for _, n := range c[kind] {
			if n < 0 {
				return false
			}
			some = some || n > 0
		}
	}
	return some
}

func (c Counts) block(kind int) evidence.Block {
	n := c[kind]
	return evidence.Block{Bad: n[0], All: n[1], OtherBad: n[2], OtherAll: n[3], Excused: n[4]}
}

// shareEvery is how often counts are exchanged, and soon how often while there is a doubt about
// a route; shareLimit is how long that may take, and stale how long after the last exchange the
// counts of others are no longer of the same time.
const (
	shareEvery = 5 * time.Second
	soon       = time.Second
	shareLimit = 2 * time.Second
	stale      = 30 * time.Second
)

// share exchanges counts until ctx ends.
func (g *Guard) share(ctx context.Context) {
	var failed error
	for next := shareEvery; backoff.Sleep(ctx, next) == nil; {
		var err error
		if next, err = g.Share(ctx); err != nil && failed == nil && ctx.Err() == nil {
			g.cfg.Log.Error("guards cannot share their counts: each goes on with its own", "error", err.Error())
		}
		failed = err
	}
}

// Share is what Run does every five seconds, and each second while there is a doubt about a
// route: it exchanges counts with the other processes, whose new ones the next Check takes into
// account, and says when to do so again. What they counted before this process knew them, or
// while it could not reach them for long, is left out.
func (g *Guard) Share(ctx context.Context) (next time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, shareLimit)
	defer cancel()
	others, err := g.cfg.Peers.Exchange(ctx, g.totals())
	if err != nil {
		return shareEvery, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.cfg.Now()
	fresh := now.Sub(g.shared) < stale
	for name, totals := range others {
		before, known := g.others[name]
		for route, counts := range totals {
			delta := counts.plus(before[route], -1)
			if r := (*g.routes.Load())[route]; r != nil && known && fresh && delta.isSome() {
				r.foreign = r.foreign.plus(delta, 1)
			}
		}
	}
	g.others, g.shared = others, now
	for _, r := range *g.routes.Load() {
		if r.isDoubted() {
			return soon, nil
		}
	}
	return shareEvery, nil
}

func (g *Guard) totals() Totals {
	g.mu.Lock()
	defer g.mu.Unlock()
	mine := Totals{}
	for name, r := range *g.routes.Load() {
		if r.total.isSome() {
			mine[name] = r.total
		}
	}
	return mine
}
