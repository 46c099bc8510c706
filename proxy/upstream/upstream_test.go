package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/proxy/http1"
	"github.com/banyan-fig/banyan/proxy/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen at all.
const patience = 30 * time.Second

var errTooSlow = errors.New("no first byte in time")

// instance is a server that counts what arrives.
type instance struct {
	*httptest.Server
	got    atomic.Int64
	opened atomic.Int64
	closed atomic.Int64
}

func newInstance(t *testing.T, handler http.HandlerFunc) *instance {
	i := &instance{}
	i.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health" {
			i.got.Add(1)
		}
		handler(w, r)
	}))
	i.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			i.opened.Add(1)
		case http.StateClosed:
			i.closed.Add(1)
		}
	}
	i.Start()
	t.Cleanup(i.Close)
	return i
}

func (i *instance) address() string { return i.Listener.Addr().String() }

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_, _ = w.Write(body)
}

func use(t *testing.T, cfg upstream.Config, addresses ...string) *upstream.Upstream {
	t.Helper()
	if cfg.URL == nil {
		cfg.URL = &url.URL{Scheme: "http", Host: addresses[0]}
	}
	cfg.Name, cfg.Addresses = "up", addresses
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	s := upstream.NewSet()
	t.Cleanup(s.Close)
	return s.Use([]upstream.Config{cfg})["up"]
}

func request(t *testing.T, method, body string) *http.Request {
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New("the test waited in vain"))
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, "http://ignored/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.URL.Opaque = "/a?b=1;c"
	return r
}

func do(u *upstream.Upstream, r *http.Request) (string, error) {
	resp, err := u.RoundTrip(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return fmt.Sprintf("%d %s", resp.StatusCode, b), err
}

func TestTargetAndHost(t *testing.T) {
	var got atomic.Value
	i := newInstance(t, func(_ http.ResponseWriter, r *http.Request) { got.Store(r.Host + " " + r.RequestURI) })
	base, _ := url.Parse("http://api.test/base")
	u := use(t, upstream.Config{URL: base}, i.address())
	for host, want := range map[string]string{"": "api.test /base/a?b=1;c", "client.test": "client.test /base/a?b=1;c"} {
		r := request(t, "GET", "")
		before := r.URL.String()
		if r.Host = host; host == "" {
			r.URL.Host = ""
			before = r.URL.String()
		}
		if _, err := do(u, r); err != nil || got.Load() != want || r.URL.String() != before {
			t.Errorf("got %v, want %s; %v", got.Load(), want, err)
		}
	}
}

// TestRequestsAreSpread: in turn, and an address that is slow gets fewer.
func TestRequestsAreSpread(t *testing.T) {
	hold := make(chan struct{})
	a, b := newInstance(t, echo), newInstance(t, echo)
	slow := newInstance(t, func(http.ResponseWriter, *http.Request) { <-hold })
	u := use(t, upstream.Config{}, a.address(), b.address(), slow.address())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(hold)
	wg.Go(func() {
		for slow.got.Load() == 0 {
			_, _ = do(u, request(t, "GET", ""))
		}
	})
	eventually.True(t, "a request that hangs", func() bool { return slow.got.Load() == 1 })
	toA, toB := a.got.Load(), b.got.Load()
	for range 20 {
		if _, err := do(u, request(t, "GET", "")); err != nil {
			t.Fatal(err)
		}
	}
	if slow.got.Load() != 1 || a.got.Load() != toA+10 || b.got.Load() != toB+10 {
		t.Errorf("%d, %d, and %d to the slow one", a.got.Load(), b.got.Load(), slow.got.Load())
	}
}

// TestNextAddressGetsWhatWasUnsent: whole, whatever the method and the body, and no more
// than once.
func TestNextAddressGetsWhatWasUnsent(t *testing.T) {
	i := newInstance(t, echo)
	u := use(t, upstream.Config{BreakAfter: -1}, linktest.Refusing(t), i.address(), linktest.Refusing(t))
	for n, body := range []string{"", "abc", strings.Repeat("x", 20<<10), strings.Repeat("y", 300<<10)} {
		for _, chunked := range []bool{false, true} {
			for range 3 { // beginning at each address
				r := request(t, "POST", body)
				if chunked {
					r.ContentLength = -1
				}
				closing := &closing{Reader: r.Body}
				if r.Body = closing; body == "" {
					r.Body = nil
				}
				if got, err := do(u, r); got != "200 "+body || err != nil || closing.closed.Load() != (body != "") {
					t.Fatalf("body %d: %d bytes, %v, closed: %v", n, len(got), err, closing.closed.Load())
				}
			}
		}
	}
	if i.got.Load() != 24 {
		t.Errorf("%d requests arrived of 24", i.got.Load())
	}
	_, err := do(use(t, upstream.Config{}, linktest.Refusing(t), linktest.Refusing(t)), request(t, "POST", "a"))
	if !errors.As(err, new(*http1.ConnectError)) || !errors.Is(err, http1.ErrUnsent) {
		t.Error(err)
	}
}

// closing is a body that cannot be read any more when it is closed.
type closing struct {
	io.Reader
	closed atomic.Bool
}

func (c *closing) Read(p []byte) (int, error) {
	if c.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	return c.Reader.Read(p)
}

func (c *closing) Close() error { c.closed.Store(true); return nil }

// TestUploadsNeedNoMemory: of a body for which there is another address, only the begin is
// kept.
func TestUploadsNeedNoMemory(t *testing.T) {
	i := newInstance(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	u := use(t, upstream.Config{}, i.address(), i.address())
	const size = 64 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := request(t, "POST", "")
	r.Body, r.ContentLength = io.NopCloser(io.LimitReader(endless{}, size)), size
	if got, err := do(u, r); got != "200 " || err != nil {
		t.Fatal(got, err)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > size/4 {
		t.Errorf("%d bytes allocated for a body of %d", grown, size)
	}
}

// TestNoSecondAddressForWhatMayHaveArrived: a request that an address has got stays there.
func TestNoSecondAddressForWhatMayHaveArrived(t *testing.T) {
	abort := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	a, b := newInstance(t, abort), newInstance(t, abort)
	u := use(t, upstream.Config{}, a.address(), b.address())
	for n := range int64(4) {
		_, err := do(u, request(t, "POST", "a"))
		if !errors.As(err, new(*http1.CutError)) || errors.Is(err, http1.ErrUnsent) || a.got.Load()+b.got.Load() != n+1 {
			t.Error(err, a.got.Load(), b.got.Load())
		}
	}
}

// TestBreaker: requests without an answer, in a row, open it; then one request at a time
// finds out. What the caller or the client does, or an answer of any status, says nothing.
func TestBreaker(t *testing.T) {
	var hang atomic.Bool
	release := make(chan struct{})
	i := newInstance(t, func(w http.ResponseWriter, r *http.Request) {
		if hang.Load() {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		w.WriteHeader(500)
	})
	u := use(t, upstream.Config{BreakAfter: 3, BreakFor: 20 * time.Millisecond}, i.address())
	fail := func(cause error) error {
		ctx, cancel := context.WithCancelCause(t.Context())
		before := i.got.Load()
		var wg sync.WaitGroup
		wg.Go(func() {
			for ; ctx.Err() == nil && i.got.Load() == before; time.Sleep(time.Millisecond) {
			}
			cancel(cause)
		})
		defer wg.Wait()
		defer cancel(nil)
		_, err := do(u, request(t, "GET", "").WithContext(ctx))
		return err
	}
	for range 5 {
		_, _ = do(u, request(t, "GET", ""))
	}
	hang.Store(true)
	for range 5 {
		if err := fail(context.Canceled); errors.Is(err, upstream.ErrOpen) {
			t.Fatal("open, because callers left")
		}
	}
	for range 3 {
		if err := fail(errTooSlow); !errors.Is(err, errTooSlow) {
			t.Fatal(err)
		}
	}
	if _, err := do(u, request(t, "POST", "a")); u.Status()[0].Breaker == "open" && (!errors.Is(err, upstream.ErrOpen) || !errors.Is(err, http1.ErrUnsent)) {
		t.Fatal(err)
	}
	eventually.True(t, "the breaker to let one through, which fails", func() bool { return !errors.Is(fail(errTooSlow), upstream.ErrOpen) })
	arrived := i.got.Load()
	probe := make(chan string, 1)
	go func() {
		var got string
		for got == "" { // as soon as the breaker agrees
			got, _ = do(u, request(t, "GET", ""))
		}
		probe <- got
	}()
	eventually.True(t, "the probe to arrive", func() bool { return i.got.Load() == arrived+1 })
	for range 10 {
		if _, err := do(u, request(t, "GET", "")); !errors.Is(err, upstream.ErrOpen) {
			t.Fatalf("beside the probe: %v", err)
		}
	}
	hang.Store(false)
	close(release)
	if got := <-probe; got != "500 " || u.Status()[0].Breaker != "closed" || u.Status()[0].Pending != 0 {
		t.Errorf("probe %q, %+v", got, u.Status())
	}
}

// TestHealth: an address whose health check fails gets requests only when no other is better.
func TestHealth(t *testing.T) {
	var sick [2]atomic.Bool
	var all [2]*instance
	for n := range all {
		all[n] = newInstance(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/health" && sick[n].Load() {
				w.WriteHeader(503)
			}
		})
	}
	u := use(t, upstream.Config{Health: "/health", HealthEvery: 5 * time.Millisecond}, all[0].address(), all[1].address())
	healthy := func(a, b bool) func() bool {
		return func() bool { s := u.Status(); return s[0].Healthy == a && s[1].Healthy == b }
	}
	sick[0].Store(true)
	eventually.True(t, "the check to fail", healthy(false, true))
	before := all[0].got.Load()
	for range 6 {
		_, _ = do(u, request(t, "GET", ""))
	}
	if all[0].got.Load() != before || all[1].got.Load() < 6 {
		t.Errorf("%d and %d", all[0].got.Load(), all[1].got.Load())
	}
	sick[1].Store(true)
	eventually.True(t, "both checks to fail", healthy(false, false))
	if got, err := do(u, request(t, "GET", "")); got != "200 " || err != nil {
		t.Error("nobody is asked where the check fails everywhere:", got, err)
	}
	sick[0].Store(false)
	eventually.True(t, "the check to succeed", healthy(true, false))
}

// TestSetSurvivesReloads: what did not change keeps its connections, what did or went loses
// those that rest, and what is under way ends as it would have.
func TestSetSurvivesReloads(t *testing.T) {
	hold := make(chan struct{})
	i := newInstance(t, func(w http.ResponseWriter, r *http.Request) {
		echo(w, r)
		if r.Method == "PUT" {
			_ = http.NewResponseController(w).Flush()
			<-hold
		}
	})
	config := func(host string) upstream.Config {
		return upstream.Config{Name: "a", URL: &url.URL{Scheme: "http", Host: host}}
	}
	s := upstream.NewSet()
	defer s.Close()
	first := s.Use([]upstream.Config{config(i.address())})["a"]
	for range 3 {
		u := s.Use([]upstream.Config{config(i.address()), {Name: "b", URL: config("b.test").URL}})["a"]
		if _, err := do(u, request(t, "GET", "")); err != nil || u != first || i.opened.Load() != 1 {
			t.Fatal(err, u != first, i.opened.Load())
		}
	}
	resp, err := first.RoundTrip(request(t, "PUT", "under way"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = do(first, request(t, "GET", "")) // a second connection, which rests
	if s.Use([]upstream.Config{config("other.test")})["a"] == first {
		t.Error("a changed configuration is not used")
	}
	eventually.True(t, "the connection that rested to be closed", func() bool { return i.closed.Load() == 1 })
	close(hold)
	if b, err := io.ReadAll(resp.Body); string(b) != "under way" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	resp.Body.Close()
	eventually.True(t, "its connection to be closed too", func() bool { return i.closed.Load() == 2 })
}

func TestValidate(t *testing.T) {
	http, https := &url.URL{Scheme: "http", Host: "h:1"}, &url.URL{Scheme: "https", Host: "h"}
	bad := t.TempDir() + "/bad.pem"
	if err := os.WriteFile(bad, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, cfg := range map[string]upstream.Config{
		"url must be":          {},
		"invalid address":      {URL: http, Addresses: []string{"h"}},
		"unsupported protocol": {URL: http, Protocol: "http/3"},
		"h2 needs https":       {URL: http, Protocol: upstream.H2},
		"h2c needs http":       {URL: https, Protocol: upstream.H2C},
		"tls needs":            {URL: http, TLS: upstream.TLS{ServerName: "a"}},
		"no such file":         {URL: https, TLS: upstream.TLS{CAFile: "/nowhere.pem"}},
		"has no certificate":   {URL: https, TLS: upstream.TLS{CAFile: bad}},
		"with key":             {URL: https, TLS: upstream.TLS{CertFile: bad, KeyFile: bad}},
		"slash":                {URL: http, Health: "health"},
		"negative":             {URL: http, BreakFor: -1},
		"does not say":         {URL: https, Sign: &upstream.Sign{}},
		"at most 64":           {URL: http, Addresses: make([]string, 65)},
	} {
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
