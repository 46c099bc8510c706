package proxy_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/banyan-fig/banyan/infra/telemetry/spans"
	"github.com/banyan-fig/banyan/infra/telemetry/spans/spanstest"
	"github.com/banyan-fig/banyan/proxy"
	"github.com/banyan-fig/banyan/proxy/shadow"
)

// tracedWorld is a world whose spans go to a collector. finish waits for all of them.
func tracedWorld(t *testing.T, cfg proxy.Config) (w *world, c *spanstest.Collector, finish func()) {
	c = spanstest.New(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	tracing, err := spans.Open(t.Context(), "banyan-proxy", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Spans = tracing
	w = newWorldWith(t, cfg)
	front := httptest.NewServer(w.proxy)
	w.url = front.URL
	return w, c, func() {
		front.Close() // it waits for what is in flight
		tracing.Close(t.Context())
	}
}

const tracedRoutes = `  - name: order
    path: /orders/{id}
    mode: legacy
    public: true
    upstream: new
    shadow: {percent: 100, noise: 100}
    diff: {ignore: [$.at]}
`

// Each exchange has a span, and each side that it asks has one below it, whose ids that side
// gets. None says what the client sent.
func TestSpansOfEachSide(t *testing.T) {
	ended := make(chan shadow.Result, 1)
	shadows := shadow.New(shadow.Config{Observe: func(r shadow.Result) { ended <- r }, Random: func() float64 { return 0 }})
	defer shadows.Close()
	w, c, finish := tracedWorld(t, proxy.Config{Shadow: shadows})
	src, err := os.ReadFile("route/testdata/routes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w.swap(string(src) + tracedRoutes)
	var mu sync.Mutex
	got := map[string]bool{} // the traceparents that the sides got
	seen := func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got[r.Header.Get("Traceparent")] = true
	}
	w.old = func(rw http.ResponseWriter, r *http.Request) { seen(r); fmt.Fprint(rw, `{"id":"7"}`) }
	w.new = func(rw http.ResponseWriter, r *http.Request) {
		seen(r)
		if strings.Contains(r.URL.Path, "broken") || r.Method == "PATCH" {
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprint(rw, `{"id":"7"}`)
	}
	w.do("GET", "/private/4711?key=s3cret", "ann", "")
	w.do("GET", "/assets/4711.css", "", "")
	w.do("GET", "/api/v1/users/broken4711", "ann", "")
	w.do("PUT", "/api/v1/users/me", "ann", `{"display_name":"4711"}`)
	w.do("PUT", "/api/v1/users/me", "ann", `not JSON: 4711`)
	w.do("GET", "/orders/4711", "", "")
	<-ended
	w.do("S3CRET", "/private/4711", "", "")
	shadows.Close()
	finish()

	all := c.Spans()
	var roots []string
	for _, root := range all {
		if root.Kind != tracepb.Span_SPAN_KIND_SERVER {
			continue
		}
		var below []string
		for _, s := range all {
			if string(s.ParentSpanId) != string(root.SpanId) {
				continue
			}
			if parent := fmt.Sprintf("00-%x-%x-01", s.TraceId, s.SpanId); string(s.TraceId) != string(root.TraceId) || !got[parent] {
				t.Errorf("no side got %s: %v", parent, got)
			}
			below = append(below, "\n  "+line(s))
		}
		slices.Sort(below)
		roots = append(roots, line(root)+strings.Join(below, ""))
	}
	slices.Sort(roots)
	want := `GET /api/v1/users/{id} [fell_back route=user side=legacy] 200
  GET [cause=upstream-status route=user side=new upstream=new] 503 error 503
  GET [route=user side=legacy upstream=old] 200
GET /assets/{rest...} [route=assets side=new] 200
  GET [route=assets side=new upstream=new] 200
GET /orders/{id} [route=order side=legacy] 200
  GET [route=order side=legacy upstream=old] 200
  GET [route=order side=shadow-legacy upstream=old] 200
  GET [route=order side=shadow-new upstream=new] 200
GET [side=legacy] 200
  GET [side=legacy upstream=old] 200
HTTP [side=legacy] 200
  HTTP [side=legacy upstream=old] 200
PUT /api/v1/users/me [cause=request-unmappable route=rename side=new] 400
PUT /api/v1/users/me [cause=upstream-status route=rename side=new] 503 error 503
  PATCH [cause=upstream-status route=rename side=new upstream=new] 503 error 503`
	if diff := cmp.Diff(want, strings.Join(roots, "\n")); diff != "" {
		t.Error(diff)
	}
	for _, s := range all {
		text := fmt.Sprint(s.Name, spanstest.Attributes(s), s.Events, s.Status.GetMessage(), s.TraceState)
		for _, secret := range []string{"4711", "s3cret", "S3CRET", "ann", token(t, "ann")[:20], "private"} {
			if strings.Contains(text, secret) {
				t.Errorf("a span has %q: %s", secret, text)
			}
		}
	}
}

// line is what a test compares of a span.
func line(s *tracepb.Span) string {
	a := spanstest.Attributes(s)
	var own []string
	for name, value := range a {
		if short, found := strings.CutPrefix(name, "banyan."); found && short != "fell_back" {
			own = append(own, short+"="+value)
		} else if found && value == "true" {
			own = append(own, short)
		}
	}
	slices.Sort(own)
	text := fmt.Sprintf("%s %v %s", s.Name, own, a["http.response.status_code"])
	if s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR {
		text += " error " + a["error.type"]
	}
	return text
}

const (
	theirTrace = "0af7651916cd43dd8448eb211c80319c"
	theirSpan  = "b7ad6b7169203331"
)

// A client has no say in which traces are recorded unless its peer is trusted.
func TestWhoseTrace(t *testing.T) {
	for _, test := range []struct {
		name, peers, flags string
		spans              int
		same               bool
	}{
		{"a stranger's sampled trace", "", "01", 2, false},
		{"a stranger's unsampled trace", "", "00", 2, false},
		{"a trusted peer's sampled trace", "trustedPeers: [127.0.0.0/8]\n", "01", 2, true},
		{"a trusted peer's unsampled trace", "trustedPeers: [127.0.0.0/8]\n", "00", 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, c, finish := tracedWorld(t, proxy.Config{})
			w.swap(test.peers + "version: 1\nlegacy: old\nupstreams: {old: {url: \"${OLD_URL}\"}}\n")
			var got http.Header
			w.old = func(rw http.ResponseWriter, r *http.Request) { got = r.Header }
			sent := fmt.Sprintf("00-%s-%s-%s", theirTrace, theirSpan, test.flags)
			w.send(request(t, w.url, sent, "vendor=1"))
			finish()
			parent := got.Get("Traceparent")
			if strings.Contains(parent, theirTrace) != test.same || strings.Contains(parent, theirSpan) {
				t.Errorf("%s became %s", sent, parent)
			}
			if (got.Get("Tracestate") != "") != test.same {
				t.Errorf("tracestate: %q", got["Tracestate"])
			}
			all := c.Spans()
			if len(all) != test.spans {
				t.Fatal(all)
			}
			for _, s := range all {
				if s.Kind != tracepb.Span_SPAN_KIND_SERVER {
					continue
				}
				if test.same && hex.EncodeToString(s.ParentSpanId) != theirSpan {
					t.Error(s)
				}
				if !test.same && (len(s.ParentSpanId) > 0 || len(s.Links) != 1 || hex.EncodeToString(s.Links[0].SpanId) != theirSpan || s.Links[0].TraceState != "") {
					t.Error(s)
				}
			}
		})
	}
}

func request(t *testing.T, url, parent, state string) *http.Request {
	r, err := http.NewRequestWithContext(t.Context(), "GET", url+"/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header["Traceparent"], r.Header["Tracestate"] = []string{parent}, []string{state}
	return r
}

// Without spans the headers of traces pass as they came, whatever they are.
func TestWithoutSpansTheTracePasses(t *testing.T) {
	w := newWorld(t)
	for _, parent := range []string{"00-" + theirTrace + "-" + theirSpan + "-01", "00-" + theirTrace + "-" + theirSpan + "-00", "no trace", ""} {
		var got http.Header
		w.old = func(rw http.ResponseWriter, r *http.Request) { got = r.Header }
		w.send(request(t, w.url, parent, "a=1,,b"))
		if fmt.Sprint(got["Traceparent"], got["Tracestate"]) != fmt.Sprint([]string{parent}, []string{"a=1,,b"}) {
			t.Errorf("%q: %q %q", parent, got["Traceparent"], got["Tracestate"])
		}
	}
}

// A collector that takes connections and never answers holds no request, nor its memory.
func TestHungCollector(t *testing.T) {
	hung, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hung.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+hung.Addr().String())
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
	t.Setenv("OTEL_BSP_EXPORT_TIMEOUT", "3600000")
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000")
	tracing, err := spans.Open(t.Context(), "banyan-proxy", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		now, cancel := context.WithCancel(t.Context())
		cancel()
		tracing.Close(now)
	}()
	w := newWorldWith(t, proxy.Config{Spans: tracing, Figures: []prometheus.Collector{tracing}})
	for range 100 {
		if got := w.do("GET", "/x", "", ""); got.status != 200 || got.body != "old /x" {
			t.Fatal(got)
		}
	}
	wait(t, func() bool { // the last exchange ends behind its answer
		figures := httptest.NewRecorder()
		proxy.Admin(w.proxy, nil, "").ServeHTTP(figures, httptest.NewRequest("GET", "/metrics", nil))
		return strings.Contains(figures.Body.String(), "banyan_spans_total{outcome=\"dropped\"} 190\n")
	})
}
