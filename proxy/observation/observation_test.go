package observation_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/events/correlation"
	"github.com/banyan-fig/banyan/proxy/observation"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2016, 11, 21, 9, 0, 0, 0, time.UTC)

func fixed() time.Time { return start.Add(10 * time.Second) }

// legacy is a request that the old API answered and no route matched.
func legacy(method, path string) *observation.Observation {
	return &observation.Observation{Method: method, Path: path, Status: 200, Sent: 200, Start: start, Total: 3 * time.Millisecond}
}

func TestCountersAddUp(t *testing.T) {
	c := &observation.Counters{Now: fixed}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 1000 {
				c.Observe(&observation.Observation{Route: fmt.Sprint("r", n%10), Side: observation.Side(i % 2), Status: 200, Start: start})
				c.Observe(legacy("GET", fmt.Sprint("/users/", n)))
			}
		})
	}
	wg.Wait()
	r := c.Report()
	if len(r.Routes) != 21 {
		t.Fatalf("%d routes and sides", len(r.Routes))
	}
	for _, route := range r.Routes[1:] {
		if route.Exchanges != 400 || route.PerSecond != 40 || !route.LastSeen.Equal(start) {
			t.Errorf("%+v", route)
		}
	}
	if got := r.Legacy[0]; got.Path != "/users/{id}" || got.Requests != 8000 || got.PerSecond != 800 {
		t.Errorf("the busiest is %+v", got)
	}
}

func TestPathsWithIDsAreOneEndpoint(t *testing.T) {
	c := &observation.Counters{Now: fixed}
	for _, path := range []string{
		"/api/v1/users/17", "/api/v1/users/5f2b8a1c9d", "/api/v1/users/7f9c24e8-3b12-4d5a-9f00-1a2b3c4d5e6f", "/api/v1/users/ann@example.com",
		"/api/v1/users/a%20b", "/api/v1/me/oauth2", "/", "/a//b",
	} {
		c.Observe(legacy("GET", path))
	}
	c.Observe(legacy("POST", "/api/v1/users/18"))
	got := map[string]int64{}
	for _, e := range c.Report().Legacy {
		got[e.Method+" "+e.Path] = e.Requests
	}
	want := map[string]int64{"GET /api/v1/users/{id}": 5, "POST /api/v1/users/{id}": 1, "GET /api/v1/me/oauth2": 1, "GET /": 1, "GET /a//b": 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Clients choose paths, and what they choose must not fill the memory.
func TestPathsAreBounded(t *testing.T) {
	c := &observation.Counters{Now: fixed}
	word := func(n int) string { // without digits
		return strings.Map(func(r rune) rune { return r - '0' + 'a' }, fmt.Sprint(n))
	}
	for n := range 1000 { // as a scanner does
		o := legacy("GET", "/scan/"+word(n))
		o.Status = 404
		c.Observe(o)
	}
	const requests = 60_000
	for n := range requests {
		c.Observe(legacy("GET", "/"+word(n%100)+"/"+word(n/100%100)+"/"+word(n/10_000)+strings.Repeat("/x", n%50)))
	}
	r := c.Report()
	sum := r.Others
	for _, e := range r.Legacy {
		sum += e.Requests
		if strings.Contains(e.Path, "scan") {
			t.Errorf("known by a 404: %+v", e)
		}
	}
	if len(r.Legacy) > 10_000 || len(r.Legacy) < 1000 || sum != requests+1000 {
		t.Errorf("%d endpoints, %d requests in sum", len(r.Legacy), sum)
	}
	for n := range 30_000 {
		c.Observe(&observation.Observation{Route: word(n), Start: start})
	}
	if r := c.Report(); len(r.Routes) > 20_001 {
		t.Errorf("%d routes", len(r.Routes))
	}
}

// The rate is of the last hour; what was asked for before is only counted.
func TestRateIsOfTheLastHour(t *testing.T) {
	now := start
	c := &observation.Counters{Now: func() time.Time { return now }}
	for i := range 7200 { // two hours, one a second, then ten
		o := legacy("GET", "/x")
		o.Start = start.Add(time.Duration(i) * time.Second)
		for range 1 + i/3600*9 {
			c.Observe(o)
		}
	}
	now = start.Add(2 * time.Hour)
	if e := c.Report().Legacy[0]; e.PerSecond < 9.9 || e.PerSecond > 10.1 || e.Requests != 3600*11 {
		t.Errorf("%+v", e)
	}
	now = start.Add(4 * time.Hour)
	if e := c.Report().Legacy[0]; e.PerSecond != 0 || !e.LastSeen.Equal(start.Add(7199*time.Second)) {
		t.Errorf("%+v", e)
	}
}

func failed(cause observation.Cause) *observation.Observation {
	return &observation.Observation{
		Route: "timeline", Side: observation.New, Method: "GET", Path: "/t", Start: start, Cause: cause,
		Err: errors.New("field $.items: GET http://new/t?token=s3cret&x=1 has none"), IDs: correlation.IDs{CorrelationID: "c1"},
	}
}

func TestReportSaysWhatGoesWrong(t *testing.T) {
	c := &observation.Counters{Now: fixed}
	back := failed(observation.AnswerUnmappable)
	back.FellBack = true
	c.Observe(back)
	c.Observe(failed(observation.AnswerUnmappable))
	c.Observe(failed(observation.ClientGone))
	got := c.Report().Routes[0]
	if got.FellBack != 1 || got.Causes["answer-unmappable"] != 2 || got.Causes["client-gone"] != 1 || len(got.Causes) != 2 {
		t.Errorf("%+v", got)
	}
	c.Observe(&observation.Observation{Route: "timeline", Status: 500, Sent: 500, Start: start, Cause: observation.UpstreamStatus})
	want := observation.RouteCounts{Legacy: 1, FellBack: 1, Failed: 2, Causes: map[string]int64{"answer-unmappable": 2, "client-gone": 1, "upstream-status": 1}}
	if diff := cmp.Diff(want, c.Of("timeline")); diff != "" {
		t.Error(diff)
	}
	if u := got.Unmapped; u == nil || u.Correlation != "c1" || !strings.Contains(u.Error, "field $.items") || strings.Contains(u.Error, "s3cret") {
		t.Errorf("%+v", u)
	}
}

func TestPrometheus(t *testing.T) {
	c := &observation.Counters{Now: fixed}
	ok := legacy("GET", "/x")
	ok.FirstByte, ok.BytesOut = 2*time.Millisecond, 1024
	c.Observe(ok)
	c.Observe(ok)
	back := failed(observation.ConnectTimeout)
	back.FellBack = true
	c.Observe(back)
	all := prometheus.NewRegistry()
	all.MustRegister(c)
	w := httptest.NewRecorder()
	promhttp.HandlerFor(all, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	text := w.Body.String()
	for _, want := range []string{
		`banyan_proxy_exchanges_total{code="2xx",route="(none)",side="legacy"} 2`,
		`banyan_proxy_exchanges_total{code="none",route="timeline",side="new"} 1`,
		`banyan_proxy_failed_exchanges_total{cause="connect-timeout",fault="upstream",route="timeline",side="new"} 1`,
		`banyan_proxy_fell_back_total{route="timeline",side="new"} 1`,
		`banyan_proxy_first_byte_seconds_bucket{route="(none)",side="legacy",le="0.001"} 0`,
		`banyan_proxy_first_byte_seconds_bucket{route="(none)",side="legacy",le="0.0025"} 2`,
		`banyan_proxy_first_byte_seconds_count{route="(none)",side="legacy"} 2`,
		`banyan_proxy_sent_bytes_total{route="(none)",side="legacy"} 2048`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

// A fault and a cause have a name of their own each.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range observation.Causes() {
		if c.String() == "" || seen[c.String()] {
			t.Errorf("cause %d is called %q", c, c)
		}
		seen[c.String()] = true
	}
	if got := observation.AnswerUnmappable.Fault().String(); got != "mapping" {
		t.Errorf("an answer that cannot be mapped is the fault of %s", got)
	}
}

func BenchmarkObserve(b *testing.B) {
	c := &observation.Counters{}
	o := legacy("GET", "/api/v1/users/5f2b8a1c9d")
	b.ReportAllocs()
	for b.Loop() {
		c.Observe(o)
	}
}

func TestCountingDoesNotAllocate(t *testing.T) {
	c := &observation.Counters{}
	o := legacy("GET", "/api/v1/users/5f2b8a1c9d")
	if n := testing.AllocsPerRun(100, func() { c.Observe(o) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// lines are those that a log wrote.
func lines(t *testing.T, b []byte) (all []map[string]any) {
	t.Helper()
	for text := range bytes.Lines(b) {
		var one map[string]any
		if err := json.Unmarshal(text, &one); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		all = append(all, one)
	}
	return all
}

func TestLogHasFaultsAndAShareOfTheRest(t *testing.T) {
	var out bytes.Buffer
	l := observation.NewLog(&out, 0.1)
	const requests = 3000
	traces := map[string]bool{}
	for range requests {
		o := legacy("GET", "/x")
		o.IDs = correlation.IDs{TraceParent: correlation.NewTraceParent(false)}
		l.Observe(o)
		l.Observe(o) // its other side
		traces[o.IDs.TraceParent] = true
	}
	l.Observe(failed(observation.UpstreamCut))
	l.Observe(failed(observation.Behind)) // nobody's fault
	l.Close()
	l.Close()
	all := lines(t, out.Bytes())
	last := all[len(all)-1]
	if last["cause"] != "upstream-cut" || last["fault"] != "upstream" || last["route"] != "timeline" || last["correlation"] != "c1" {
		t.Errorf("%v", last)
	}
	sampled := map[any]int{}
	for _, one := range all[:len(all)-1] {
		sampled[one["traceparent"]]++
	}
	for trace, n := range sampled {
		if n != 2 {
			t.Errorf("half of %v", trace)
		}
	}
	if n := len(sampled); l.Dropped() == 0 && (n < requests/20 || n > requests/5) {
		t.Errorf("%d of %d requests are logged", n, requests)
	}
}

func TestLogHasNoSecrets(t *testing.T) {
	var out bytes.Buffer
	l := observation.NewLog(&out, 1)
	const token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ"
	l.Observe(legacy("GET", "/reset/"+token+"/7f9c24e8-3b12-4d5a-9f00-1a2b3c4d5e6f"))
	l.Observe(failed(observation.UpstreamCut))
	l.Close()
	all := lines(t, out.Bytes())
	if text := out.String(); len(all) != 2 || strings.Contains(text, token) || strings.Contains(text, "s3cret") || l.Dropped() != 0 {
		t.Errorf("%s", text)
	}
	if got := all[0]["path"]; got != "/reset/…/7f9c24e8-3b12-4d5a-9f00-1a2b3c4d5e6f" {
		t.Errorf("path %s", got)
	}
}

// blocked is a disk that hangs until it is closed.
type blocked chan struct{}

func (b blocked) Write(p []byte) (int, error) { <-b; return len(p), nil }

func TestLogDropsWhatADiskCannotTake(t *testing.T) {
	disk := make(blocked)
	l := observation.NewLog(disk, 1)
	const requests = 10_000
	for range requests {
		l.Observe(legacy("GET", "/x")) // must return
	}
	if n := l.Dropped(); n < requests/2 || n == requests {
		t.Errorf("dropped %d of %d", n, requests)
	}
	close(disk)
	l.Close()
	before := l.Dropped()
	for range requests {
		l.Observe(legacy("GET", "/x")) // after its end
	}
	if l.Dropped() == before {
		t.Error("nobody counts what is observed after the end")
	}
}

// A full disk costs the lines that it refused, not those that follow.
func TestLogGoesOnAfterAnError(t *testing.T) {
	var out bytes.Buffer
	disk := &failsOnce{to: &out}
	l := observation.NewLog(disk, 1)
	l.Observe(legacy("GET", "/one"))
	for l.Dropped() == 0 {
		time.Sleep(time.Millisecond)
	}
	l.Observe(legacy("GET", "/two"))
	l.Close()
	if all := lines(t, out.Bytes()); len(all) != 1 || all[0]["path"] != "/two" || l.Dropped() != 1 {
		t.Errorf("%v, dropped %d", all, l.Dropped())
	}
}

type failsOnce struct {
	to     io.Writer
	failed bool
}

func (w *failsOnce) Write(p []byte) (int, error) {
	if !w.failed {
		w.failed = true
		return 0, errors.New("no space left on device")
	}
	return w.to.Write(p)
}
