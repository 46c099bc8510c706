package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/proxy/cases"
	"github.com/banyan-fig/banyan/proxy/follow"
	"github.com/banyan-fig/banyan/proxy/guard"
	"github.com/banyan-fig/banyan/proxy/observation"
	"github.com/banyan-fig/banyan/proxy/override"
	"github.com/banyan-fig/banyan/proxy/route"
	"github.com/banyan-fig/banyan/proxy/shadow"
	"github.com/banyan-fig/banyan/proxy/subject"
	"github.com/banyan-fig/banyan/proxy/upstream"
	"github.com/banyan-fig/banyan/proxy/written"
)

// Config is what a Proxy needs besides a table. The zero value works.
type Config struct {
	Overrides *override.Table        // turn routes; default none
	Counters  *observation.Counters  // default new ones
	Guard     *guard.Guard           // turns routes back; its Run is the caller's. Default none
	Shadow    *shadow.Shadow         // repeats requests on the other side; the caller closes it. Default none
	Sinks     []observation.Sink     // are given every observation, in this order
	Settings  *config.Settings       // resolve references to secrets; default those of the environment
	Follow    follow.Config          // reads who owns the entities that routes depend on
	Written   *written.Table         // shares with other proxies how far a subject's writes are; default: they do not know
	Spans     trace.TracerProvider   // takes a span of each exchange and of each side that it asks. Default none: traceparent passes
	Figures   []prometheus.Collector // more of them for the operators' /metrics
	Log       *slog.Logger           // default discards
}

// Proxy forwards requests by the active table. It is an http.Handler, safe for concurrent
// use. Serve it with net/http's server: [Server] has the limits that it needs.
type Proxy struct {
	cfg       Config
	active    atomic.Pointer[live]
	upstreams *upstream.Set
	shadowed  *upstream.Set // connections for shadows alone
	written   *written.Positions
	entities  *follow.Records
	overrides route.Overrides
	sinks     []observation.Sink
	tracer    trace.Tracer // nil: no spans
	log       *slog.Logger
	tunnels   tunnels
	recorder  cases.Recorder
	draining  atomic.Bool
}

// live is a table with what it needs of the world. It does not change.
type live struct {
	table     *route.Table
	legacy    *upstream.Upstream
	upstreams map[string]*upstream.Upstream
	shadows   map[string]*upstream.Upstream
	subjects  *subject.Resolver // nil: no request has a subject
	clients   *written.Clients  // nil: they are given no positions
}

// New makes a Proxy with its first table. It fails as [Proxy.Swap] does, but not because records
// of entities cannot be read: until they can, it is not [Proxy.Ready], and writes of the
// routes that depend on them are refused, since either side may own what is written.
func New(ctx context.Context, t *route.Table, cfg Config) (*Proxy, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Settings == nil {
		cfg.Settings = config.NewSettings()
	}
	if cfg.Counters == nil {
		cfg.Counters = &observation.Counters{}
	}
	sinks := append([]observation.Sink{cfg.Counters}, cfg.Sinks...)
	if cfg.Guard != nil {
		sinks = append(sinks, cfg.Guard)
	}
	if cfg.Follow.Log == nil {
		cfg.Follow.Log = cfg.Log
	}
	p := &Proxy{
		cfg: cfg, upstreams: upstream.NewSet(), shadowed: upstream.NewSet(), written: written.New(cfg.Written), entities: follow.New(cfg.Follow),
		sinks: sinks, log: cfg.Log,
	}
	p.upstreams.Log = cfg.Log
	if cfg.Spans != nil {
		p.tracer = cfg.Spans.Tracer("github.com/banyan-fig/banyan/proxy")
	}
	if cfg.Overrides != nil {
		p.overrides = cfg.Overrides
	}
	if err := p.Swap(ctx, t); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Table returns the active table.
func (p *Proxy) Table() *route.Table { return p.active.Load().table }

// Swap activates a table. Requests in flight finish with the old one. It fails, and changes
// nothing, where keys, or the records of the entities that routes depend on, cannot be had.
func (p *Proxy) Swap(ctx context.Context, t *route.Table) error {
	old, next := p.active.Load(), &live{table: t}
	follow, err := p.open(ctx, next, old)
	if err == nil {
		err = p.watch(t)
	}
	if err != nil {
		next.close(old)
		return err
	}
	var all []upstream.Config
	for _, u := range t.Upstreams {
		all = append(all, u.Config)
	}
	next.upstreams = p.upstreams.Use(all)
	if slices.ContainsFunc(t.Routes, func(r *route.Route) bool { return r.Shadow != nil }) {
		next.shadows = p.shadowed.Use(all)
	}
	next.legacy = next.upstreams[t.Legacy.Name]
	forget := follow()
	p.active.Store(next)
	forget()
	old.close(next)
	return nil
}

// watch gives the guard the table's budgets, and begins to compare anew where what is
// compared has changed.
func (p *Proxy) watch(t *route.Table) error {
	budgets := map[string]guard.Budget{}
	for _, r := range t.Routes {
		if r.Guard != nil {
			budgets[r.Name] = *r.Guard
		}
		if r.Shadow != nil && p.cfg.Shadow != nil {
			p.cfg.Shadow.Use(r.Shadow)
		}
	}
	if p.cfg.Guard == nil {
		return nil
	}
	return p.cfg.Guard.SetBudgets(budgets)
}

// open reads what the table needs of the world, where old has not got it already. follow
// begins to follow its entities too, and forget ends to follow others.
func (p *Proxy) open(ctx context.Context, next, old *live) (follow func() (forget func()), err error) {
	if s := next.table.Subject; s != nil {
		if old != nil && old.subjects != nil {
			next.subjects, err = old.subjects.Reopen(ctx, *s)
		} else {
			next.subjects, err = subject.Open(ctx, *s, p.cfg.Settings, p.log)
		}
		if err != nil {
			return nil, err
		}
	}
	if c := next.table.Positions; c != nil {
		if old != nil && old.clients != nil && old.clients.Config() == *c {
			next.clients = old.clients
		} else if next.clients, err = written.OpenClients(ctx, *c, p.written, p.cfg.Settings, p.log); err != nil {
			return nil, err
		}
	}
	return p.entities.Prepare(ctx, next.table.Entities, old == nil)
}

// close ends what another table does not use.
func (l *live) close(other *live) {
	if l == nil {
		return
	}
	if other == nil || l.subjects != other.subjects {
		l.subjects.Close()
	}
	if other == nil || l.clients != other.clients {
		l.clients.Close()
	}
}

// RouteStats are one route's counts since the process began.
type RouteStats struct {
	Route   string  `json:"route"`
	Mode    string  `json:"mode"` // as the migration of its entity has it now
	Percent float64 `json:"percent,omitempty"`
	observation.RouteCounts
	Override *override.Override `json:"override,omitempty"`
}

// Stats lists the routes in the file's order.
func (p *Proxy) Stats() []RouteStats {
	t := p.Table()
	out := make([]RouteStats, 0, len(t.Routes))
	for _, r := range t.Routes {
		mode, _ := r.ModeNow(p.entities)
		s := RouteStats{Route: r.Name, Mode: string(mode), Percent: r.Percent, RouteCounts: p.cfg.Counters.Of(r.Name)}
		if o, turned := p.override(r.Name); turned {
			s.Override = &o
		}
		out = append(out, s)
	}
	return out
}

func (p *Proxy) override(name string) (override.Override, bool) {
	if p.overrides == nil {
		return override.Override{}, false
	}
	return p.overrides.Of(name)
}

// Drain has [Proxy.Ready] fail, so that a load balancer sends no more.
func (p *Proxy) Drain() { p.draining.Store(true) }

// Ready returns nil where requests should come here, or why not.
func (p *Proxy) Ready() error {
	if p.draining.Load() {
		return errors.New("draining")
	}
	if unread := p.entities.Unread(); len(unread) > 0 {
		return fmt.Errorf("the owner of %s was not read yet", strings.Join(unread, ", "))
	}
	return nil
}

// Close ends the tunnels that are open and drops idle connections to the upstreams.
func (p *Proxy) Close() {
	p.tunnels.close()
	p.upstreams.Close()
	p.entities.Close()
	p.shadowed.Close()
	p.active.Load().close(nil)
}

// Explanation says where a request would go, and why.
type Explanation struct {
	Table    string            `json:"table"`    // the digest of the route file in force
	Route    string            `json:"route"`    // "" when no route matched
	Upstream string            `json:"upstream"` // its name in the route file
	Forward  bool              `json:"forward"`  // to a new API rather than the legacy side
	Subject  string            `json:"subject,omitempty"`
	Params   map[string]string `json:"params,omitempty"`
	Reason   string            `json:"reason"`
	Entity   *follow.State     `json:"entity,omitempty"` // that the route depends on
}

// Explain says where a request of the subject would go and why, without sending it. Where
// who is "" the subject is that of the request's headers, which may be a call of the look-up.
func (p *Proxy) Explain(r *route.Request, who string) Explanation {
	l := p.active.Load()
	t := l.table
	undecided := false
	plan := t.Plan(r, func() string {
		if who == "" && l.subjects != nil {
			s, err := l.subjects.Resolve(&http.Request{Header: r.Header, RemoteAddr: net.JoinHostPort(r.Client, "0")})
			who = s.ID // "" for a token that is refused, as in ServeHTTP
			undecided = errors.Is(err, subject.ErrUndecided) && isWrite(r.Method)
		}
		return who
	}, p.overrides, p.entities)
	if undecided {
		plan.Why = "it cannot be told now whose the request is: it is refused with 503"
	}
	e := Explanation{Table: t.Digest, Route: plan.RouteName(), Upstream: t.Legacy.Name, Forward: plan.Forward, Subject: who, Reason: plan.Why}
	if plan.Forward {
		e.Upstream = plan.Route.To.Name
	}
	if r := plan.Route; r != nil && r.Entity != nil {
		if s, known := p.entities.State(r.Entity.Name); known {
			e.Entity = &s
		}
	}
	for _, param := range plan.Params {
		if e.Params == nil {
			e.Params = map[string]string{}
		}
		e.Params[param.Name] = param.Value
	}
	return e
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l := p.active.Load()
	x := &exchange{proxy: p, live: l, started: time.Now()}
	x.bind(w, r)
	defer p.tellPanic(r)
	x.idle = l.table.Legacy.Timeouts.Idle
	x.trusted = l.table.Trusts(r.RemoteAddr)
	if p.tracer != nil {
		defer x.traced(p.tracer)()
	}
	target, no := admit(w, r)
	if no != nil {
		x.refuse(no.status, no.detail)
		return
	}
	x.target = target
	x.path, x.query, _ = strings.Cut(target, "?")
	x.upgrade = isWebSocket(r)
	x.serve()
}

// tellPanic logs a panic that would end the connection without a word: what the server says of
// single clients is not logged.
func (p *Proxy) tellPanic(r *http.Request) {
	fault := recover()
	if fault == nil {
		return
	}
	if fault != http.ErrAbortHandler {
		p.log.Error("an exchange panicked, which is a fault of the proxy", "method", r.Method, "panic", fmt.Sprint(fault), "stack", string(debug.Stack()))
	}
	panic(http.ErrAbortHandler)
}
