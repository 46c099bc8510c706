package observation

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Report is what is left to do since the process began: the endpoints that the old API still answers, and what goes
// wrong on the way.
type Report struct {
	Legacy []Endpoint `json:"legacy"` // what reached the old API, the busiest of the last hour first
	Others int64      `json:"others"` // requests to the old API for paths that it does not know, or too many to tell apart
	Routes []Route    `json:"routes"` // by name and side
}

// Endpoint is one that the old API answered: a route of the file by its name, or a method and
// a path in which {id} stands for what differs from request to request.
type Endpoint struct {
	Route     string    `json:"route,omitempty"`
	Method    string    `json:"method,omitempty"`
	Path      string    `json:"path,omitempty"`
	Requests  int64     `json:"requests"`
	PerSecond float64   `json:"perSecond"` // in the last hour
	LastSeen  time.Time `json:"lastSeen"`
}

// Route is one side of one route. The route of requests that none matched is (none).
type Route struct {
	Route     string           `json:"route"`
	Side      string           `json:"side"`
	Exchanges int64            `json:"exchanges"`
	PerSecond float64          `json:"perSecond"` // in the last hour
	LastSeen  time.Time        `json:"lastSeen"`
	FellBack  int64            `json:"fellBack,omitempty"` // to the old API, which answered the client
	Causes    map[string]int64 `json:"causes,omitempty"`   // of exchanges that did not end well
	Unmapped  *Failure         `json:"unmapped,omitempty"` // the last message that could not be mapped
}

// Failure is an exchange that did not end well.
type Failure struct {
	At          time.Time `json:"at"`
	Cause       string    `json:"cause"`
	Error       string    `json:"error"`
	Correlation string    `json:"correlation,omitempty"`
}

// Report is what was counted so far.
func (c *Counters) Report() Report {
	now := time.Now()
	if c.Now != nil {
		now = c.Now()
	}
	out := Report{Others: c.others.count.Load()}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for key, cell := range c.sorted() {
		r := Route{
			Route: key.route, Side: key.side.String(), Exchanges: cell.exchanges(), PerSecond: cell.traffic.perSecond(now),
			LastSeen: cell.traffic.lastSeen(), FellBack: cell.fellBack.Load(), Causes: cell.failures(), Unmapped: cell.unmapped.Load(),
		}
		if key.side == Legacy && key.route != "" {
			out.Legacy = append(out.Legacy, Endpoint{Route: key.route, Requests: r.Exchanges, PerSecond: r.PerSecond, LastSeen: r.LastSeen})
		}
		if key.route == "" {
			r.Route = unrouted
		}
		out.Routes = append(out.Routes, r)
	}
	for at, n := range c.paths.root.all() {
		out.Legacy = append(out.Legacy, Endpoint{
			Method: at[0], Path: at[1], Requests: n.traffic.count.Load(), PerSecond: n.traffic.perSecond(now), LastSeen: n.traffic.lastSeen(),
		})
	}
	slices.SortStableFunc(out.Legacy, func(a, b Endpoint) int {
		return cmp.Or(cmp.Compare(b.PerSecond, a.PerSecond), b.LastSeen.Compare(a.LastSeen))
	})
	return out
}

func (t *traffic) lastSeen() time.Time { return time.Unix(t.last.Load(), 0).UTC() }

// sorted yields the cells by route and side; c.mu must be held.
func (c *Counters) sorted() func(yield func(cellKey, *cell) bool) {
	keys := slices.SortedFunc(maps.Keys(c.cells), func(a, b cellKey) int {
		return cmp.Or(cmp.Compare(a.route, b.route), cmp.Compare(a.side, b.side))
	})
	return func(yield func(cellKey, *cell) bool) {
		for _, key := range keys {
			if !yield(key, c.cells[key]) {
				return
			}
		}
	}
}
