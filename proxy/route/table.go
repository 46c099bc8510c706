package route

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/proxy/diff"
	"github.com/banyan-fig/banyan/proxy/guard"
	"github.com/banyan-fig/banyan/proxy/mapping"
	"github.com/banyan-fig/banyan/proxy/override"
	"github.com/banyan-fig/banyan/proxy/shadow"
	"github.com/banyan-fig/banyan/proxy/subject"
	"github.com/banyan-fig/banyan/proxy/upstream"
	"github.com/banyan-fig/banyan/proxy/written"
)

// Table is a compiled route file. It does not change, and is safe for concurrent use.
type Table struct {
	File   string    // where it was read from
	Digest string    // of the file's bytes
	At     time.Time // when it was compiled

	Legacy     *Upstream
	Upstreams  map[string]*Upstream
	Routes     []*Route               // in the file's order
	Subject    *subject.Config        // nil: no request has a subject
	Error      *mapping.Template      // the body of the proxy's own errors; nil: problem+json
	Trusted    []netip.Prefix         // peers whose word on the client is taken
	Client     *ClientVersion         // nil: clients have no version
	MaxMapped  int64                  // bytes of a body that is mapped
	Entities   []string               // that routes depend on
	Positions  *written.ClientsConfig // how clients keep that of their last write; nil: they do not
	Everywhere bool                   // clients are given it also by requests that no route matches
	hosts      map[string]*tree       // by host in lower case, without port
	anyHost    *tree                  // routes of all hosts
	byName     map[string]*Route
}

// Timeouts bound an exchange with an upstream. None counts how long the client takes to read
// or to send; a client that does neither for Idle is given up.
type Timeouts struct {
	FirstByte time.Duration // from the whole request sent to the head of the answer
	Idle      time.Duration // between two bytes of a body, in either direction
	Total     time.Duration // of the whole exchange; 0: no limit
}

// Upstream is where requests can go.
type Upstream struct {
	Name     string
	Config   upstream.Config
	Timeouts Timeouts
}

// Mode says where the requests of a route go.
type Mode string

// The modes.
const (
	Legacy  Mode = "legacy"
	Forward Mode = "forward"
	Split   Mode = "split"
)

// Route is one old endpoint's rule.
type Route struct {
	Name      string
	Mode      Mode
	Percent   float64
	To        *Upstream            // nil for a route whose mode is legacy and that names none
	Timeouts  Timeouts             // with To
	Fallback  bool                 // a GET or HEAD that fails at To goes to the legacy side
	Follows   bool                 // reads follow writes
	Positions bool                 // the answer to a write gives its position to the client
	Public    bool                 // forwarded also without a subject
	Entity    *Entity              // whose migration it depends on; nil: none
	Request   *mapping.RequestMap  // nil: as it came
	Response  *mapping.ResponseMap // nil: as it came

	Shadow  *shadow.Route // nil: requests are not repeated
	Gate    diff.Gate
	Secrets *diff.Secrets // removes them from what is kept of exchanges
	Guard   *guard.Budget // nil: nothing turns it back

	index   int
	methods []string // none: all
	host    string   // "": all
	match   conditions
	pattern pattern
	path    string // as written
	cohort  cohort
	pinned  map[string]Mode // by subject
}

// Request is what a table decides by.
type Request struct {
	Method, Host string // Host may have a port
	Path         string // escaped, as it came
	Query        string // raw
	Header       http.Header
	Client       string // its address: what a public route splits those by that have no subject
}

// Plan says where a request goes, and why.
type Plan struct {
	Route   *Route // nil where none matched
	Params  []Param
	Forward bool // to Route.To rather than the legacy side
	Subject string
	Why     string
}

// RouteName is that of the route, "" where none matched.
func (p Plan) RouteName() string {
	if p.Route == nil {
		return ""
	}
	return p.Route.Name
}

// Reasons of a Plan.
const (
	WhyNoRoute    = "no route matches: legacy"
	WhyBadPath    = "the path has empty or dot segments, an invalid escape or too many segments: legacy, unchanged"
	WhyLegacy     = "the route's mode is legacy"
	WhyForward    = "the route's mode is forward"
	WhyNoSubject  = "the request has no valid token, and the route is not public: legacy"
	WhyInCohort   = "the subject, or without one the client's address, is in the cohort"
	WhyNotCohort  = "the subject, or without one the client's address, is not in the cohort"
	WhyPinned     = "the subject is pinned by the route"
	WhyOverridden = "an override turns the route: "
)

// Overrides are how an operator or a guard turns a route.
type Overrides interface {
	Of(route string) (override.Override, bool)
}

// Plan finds the route and its side. who is asked for the subject at most once, and only
// where the route needs it. Without records, no entity is known. It has no effects.
func (t *Table) Plan(r *Request, who func() string, overrides Overrides, records Records) Plan {
	var room [16]string
	path, ok := split(r.Path, room[:0])
	if !ok {
		return Plan{Why: WhyBadPath}
	}
	found := t.find(r, path)
	if found == nil {
		return Plan{Why: WhyNoRoute}
	}
	p := Plan{Route: found, Params: found.pattern.params(r.Path, path)}
	mode, followed := found.ModeNow(records)
	percent, why := found.Percent, ""
	if overrides != nil {
		if o, turned := overrides.Of(found.Name); turned && (found.To != nil || o.Mode == string(Legacy)) {
			mode, percent, why = Mode(o.Mode), o.Percent, WhyOverridden+o.Why
		}
	}
	p.choose(mode, percent, who, r.Client)
	switch {
	case why != "":
		p.Why = why
	case followed != "" && (p.Why == WhyForward || p.Why == WhyLegacy):
		p.Why = followed
	}
	return p
}

// choose takes a side.
func (p *Plan) choose(mode Mode, percent float64, who func() string, client string) {
	r := p.Route
	if mode == Legacy {
		p.Why = WhyLegacy
		return
	}
	if mode == Split || !r.Public || len(r.pinned) > 0 {
		p.Subject = who()
	}
	pinned, isPinned := r.pinned[p.Subject]
	switch {
	case p.Subject == "" && !r.Public:
		p.Why = WhyNoSubject
	case isPinned && p.Subject != "":
		p.Forward, p.Why = pinned == Forward, WhyPinned
	case mode == Forward:
		p.Forward, p.Why = true, WhyForward
	case r.cohort.contains(cmp.Or(p.Subject, client), percent):
		p.Forward, p.Why = true, WhyInCohort
	default:
		p.Why = WhyNotCohort
	}
}

func (t *Table) find(r *Request, path []string) *Route {
	admits := func(o *Route) bool { return o.admits(r) }
	var best *Route
	if len(t.hosts) > 0 {
		if own := t.hosts[hostOf(r.Host)]; own != nil {
			best = own.find(path, nil, admits)
		}
	}
	return t.anyHost.find(path, best, admits)
}

func (r *Route) admits(q *Request) bool {
	return (len(r.methods) == 0 || slices.Contains(r.methods, q.Method)) && r.match.hold(q)
}

// takesAllOf reports whether every request of o's method, host and conditions is one of r.
func (r *Route) takesAllOf(o *Route) bool {
	if !r.match.isEmpty() || r.host != "" && r.host != o.host {
		return false
	}
	if len(r.methods) == 0 {
		return true
	}
	return len(o.methods) > 0 && !slices.ContainsFunc(o.methods, func(m string) bool { return !slices.Contains(r.methods, m) })
}

// Path is the pattern as written.
func (r *Route) Path() string { return r.path }

// Methods are those that match; none: all.
func (r *Route) Methods() []string { return r.methods }

// ByName returns a route, nil for none of that name.
func (t *Table) ByName(name string) *Route { return t.byName[name] }

// Trusts reports whether the peer's word on the client is taken, remote being its address
// and port.
func (t *Table) Trusts(remote string) bool { return subject.Trusts(t.Trusted, remote) }

// IsSafe reports whether requests of the method change nothing (RFC 9110, 9.2.1), of those
// that a route may repeat at another side.
func IsSafe(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// hostOf is the host in lower case, without its port.
func hostOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
