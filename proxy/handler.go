package proxy

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/correlation"
)

// Limits of what one request may cost.
const (
	maxMappedBody = 1 << 20 // a body that is mapped is held in memory
	maxIdleConns  = 256     // per upstream
)

// Proxy forwards requests by the active table. It is an http.Handler, safe
// for concurrent use.
type Proxy struct {
	table     atomic.Pointer[Table]
	written   *written
	transport *http.Transport
	legacy    *httputil.ReverseProxy
	log       *slog.Logger
}

// New makes a Proxy with its first table. A nil logger discards.
func New(t *Table, log *slog.Logger) *Proxy {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p := &Proxy{
		written: newWritten(),
		log:     log,
		transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			MaxIdleConns:          4 * maxIdleConns,
			MaxIdleConnsPerHost:   maxIdleConns,
			IdleConnTimeout:       90 * time.Second,
			ExpectContinueTimeout: time.Second,
			DisableCompression:    true, // bytes pass as they are
		},
	}
	p.legacy = &httputil.ReverseProxy{
		Transport:      p.transport,
		Rewrite:        p.rewriteLegacy,
		ModifyResponse: p.keepWritten,
		ErrorHandler:   p.legacyFailed,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	p.table.Store(t)
	return p
}

// Table returns the active table.
func (p *Proxy) Table() *Table { return p.table.Load() }

// Swap activates a table. Requests in flight finish with the old one.
func (p *Proxy) Swap(t *Table) { p.table.Store(t) }

// Close drops idle connections to the upstreams.
func (p *Proxy) Close() { p.transport.CloseIdleConnections() }

// Explain says where a request would go and why, without sending it.
func (p *Proxy) Explain(method, escapedPath, subject string) Decision {
	return p.Table().decide(method, escapedPath, subject)
}

// trip is one request on its way.
type trip struct {
	table    *Table
	decision Decision
	trusted  bool // the peer's X-Forwarded-* headers are trusted
}

type tripKey struct{}

func tripOf(ctx context.Context) *trip { return ctx.Value(tripKey{}).(*trip) }

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t := p.Table()
	r.Header.Del(events.HeaderReadAfter) // only the proxy sends these
	r.Header.Del(events.HeaderWritten)
	ids := correlation.FromHeader(r.Header)
	trip := &trip{table: t, trusted: t.trusts(r.RemoteAddr)}
	trip.decision = t.decide(r.Method, r.URL.EscapedPath(), t.subjects.subjectOf(r))
	ctx := context.WithValue(correlation.With(r.Context(), ids), tripKey{}, trip)
	r = r.WithContext(ctx)
	// A safe request with a body could not be sent a second time.
	if d := trip.decision; d.Forward && !(isSafe(r.Method) && r.ContentLength != 0) {
		p.forward(w, r, d)
		return
	}
	p.toLegacy(w, r)
}

func (t *Table) trusts(remote string) bool {
	addr, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	for _, prefix := range t.trusted {
		if prefix.Contains(addr.Addr().Unmap()) {
			return true
		}
	}
	return false
}

// toLegacy streams the request to the legacy side and the answer back, byte
// for byte.
func (p *Proxy) toLegacy(w http.ResponseWriter, r *http.Request) {
	t := tripOf(r.Context())
	ctx, cancel := context.WithTimeout(r.Context(), t.table.legacy.timeout)
	defer cancel()
	if t.decision.route != nil {
		t.decision.route.counts.legacy.Add(1)
	}
	p.legacy.ServeHTTP(w, r.WithContext(ctx))
}

func (p *Proxy) rewriteLegacy(pr *httputil.ProxyRequest) {
	t := tripOf(pr.In.Context())
	pr.SetURL(t.table.legacy.url)
	pr.Out.Host = pr.In.Host
	setForwarded(pr, t.trusted)
	correlation.Inject(pr.In.Context(), pr.Out.Header)
}

// setForwarded sets the headers that name the client to the upstream. Only a peer on
// the trusted list may forward for other addresses.
func setForwarded(pr *httputil.ProxyRequest, trusted bool) {
	if trusted {
		pr.Out.Header["X-Forwarded-For"] = pr.In.Header["X-Forwarded-For"]
	}
	pr.SetXForwarded()
	if trusted {
		for _, h := range []string{"X-Forwarded-Proto", "X-Forwarded-Host"} {
			if v := pr.In.Header.Get(h); v != "" {
				pr.Out.Header.Set(h, v)
			}
		}
	}
}

func (p *Proxy) keepWritten(resp *http.Response) error {
	t := tripOf(resp.Request.Context())
	p.written.remember(t.decision.Subject, resp.Header.Get(events.HeaderWritten))
	resp.Header.Del(events.HeaderWritten)
	return nil
}

func (p *Proxy) legacyFailed(w http.ResponseWriter, r *http.Request, err error) {
	t := tripOf(r.Context())
	if r.Context().Err() == context.Canceled {
		w.WriteHeader(499) // the client closed the connection; this is only for logs
		return
	}
	p.log.WarnContext(r.Context(), "the legacy app did not answer", "method", r.Method, "path", r.URL.Path, "error", err)
	p.writeError(w, r, t, err)
}
