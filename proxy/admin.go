package proxy

import (
	"cmp"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/banyan-fig/banyan/proxy/cases"
	"github.com/banyan-fig/banyan/proxy/diff"
	"github.com/banyan-fig/banyan/proxy/guard"
	"github.com/banyan-fig/banyan/proxy/observation"
	"github.com/banyan-fig/banyan/proxy/override"
	"github.com/banyan-fig/banyan/proxy/route"
	"github.com/banyan-fig/banyan/proxy/shadow"
)

// Admin is the operators' API: the active routes, where a request would go and why, what is
// left to do, and the overrides. Serve it on a private address. With a token, each request
// but the health checks needs it as a bearer token; without one there is no authentication.
//
//	GET    /healthz                                200 while the process runs
//	GET    /readyz                                 200 while requests should come here, 503 while draining
//	GET    /metrics                                in the text format of Prometheus
//	GET    /status                                 the table and its counters, its source, and why what is there was refused
//	GET    /routes                                 the route file in force, its version as ETag; ?version=v: one of the history
//	PUT    /routes?by=ann&why=orders               replace the version of If-Match: 412 where another stands, 422 with errors by line
//	GET    /routes/history                         what stood at the source, as [source.Version]
//	POST   /routes/rollback?version=v&by=a&why=w   put a version of the history in its place again
//	GET    /report                                 see [Report]
//	GET    /upstreams                              their addresses: health, circuit breaker, requests that wait
//	GET    /explain?method=GET&path=/p&subject=s   the decision for such a request
//	POST   /reload                                 read the source now: 200, or 422 with what is wrong
//	POST   /record?route=r&n=10&for=30s&percent=5  cases of the route's next exchanges, as [Recorded], when there are n or after a time
//	GET    /overrides                              those in force
//	PUT    /overrides/{route}                      set one: {"mode", "percent", "until" or "for", "by", "why", "pinned"}
//	DELETE /overrides/{route}?by=ann&why=mended    clear it
//
// Without a Reloader there is nothing under /status, /routes and /reload.
func Admin(p *Proxy, r *Reloader, token string) http.Handler {
	public, private := http.NewServeMux(), http.NewServeMux()
	public.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	public.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := p.Ready(); err != nil {
			writeError(w, http.StatusServiceUnavailable, err)
		}
	})
	public.Handle("/", authenticated(token, private))
	figures := prometheus.NewRegistry()
	figures.MustRegister(p.cfg.Counters, p.entities, p.written, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	figures.MustRegister(p.cfg.Figures...)
	private.Handle("GET /metrics", promhttp.HandlerFor(figures, promhttp.HandlerOpts{}))
	if r != nil {
		figures.MustRegister(r)
		r.serve(private)
		private.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, state(p, r)) })
		private.HandleFunc("POST /reload", func(w http.ResponseWriter, req *http.Request) {
			status := http.StatusOK
			if err := r.Reload(req.Context()); err != nil {
				status = http.StatusUnprocessableEntity
			}
			writeJSON(w, status, state(p, r))
		})
	}
	private.HandleFunc("GET /report", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, p.Report()) })
	private.HandleFunc("GET /upstreams", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, p.upstreams.Status()) })
	private.HandleFunc("GET /explain", func(w http.ResponseWriter, req *http.Request) { explain(p, w, req) })
	private.HandleFunc("POST /record", func(w http.ResponseWriter, req *http.Request) { record(p, w, req) })
	if t := p.cfg.Overrides; t != nil {
		private.HandleFunc("GET /overrides", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, t.All()) })
		private.HandleFunc("PUT /overrides/{route}", func(w http.ResponseWriter, req *http.Request) { setOverride(p, w, req) })
		private.HandleFunc("DELETE /overrides/{route}", func(w http.ResponseWriter, req *http.Request) {
			q := req.URL.Query()
			changed(w, t.Clear(req.Context(), req.PathValue("route"), q.Get("by"), q.Get("why")))
		})
	}
	return public
}

func authenticated(token string, next http.Handler) http.Handler {
	if token == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+token)) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeError(w, http.StatusUnauthorized, errors.New("the admin token is required, as Authorization: Bearer"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func explain(p *Proxy, w http.ResponseWriter, req *http.Request) {
	q := req.URL.Query()
	path, err := url.Parse(q.Get("path"))
	if err != nil || path.Path == "" {
		writeError(w, http.StatusBadRequest, errors.New("invalid or missing path: it must be such as path=/some/path, escaped as a client sends it"))
		return
	}
	header := http.Header{}
	for _, h := range q["header"] {
		if name, value, ok := strings.Cut(h, ":"); ok {
			header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
		}
	}
	writeJSON(w, http.StatusOK, p.Explain(&route.Request{
		Method: cmp.Or(q.Get("method"), http.MethodGet), Host: cmp.Or(q.Get("host"), path.Host), Path: path.EscapedPath(), Query: path.RawQuery,
		Header: header, Client: q.Get("client"),
	}, q.Get("subject")))
}

// newOverride is the body of PUT /overrides/{route}.
type newOverride struct {
	override.Override
	For string `json:"for"` // instead of until: 2h
}

func setOverride(p *Proxy, w http.ResponseWriter, req *http.Request) {
	var o newOverride
	d := json.NewDecoder(io.LimitReader(req.Body, 1<<16))
	d.DisallowUnknownFields()
	err := d.Decode(&o)
	if o.For != "" && err == nil {
		var life time.Duration
		if life, err = time.ParseDuration(o.For); err == nil {
			o.Until = time.Now().Add(life)
		}
	}
	o.Route = req.PathValue("route")
	r := p.Table().ByName(o.Route)
	switch {
	case err != nil:
	case r == nil:
		writeError(w, http.StatusNotFound, fmt.Errorf("there is no route %q", o.Route))
		return
	case r.To == nil && o.Mode != override.Legacy:
		err = fmt.Errorf("route %q names no upstream that it could be turned to", o.Route)
	default:
		err = o.Validate()
	}
	if err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	changed(w, p.cfg.Overrides.Set(req.Context(), o.Override))
}

// changed answers for a change of an override. One that could not be stored is in force here.
func changed(w http.ResponseWriter, err error) {
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, override.ErrInvalid):
		writeError(w, http.StatusBadRequest, err)
	case errors.Is(err, override.ErrConflict):
		writeError(w, http.StatusConflict, err)
	default:
		writeError(w, http.StatusAccepted, fmt.Errorf("it is in force in this process, and not stored yet: %w", err))
	}
}

func state(p *Proxy, r *Reloader) map[string]any {
	t := p.Table()
	out := map[string]any{"file": t.File, "digest": t.Digest, "inForceSince": t.At, "routes": p.Stats(), "written": p.written.Stats()}
	if all := p.entities.States(); len(all) > 0 {
		out["entities"] = all
	}
	source := r.State()
	out["source"] = source
	if why := cmp.Or(source.Refused, source.Away); why != "" {
		out["refused"] = why
	}
	return out
}

// Report is what an operator has to know before the next step: which endpoints still reach
// the old API, what goes wrong on which route, what the comparison of answers and the guard
// say, and which tokens did not verify.
type Report struct {
	Table    string             `json:"table"` // the digest of the route file in force
	Traffic  observation.Report `json:"traffic"`
	Routes   []RouteReport      `json:"routes,omitempty"` // that are shadowed or guarded
	Subjects map[string]int64   `json:"subjects,omitempty"`
}

// RouteReport is what watches a route's answers.
type RouteReport struct {
	Route  string                   `json:"route"`
	Shadow map[shadow.Outcome]int64 `json:"shadow,omitempty"`
	Diff   *diff.Report             `json:"diff,omitempty"`
	Gate   *diff.Verdict            `json:"gate,omitempty"`
	Guard  []guard.Verdict          `json:"guard,omitempty"`
}

// Report reports.
func (p *Proxy) Report() Report {
	l := p.active.Load()
	out := Report{Table: l.table.Digest, Traffic: p.cfg.Counters.Report(), Subjects: l.subjects.Reasons()}
	var verdicts []guard.Verdict
	if p.cfg.Guard != nil {
		verdicts = p.cfg.Guard.Verdicts()
	}
	stats := map[string]map[shadow.Outcome]int64{}
	if p.cfg.Shadow != nil {
		stats = p.cfg.Shadow.Stats()
	}
	for _, r := range l.table.Routes {
		one := RouteReport{Route: r.Name, Shadow: stats[r.Name]}
		if r.Shadow != nil && p.cfg.Shadow != nil {
			ledger := p.cfg.Shadow.Book().Of(r.Name)
			report, verdict := ledger.Report(), ledger.Verdict(r.Gate)
			one.Diff, one.Gate = &report, &verdict
		}
		for _, v := range verdicts {
			if v.Route == r.Name {
				one.Guard = append(one.Guard, v)
			}
		}
		if one.Gate != nil || one.Guard != nil {
			out.Routes = append(out.Routes, one)
		}
	}
	return out
}

// Recorded are cases that were taken from live exchanges, each as a file for the verb test.
type Recorded struct {
	Cases   []string `json:"cases"`
	Skipped int64    `json:"skipped"` // exchanges that failed, or had bodies that are long or no text
}

func record(p *Proxy, w http.ResponseWriter, req *http.Request) {
	q := req.URL.Query()
	o := cases.Order{Route: p.Table().ByName(q.Get("route"))}
	n, err := strconv.Atoi(cmp.Or(q.Get("n"), "10"))
	life, err2 := time.ParseDuration(cmp.Or(q.Get("for"), "30s"))
	percent, err3 := strconv.ParseFloat(cmp.Or(q.Get("percent"), "100"), 64)
	o.Cases, o.For, o.Percent = n, life, percent
	switch {
	case o.Route == nil:
		writeError(w, http.StatusNotFound, fmt.Errorf("there is no route %q: an endpoint without one needs a name, "+
			"a path and mode legacy in the route file, which changes nothing", q.Get("route")))
		return
	case errors.Join(err, err2, err3) != nil || n < 1 || n > cases.MaxRecorded || life <= 0 || life > time.Hour || !(percent > 0):
		writeError(w, http.StatusBadRequest, fmt.Errorf("n must be 1 to %d, for a duration of at most an hour such as 30s, percent above 0", cases.MaxRecorded))
		return
	}
	control, end := http.NewResponseController(w), time.Now().Add(life+30*time.Second)
	_ = control.SetWriteDeadline(end)
	_ = control.SetReadDeadline(end) // at which the request's context ends
	recorded, skipped, err := p.recorder.Record(req.Context(), o)
	if err != nil {
		writeError(w, http.StatusConflict, err)
		return
	}
	out := Recorded{Skipped: skipped}
	for _, c := range recorded {
		if src, err := c.Marshal(); err == nil {
			out.Cases = append(out.Cases, string(src))
		}
	}
	writeJSON(w, http.StatusOK, out)
}

func writeError(w http.ResponseWriter, status int, err error) {
	writeJSON(w, status, map[string]string{"error": err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
