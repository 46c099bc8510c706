package shadow_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/proxy/shadow"
)

// sideAt is the server at that URL, with connections of its own.
func sideAt(t testing.TB, name, base string) shadow.Side {
	t.Helper()
	h, done := forward(base)
	t.Cleanup(done)
	return shadow.Side{Name: name, Legacy: name == "legacy", Handler: h}
}

// app is a server that answers everything, and always in the same way.
func app(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", "Mon, 30 Nov 2026 12:00:00 GMT")
	body, _ := io.ReadAll(r.Body)
	switch r.URL.Path {
	case "/big": // of a given length: how an answer is cut into chunks is a matter of timing
		w.Header().Set("Content-Length", "320000")
		w.Write(bytes.Repeat([]byte("0123456789abcdef"), 20_000))
	case "/events":
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: 1\n\n")
		http.NewResponseController(w).Flush()
		fmt.Fprint(w, "data: 2\n\n")
	case "/cut":
		fmt.Fprint(w, strings.Repeat("x", 10_000))
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	default:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"method":%q,"target":%q,"body":%q}`, r.Method, r.RequestURI, body)
	}
}

func server(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = nil
	s.Start()
	t.Cleanup(s.Close)
	return s
}

var rawRequests = []string{
	"GET /orders?a=1;2&b=%zz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
	"HEAD /orders HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
	"GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
	"GET /events HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
	"GET /cut HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
	"PUT /orders HTTP/1.1\r\nHost: a\r\nIdempotency-Key: 1\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
	"PUT /orders HTTP/1.1\r\nHost: a\r\nIdempotency-Key: 1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
	"PUT /big HTTP/1.1\r\nHost: a\r\nIdempotency-Key: 1\r\nContent-Length: 300000\r\nConnection: close\r\n\r\n" + strings.Repeat("b", 300_000),
}

// raw sends one request as it is and returns all bytes of the answer.
func raw(t *testing.T, address, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("%.40q: %v after %d bytes", request, err, len(answer))
	}
	return string(answer)
}

// TestPrimaryBytesAreTheSame with the shadow off, on, slow, hung, crashing, huge,
// absent and with a bug in its mapping, whichever side answers first: over real sockets.
func TestPrimaryBytesAreTheSame(t *testing.T) {
	release := make(chan struct{})
	wait := func(r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
	legacy := sideAt(t, "legacy", server(t, app).URL)
	nothing := server(t, app)
	nothing.Close()
	panics := shadow.Side{Name: "orders", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a bug") })}
	others := map[string]shadow.Side{
		"on": sideAt(t, "orders", server(t, app).URL),
		"slow": sideAt(t, "orders", server(t, func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).Flush()
			wait(r)
			fmt.Fprint(w, "at last")
		}).URL),
		"hung": sideAt(t, "orders", server(t, func(_ http.ResponseWriter, r *http.Request) { wait(r) }).URL),
		"crashing": sideAt(t, "orders", server(t, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := http.NewResponseController(w).Hijack()
			conn.Close()
		}).URL),
		"huge": sideAt(t, "orders", server(t, func(w http.ResponseWriter, r *http.Request) {
			for chunk := make([]byte, 64<<10); r.Method != "HEAD"; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}).URL),
		"absent":   sideAt(t, "orders", nothing.URL),
		"with bug": panics,
	}
	t.Cleanup(func() { close(release) })
	off := httptest.NewServer(front(nil, nil, legacy, shadow.Side{}))
	defer off.Close()
	var want []string
	ask := func(server *httptest.Server, request string) string {
		answer := raw(t, server.Listener.Addr().String(), request)
		if head, _, ok := strings.Cut(answer, "\r\n\r\n"); ok && strings.HasPrefix(request, "GET /cut") {
			return head // what of the body was sent already when it was cut is a matter of timing
		}
		return answer
	}
	for _, r := range rawRequests {
		want = append(want, ask(off, r))
	}
	rt := route(t, shadow.Policy{Methods: []string{"PUT"}, Noise: 100, Rechecks: 1})
	for name, other := range others {
		s := shadow.New(shadow.Config{Workers: 2, Queue: 4, Bytes: 1 << 20})
		on := httptest.NewServer(front(s, rt, legacy, other))
		for i, r := range rawRequests {
			if got := ask(on, r); got != want[i] {
				t.Errorf("%s: %.40q is answered %.200q, want %.200q", name, r, got, want[i])
			}
		}
		on.Close()
		s.Close()
		if sum(s) != int64(len(rawRequests)) || s.Held() != 0 {
			t.Errorf("%s: %d of %d copies ended: %s; %d bytes are held", name, sum(s), len(rawRequests), outcomes(s), s.Held())
		}
		if st := s.Stats()["orders"]; st[shadow.Abandoned] != 1 || st[shadow.Stream] != 1 || st[shadow.Unsafe] != 1 || st[shadow.Capped]+st[shadow.FullBytes] < 1 {
			t.Errorf("%s: got %s", name, outcomes(s))
		}
	}
}

// TestWriter: what goes through it is copied, but for interim answers, whatever way the
// body takes.
func TestWriter(t *testing.T) {
	s := shadow.New(shadow.Config{})
	defer s.Close()
	created := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, "one two three")
	})
	front := server(t, func(w http.ResponseWriter, r *http.Request) {
		c := s.Start(route(t, shadow.Policy{}), r)
		defer c.End(nil, shadow.Side{}, shadow.Side{Handler: created})
		w = c.Writer(w)
		w.WriteHeader(http.StatusEarlyHints)
		if r.URL.Path == "/created" { // the status 200 needs no call
			w.WriteHeader(http.StatusCreated)
		}
		fmt.Fprint(w, "one ")
		_, _ = io.Copy(w, io.MultiReader(strings.NewReader("two "))) // by ReadFrom
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, "three")
	})
	for _, path := range []string{"/created", "/"} {
		resp, err := front.Client().Get(front.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); string(body) != "one two three" || err != nil {
			t.Errorf("the client got %q, %v", body, err)
		}
		resp.Body.Close()
	}
	for sum(s) < 2 {
		time.Sleep(time.Millisecond)
	}
	if got := outcomes(s); got != "differs:1,equal:1" || fields(s) != "status value 1/0" {
		t.Errorf("got %s (%s)", got, fields(s))
	}
}

// TestTraefik6125MemoryIsBounded: a mirror that is slower than the traffic must not hold
// what it has not sent yet.
func TestTraefik6125MemoryIsBounded(t *testing.T) {
	s := shadow.New(shadow.Config{Bytes: 4 << 20})
	defer s.Close()
	rt := route(t, shadow.Policy{Methods: []string{"PUT"}, Timeout: time.Hour})
	body := strings.Repeat("b", 64<<10)
	before := heap()
	for range 600 { // 77 MB with the answers
		exchange(s, rt, get("PUT", "/", body, "Idempotency-Key", "1"), body, shadow.Side{}, shadow.Side{Handler: hung})
	}
	if grown := heap() - before; grown > 24<<20 || s.Held() > 4<<20 {
		t.Errorf("the heap grew by %d bytes, %d are held, 4 MiB allowed", grown, s.Held())
	}
	if n := s.Stats()["orders"][shadow.FullBytes]; n < 500 {
		t.Errorf("%d copies were dropped for want of bytes: %s", n, outcomes(s))
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestTraefik7533BodiesAreGivenBack: once a copy has ended, its bodies are garbage, also
// while the client's exchange, which has the Capture, goes on.
func TestTraefik7533BodiesAreGivenBack(t *testing.T) {
	s := shadow.New(shadow.Config{})
	defer s.Close()
	rt := route(t, shadow.Policy{Methods: []string{"PUT"}})
	side := shadow.Side{Handler: answering("{}")}
	body := strings.Repeat("b", 64<<10)
	before := heap()
	var open []*shadow.Capture
	for i := range int64(500) { // 32 MB of requests
		r := get("PUT", "/", body, "Idempotency-Key", "1")
		c := s.Start(rt, r)
		_, _ = io.Copy(io.Discard, c.Request(r.Body))
		c.Head(200, nil)
		c.End(nil, shadow.Side{}, side)
		for sum(s) <= i {
			time.Sleep(50 * time.Microsecond)
		}
		open = append(open, c)
	}
	if grown := heap() - before; grown > 8<<20 || s.Held() != 0 {
		t.Errorf("%d captures hold %d bytes (%d by their own count) after their copies ended", len(open), grown, s.Held())
	}
	runtime.KeepAlive(open)
}

// TestSkipper3340UnreadShadowDoesNotStopThePrimary: the other side takes the connection
// and never reads the body.
func TestSkipper3340UnreadShadowDoesNotStopThePrimary(t *testing.T) {
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	s := shadow.New(shadow.Config{Workers: 2, Queue: 2})
	defer s.Close()
	rt := route(t, shadow.Policy{Methods: []string{"PUT"}, MaxBody: 16 << 20, Timeout: time.Hour})
	legacy, orders := sideAt(t, "legacy", server(t, app).URL), sideAt(t, "orders", "http://"+deaf.Addr().String())
	f := httptest.NewServer(front(s, rt, legacy, orders))
	defer f.Close()
	request := "PUT /big HTTP/1.1\r\nHost: a\r\nIdempotency-Key: 1\r\nContent-Length: 4000000\r\nConnection: close\r\n\r\n" + strings.Repeat("b", 4_000_000)
	for range 5 {
		if got := raw(t, f.Listener.Addr().String(), request); !strings.HasPrefix(got, "HTTP/1.1 200 OK") {
			t.Fatalf("got %.60q", got)
		}
	}
	if n := s.Stats()["orders"][shadow.FullQueue]; n < 1 {
		t.Errorf("two workers and two places hang; of 5 copies %d were dropped: %s", n, outcomes(s))
	}
}

// TestSkipper1816CutPrimaryLeaksNothing: a primary side that is restarted in the middle
// of answers and of requests. TestMain looks for what is left running.
func TestSkipper1816CutPrimaryLeaksNothing(t *testing.T) {
	dies := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/request" {
			_, _ = io.CopyN(io.Discard, r.Body, 10)
		} else {
			w.Header().Set("Content-Length", "100000")
			fmt.Fprint(w, "begun")
			http.NewResponseController(w).Flush()
		}
		conn, _, _ := http.NewResponseController(w).Hijack()
		conn.Close()
	})
	s := shadow.New(shadow.Config{})
	defer s.Close()
	rt := route(t, shadow.Policy{Methods: []string{"PUT"}})
	f := httptest.NewServer(front(s, rt, sideAt(t, "legacy", dies.URL), sideAt(t, "orders", server(t, app).URL)))
	defer f.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	for i := range 40 {
		r := get("PUT", "/answer", strings.Repeat("b", 100_000), "Idempotency-Key", "1")
		if i%2 == 0 {
			r.URL.Path = "/request"
		}
		r.URL.Host = f.Listener.Addr().String()
		r.GetBody = nil // or net/http would send it twice
		if resp, err := transport.RoundTrip(r); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
	f.Close() // waits for the handlers
	if got := outcomes(s); got != "abandoned:40" || s.Held() != 0 {
		t.Errorf("got %s, with %d bytes held", got, s.Held())
	}
}

// TestEnvoy18364LargeBodiesAreSentOrCounted: a body of 10 MB goes to the other side
// whole, or is counted as one that did not.
func TestEnvoy18364LargeBodiesAreSentOrCounted(t *testing.T) {
	size := 10 << 20
	got := make(chan string, 1)
	hash := func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		n, _ := io.Copy(h, r.Body)
		fmt.Fprintf(w, "%d %x", n, h.Sum(nil))
		if r.Header.Get(shadow.HeaderShadow) != "" {
			got <- fmt.Sprintf("%d %x", n, h.Sum(nil))
		}
	}
	body := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	want := fmt.Sprintf("%d %x", size, sha256.Sum256(body))
	for limit, outcome := range map[int]string{0: "capped:1", 16 << 20: "equal:1"} {
		s := shadow.New(shadow.Config{})
		rt := route(t, shadow.Policy{Methods: []string{"PUT"}, MaxBody: limit, Timeout: time.Minute})
		f := httptest.NewServer(front(s, rt, sideAt(t, "legacy", server(t, hash).URL), sideAt(t, "orders", server(t, hash).URL)))
		request := fmt.Sprintf("PUT /object HTTP/1.1\r\nHost: a\r\nIdempotency-Key: 1\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", size, body)
		resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(raw(t, f.Listener.Addr().String(), request))), nil)
		if err != nil {
			t.Fatal(err)
		}
		if answer, _ := io.ReadAll(resp.Body); string(answer) != want {
			t.Errorf("the primary side got %s, want %s", answer, want)
		}
		if limit > 0 {
			if shadowed := <-got; shadowed != want {
				t.Errorf("the other side got %s, want %s", shadowed, want)
			}
		}
		for sum(s) == 0 {
			time.Sleep(time.Millisecond)
		}
		f.Close()
		s.Close()
		if outcomes(s) != outcome {
			t.Errorf("with a limit of %d: got %s, want %s", limit, outcomes(s), outcome)
		}
	}
}

// BenchmarkCapture is what the client's own exchange pays for a copy.
func BenchmarkCapture(b *testing.B) {
	s := shadow.New(shadow.Config{Workers: 1, Queue: 1})
	defer s.Close()
	rt := route(b, shadow.Policy{Timeout: time.Hour})
	r := get("GET", "/orders/1", "", "Authorization", "Bearer x", "Accept", "*/*", "User-Agent", "app/5.2", "Accept-Encoding", "gzip")
	r = r.WithContext(context.Background())
	r.Body = http.NoBody
	body, header := make([]byte, 1024), http.Header{"Content-Type": {"application/json"}, "Content-Length": {"1024"}}
	b.ReportAllocs()
	for b.Loop() {
		c := s.Start(rt, r)
		c.Head(200, header)
		_, _ = c.Write(body)
		c.End(nil, shadow.Side{}, shadow.Side{Handler: hung})
	}
}
