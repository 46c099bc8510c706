package http1_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banyan-fig/banyan/proxy/http1"
)

var errEnough = errors.New("the watchdog had enough")

// TestServerSentEvents: each event is read before the next one is sent.
func TestServerSentEvents(t *testing.T) {
	next := make(chan bool)
	p := newPeer(t, func(w *wirePeer) {
		w.request()
		w.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for range next {
			w.say("3\r\na\n\n\r\n")
		}
		w.say("0\r\n\r\n")
	})
	resp, err := newTransport(t).RoundTrip(newRequest(t, "GET", p.url, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for range 3 {
		next <- true
		if n, err := io.ReadFull(resp.Body, make([]byte, 3)); n != 3 || err != nil {
			t.Fatal(n, err)
		}
	}
	close(next)
	if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
		t.Fatal(rest, err)
	}
}

// TestBothWaysAtOnce: the answer goes on while the request does, whichever ends first.
func TestBothWaysAtOnce(t *testing.T) {
	p := newPeer(t, func(w *wirePeer) {
		for w.until("\r\n\r\n") != "" {
			w.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			for line := w.until("\r\n"); line != "" && line != "0\r\n"; line = w.until("\r\n") {
				w.say(line)
				w.say(w.until("\r\n"))
			}
			w.until("\r\n")
			w.say("0\r\n\r\n")
		}
	})
	tr := newTransport(t)
	for range 2 { // the second on the same connection
		r, body := io.Pipe()
		req := newRequest(t, "POST", p.url, "")
		req.Body, req.ContentLength = r, -1
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			fmt.Fprint(body, "ping")
			if n, err := io.ReadFull(resp.Body, make([]byte, 4)); n != 4 || err != nil {
				t.Fatal(n, err)
			}
		}
		body.Close()
		if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
			t.Fatal(rest, err)
		}
		resp.Body.Close()
	}
	if p.connections() != 1 {
		t.Errorf("%d connections", p.connections())
	}
}

// endless is a body without end, until it is closed, once; or one that waits for that.
type endless struct {
	closed chan struct{}
	waits  bool
}

func (e endless) Read(p []byte) (int, error) {
	if e.waits {
		<-e.closed
	}
	select {
	case <-e.closed:
		return 0, errors.New("closed")
	default:
		return len(p), nil
	}
}

func (e endless) Close() error { close(e.closed); return nil }

// TestEarlyAnswerEndsTheUpload: an answer that comes before the body has gone out is
// delivered, and closing it ends the upload, whether that waits for the client or the
// upstream.
func TestEarlyAnswerEndsTheUpload(t *testing.T) {
	for name, answer := range map[string]string{
		"with a body": "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig",
		"without":     "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n",
		"reusable":    "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig",
	} {
		for _, waits := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, %v", name, waits), func(t *testing.T) {
				over := make(chan struct{})
				p := newPeer(t, func(w *wirePeer) { w.until("\r\n\r\n"); w.say(answer); <-over })
				defer close(over)
				req := newRequest(t, "POST", p.url, "")
				body := endless{make(chan struct{}), waits}
				req.Body, req.ContentLength = body, -1
				if got, err := do(newTransport(t), req); !strings.HasPrefix(got, "413 ") || err != nil {
					t.Fatal(got, err)
				}
				select {
				case <-body.closed:
				default:
					t.Error("the upload goes on")
				}
			})
		}
	}
}

// TestRequestBodyFails: what the client did not send in full is not made whole, and is not
// the upstream's fault.
func TestRequestBodyFails(t *testing.T) {
	lost := errors.New("the client is gone")
	for _, length := range []int64{-1, 10, 100 << 10} {
		p := newPeer(t, func(w *wirePeer) { w.request() })
		for body, want := range map[io.Reader]error{
			io.MultiReader(strings.NewReader("abc"), failing{lost}): lost,
			strings.NewReader("abc"):                                io.ErrUnexpectedEOF,
		} {
			if length < 0 && want != lost {
				continue
			}
			req := newRequest(t, "POST", p.url, "")
			req.Body, req.ContentLength = io.NopCloser(body), length
			_, err := do(newTransport(t), req)
			if !errors.As(err, new(*http1.RequestError)) || !errors.Is(err, want) || errors.Is(err, http1.ErrUnsent) != (length == 10) {
				t.Errorf("length %d: %v", length, err)
			}
		}
		if got := p.requests(); len(got) > 0 {
			t.Errorf("arrived: %q", got)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestLargeBodies: both ways, by length and in chunks.
func TestLargeBodies(t *testing.T) {
	const size = 5 << 20
	sum := func(r io.Reader) string {
		h := sha256.New()
		n, _ := io.Copy(h, r)
		return fmt.Sprintf("%d %x", n, h.Sum(nil)[:4])
	}
	body := func() io.Reader { return io.LimitReader(&counting{}, size) }
	want := sum(body())
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := sum(r.Body); got != want {
			t.Errorf("sent %s, arrived %s", want, got)
		}
		if r.ContentLength > 0 {
			w.Header().Set("Content-Length", fmt.Sprint(size))
		}
		_, _ = io.Copy(w, body())
	}))
	defer srv.Close()
	tr := newTransport(t)
	for _, length := range []int64{-1, size} {
		req := newRequest(t, "PUT", srv.URL, "")
		req.Body, req.ContentLength = io.NopCloser(body()), length
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if got := sum(resp.Body); got != want || resp.ContentLength != length {
			t.Errorf("got %s, want %s", got, want)
		}
		resp.Body.Close()
	}
}

type counting struct{ n uint32 }

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		c.n = c.n*1664525 + 1013904223
		p[i] = byte(c.n >> 24)
	}
	return len(p), nil
}

// TestCancelled: wherever it waits, an exchange ends with its context, and says why.
func TestCancelled(t *testing.T) {
	for name, answer := range map[string]string{
		"head": "HTTP/1.1 200", "body": "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
		"chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", "nothing": "",
		"tunnel": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n",
	} {
		for _, size := range []int{0, 10, 64 << 20} {
			t.Run(fmt.Sprint(name, size), func(t *testing.T) {
				if name == "tunnel" && size > 0 {
					t.Skip("an upgrade has no body")
				}
				ctx, cancel := context.WithCancelCause(t.Context())
				p := newPeer(t, func(w *wirePeer) {
					w.until("\r\n\r\n")
					w.say(answer)
					cancel(errEnough)
					<-t.Context().Done()
				})
				req := newRequest(t, "POST", p.url, "").WithContext(ctx)
				req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"echo"}}
				if size > 0 {
					req.Body, req.ContentLength = io.NopCloser(&counting{}), int64(size)
				}
				if got, err := do(newTransport(t), req); !errors.Is(err, errEnough) || errors.Is(err, http1.ErrUnsent) {
					t.Errorf("got %q, %v", got, err)
				}
			})
		}
	}
}

// TestUpgrade: a 101 that was asked for is a connection both ways.
func TestUpgrade(t *testing.T) {
	p := newPeer(t, func(w *wirePeer) {
		w.request()
		w.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\nhello")
		_, _ = io.Copy(w.Conn, w)
	})
	req := newRequest(t, "GET", p.url, "")
	req.Header = http.Header{"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"h2c, websocket"}}
	resp, err := newTransport(t).RoundTrip(req)
	if err != nil || resp.StatusCode != 101 || !resp.Close {
		t.Fatal(resp, err)
	}
	defer resp.Body.Close()
	both := resp.Body.(interface {
		io.ReadWriteCloser
		CloseWrite() error
	})
	fmt.Fprint(both, " world")
	if err := both.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(both); string(got) != "hello world" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestCloseEndsARead: the Body of an answer may be closed while it is read.
func TestCloseEndsARead(t *testing.T) {
	p := newPeer(t, func(w *wirePeer) {
		w.request()
		w.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
		w.until("never")
	})
	reads := make(chan bool, 9)
	tr := newTransport(t)
	tr.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		return telling{c, reads}, err
	}
	resp, err := tr.RoundTrip(newRequest(t, "GET", p.url, ""))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadFull(resp.Body, make([]byte, 1))
	for len(reads) > 0 {
		<-reads
	}
	go func() { <-reads; resp.Body.Close() }()
	if _, err := resp.Body.Read(make([]byte, 1)); err == nil || err == io.EOF || errors.Is(err, errVain) {
		t.Error(err)
	}
}

// telling is a connection that tells of each Read before it waits.
type telling struct {
	net.Conn
	reads chan bool
}

func (c telling) Read(p []byte) (int, error) { c.reads <- true; return c.Conn.Read(p) }

// pipes makes a transport whose upstream is script, over pipes: time in a synctest bubble
// then passes by itself.
func pipes(dials *int, script func(net.Conn, *bufio.Reader)) *http1.Transport {
	return &http1.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		*dials++
		c, peer := net.Pipe()
		go func() { defer peer.Close(); script(peer, bufio.NewReader(peer)) }()
		return c, nil
	}}
}

// TestIdleConnectionsEnd: after IdleTimeout, or what the upstream said less one second.
func TestIdleConnectionsEnd(t *testing.T) {
	for hint, rest := range map[string]time.Duration{"": 4 * time.Second, "Keep-Alive: timeout=3, max=5\r\n": 2 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			var dials int
			closed := make(chan time.Time, 9)
			tr := pipes(&dials, func(c net.Conn, r *bufio.Reader) {
				for {
					if _, err := http.ReadRequest(r); err != nil {
						closed <- time.Now()
						return
					}
					fmt.Fprint(c, "HTTP/1.1 200 OK\r\n"+hint+"Content-Length: 0\r\n\r\n")
				}
			})
			for range 2 {
				if _, err := do(tr, newRequest(t, "GET", "http://h", "")); err != nil {
					t.Fatal(err)
				}
				time.Sleep(rest - time.Millisecond)
			}
			used := time.Now().Add(time.Millisecond - rest)
			if took := (<-closed).Sub(used); dials != 1 || took != rest {
				t.Errorf("%d connections, the first closed after %v, want %v", dials, took, rest)
			}
			if _, err := do(tr, newRequest(t, "GET", "http://h", "")); err != nil || dials != 2 {
				t.Error(dials, err)
			}
			tr.CloseIdleConnections()
		})
	}
}

// TestEachConnectionHasItsOwnEnd: one that the upstream closes sooner is not used because
// another one before it rests longer.
func TestEachConnectionHasItsOwnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials int
		tr := pipes(&dials, func(c net.Conn, r *bufio.Reader) {
			hint := ""
			if dials == 2 {
				hint = "Keep-Alive: timeout=2\r\n"
			}
			for {
				if _, err := http.ReadRequest(r); err != nil {
					return
				}
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\n"+hint+"Content-Length: 1\r\n\r\na")
			}
		})
		first, err := tr.RoundTrip(newRequest(t, "GET", "http://h", ""))
		if err != nil {
			t.Fatal(err)
		}
		second, err := tr.RoundTrip(newRequest(t, "GET", "http://h", ""))
		if err != nil {
			t.Fatal(err)
		}
		for _, resp := range []*http.Response{first, second} {
			_, _ = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		time.Sleep(1500 * time.Millisecond)
		for range 2 {
			resp, err := tr.RoundTrip(newRequest(t, "GET", "http://h", ""))
			if err != nil || resp.Header.Get("Keep-Alive") != "" {
				t.Error("the second connection is used after its end", err)
			}
			defer resp.Body.Close()
		}
		tr.CloseIdleConnections()
	})
}

// TestExpectContinue: the body waits for 100, for at most a second; a final answer comes
// without it, and the connection is not used again.
func TestExpectContinue(t *testing.T) {
	for _, c := range []struct {
		first, second string
		wait          time.Duration
		sent          bool
	}{
		{"HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, true},
		{"HTTP/1.1 102 Processing\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", time.Second, true},
		{"", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", time.Second, true},
		{"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n", "", 0, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			var dials int
			var got string
			var at, asked time.Time
			tr := pipes(&dials, func(conn net.Conn, r *bufio.Reader) {
				for {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					asked = time.Now()
					fmt.Fprint(conn, c.first)
					body, _ := io.ReadAll(req.Body)
					got, at = string(body), time.Now()
					fmt.Fprint(conn, c.second)
				}
			})
			req := newRequest(t, "POST", "http://h", "body")
			req.Header.Set("Expect", "100-Continue")
			if _, err := do(tr, req); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if (got == "body") != c.sent || c.sent && at.Sub(asked) != c.wait {
				t.Errorf("%q: got %q after %v", c.first, got, at.Sub(asked))
			}
			if _, err := do(tr, newRequest(t, "POST", "http://h", "")); err != nil || (dials == 1) != c.sent {
				t.Errorf("%q: %d connections, %v", c.first, dials, err)
			}
			tr.CloseIdleConnections()
		})
	}
}

// TestMaxConns: who waits for a connection gets the one that another gives back, or ends
// with its context.
func TestMaxConns(t *testing.T) {
	p := newPeer(t, answers(okay))
	tr := newTransport(t)
	tr.MaxConns = 1
	resp, err := tr.RoundTrip(newRequest(t, "GET", p.url, ""))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(10*time.Millisecond, func() { cancel(errEnough) })
	if _, err := do(tr, newRequest(t, "POST", p.url, "").WithContext(ctx)); !errors.Is(err, errEnough) || !errors.Is(err, http1.ErrUnsent) {
		t.Error(err)
	}
	done := make(chan error, 1)
	go func() { _, err := do(tr, newRequest(t, "POST", p.url, "")); done <- err }()
	_, _ = io.ReadAll(resp.Body)
	if err := <-done; err != nil || p.connections() != 1 {
		t.Error(p.connections(), err)
	}
	resp.Body.Close()
}

// TestConnect: what keeps a connection from being had, TLS included, is a ConnectError.
func TestConnect(t *testing.T) {
	silent := newPeer(t, func(w *wirePeer) { w.until("never") })
	taken, err := net.Dial("tcp", silent.Addr().String()) // at its own address nobody listens
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	var opened atomic.Int64
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	srv.StartTLS()
	defer srv.Close()
	tr := newTransport(t)
	for url, want := range map[string]error{
		"http://" + taken.LocalAddr().String(): nil, srv.URL: nil, // a certificate of nobody's
		"https://" + silent.Addr().String(): context.DeadlineExceeded,
	} {
		if tr.ConnectTimeout = patience; want != nil {
			tr.ConnectTimeout = 10 * time.Millisecond
		}
		_, err := do(tr, newRequest(t, "POST", url, ""))
		if !errors.As(err, new(*http1.ConnectError)) || !errors.Is(err, http1.ErrUnsent) || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v", url, err)
		}
	}
	tr = newTransport(t)
	tr.TLS = &tls.Config{RootCAs: srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	before := opened.Load()
	for range 4 {
		resp, err := tr.RoundTrip(newRequest(t, "GET", srv.URL, ""))
		if err != nil || resp.TLS == nil || resp.TLS.NegotiatedProtocol != "http/1.1" {
			t.Fatal(resp, err)
		}
		_, _ = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if n := opened.Load() - before; n != 1 {
		t.Errorf("%d connections by TLS for 4 requests", n)
	}
}

// TestInvalidRequests: nothing is sent of a request that would be two, or that this client
// does not speak.
func TestInvalidRequests(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"line feed in the target": func(r *http.Request) { r.URL.Opaque = "/a\r\nB: c" },
		"space in the target":     func(r *http.Request) { r.URL.Opaque = "/a b" },
		"line feed in a value":    func(r *http.Request) { r.Header["A"] = []string{"b\r\nC: d"} },
		"invalid name":            func(r *http.Request) { r.Header["A b"] = []string{"c"} },
		"host":                    func(r *http.Request) { r.Host = "a\r\nB: c" },
		"method":                  func(r *http.Request) { r.Method = "GET / HTTP/1.1\r\n\r\nPOST" },
		"CONNECT":                 func(r *http.Request) { r.Method = "CONNECT" },
		"scheme":                  func(r *http.Request) { r.URL.Scheme = "ftp" },
		"length without a body":   func(r *http.Request) { r.ContentLength = 3 },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, func(w *wirePeer) { t.Error("a connection was made") })
			req := newRequest(t, "GET", p.url, "")
			change(req)
			if _, err := do(newTransport(t), req); !errors.As(err, new(*http1.RequestError)) || !errors.Is(err, http1.ErrUnsent) {
				t.Error(err)
			}
		})
	}
}
