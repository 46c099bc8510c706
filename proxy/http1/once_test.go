//go:build unix

package http1_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/proxy/http1"
)

// TestNetHTTPRepeatsBodylessWritesWithIdempotencyKey (net/http's Transport does): where a
// pooled connection ends instead of an answer, only a GET or HEAD without a body is sent
// again.
func TestNetHTTPRepeatsBodylessWritesWithIdempotencyKey(t *testing.T) {
	for _, c := range []struct {
		method, body string
		times        int
	}{
		{"POST", "", 1}, {"DELETE", "", 1}, {"PUT", "", 1}, {"PATCH", "", 1}, {"OPTIONS", "", 1},
		{"POST", "a", 1}, {"GET", "a", 1}, {"GET", "", 2}, {"HEAD", "", 2},
	} {
		t.Run(c.method+" "+c.body, func(t *testing.T) {
			p := newPeer(t, func(w *wirePeer) {
				w.request()
				w.say("HTTP/1.1 204 No Content\r\n\r\n")
				w.request() // it may have had its effect, and has no answer
			})
			tr := newTransport(t)
			if _, err := do(tr, newRequest(t, "GET", p.url, "")); err != nil {
				t.Fatal(err)
			}
			req := newRequest(t, c.method, p.url, c.body)
			req.Header.Set("Idempotency-Key", "k")
			_, err := do(tr, req)
			if n := len(p.requests()) - 1; n != c.times {
				t.Errorf("sent %d times, want %d", n, c.times)
			}
			if c.times == 1 && (!errors.As(err, new(*http1.CutError)) || errors.Is(err, http1.ErrUnsent)) {
				t.Errorf("error %v, want a CutError that may have had an effect", err)
			}
		})
	}
}

// dialled keeps the connections that a transport opened.
type dialled struct {
	mu  sync.Mutex
	all []net.Conn
}

func (d *dialled) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, c)
	return c, err
}

// awaitInput waits until something has arrived on connection i, or its end.
func (d *dialled) awaitInput(t *testing.T, i int) {
	t.Helper()
	d.mu.Lock()
	raw, err := d.all[i].(syscall.Conn).SyscallConn()
	d.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		var arrived bool
		if raw.Control(func(fd uintptr) {
			_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			arrived = err != syscall.EAGAIN
		}) != nil || arrived {
			return
		}
	}
	t.Fatal("nothing arrived")
}

// TestUpstreamClosesIdleConnectionsUnderAPost: a connection that the upstream has closed is
// found out before a request is sent on it, and the newest live one is used.
func TestUpstreamClosesIdleConnectionsUnderAPost(t *testing.T) {
	for name, reset := range map[string]bool{"closed": false, "reset": true} {
		t.Run(name, func(t *testing.T) {
			hang := make(chan struct{})
			p := newPeer(t, func(w *wirePeer) {
				w.request()
				w.say(okay)
				if w.n == 1 {
					answers(okay)(w)
					return
				}
				<-hang
				if reset {
					_ = w.Conn.(*net.TCPConn).SetLinger(0)
				}
			})
			d := &dialled{}
			tr := newTransport(t)
			tr.DialContext = d.dial
			var open []*http.Response
			for range 3 { // three at once: three connections
				resp, err := tr.RoundTrip(newRequest(t, "GET", p.url, ""))
				if err != nil {
					t.Fatal(err)
				}
				open = append(open, resp)
			}
			for _, resp := range open {
				_, _ = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			close(hang)
			d.awaitInput(t, 1)
			d.awaitInput(t, 2)
			for range 10 {
				if got, err := do(tr, newRequest(t, "POST", p.url, "a")); got != "200 ok" || err != nil {
					t.Fatal(got, err)
				}
			}
			if p.connections() != 3 {
				t.Errorf("%d connections, want 3: the live one should have been used", p.connections())
			}
		})
	}
}

// breaking is a connection whose second write fails after some bytes. It has no file
// descriptor, so that nothing is seen before.
type breaking struct {
	net.Conn
	writes, after int
}

func (b *breaking) Write(p []byte) (int, error) {
	if b.writes++; b.writes < 2 {
		return b.Conn.Write(p)
	}
	if b.after > 0 {
		_, _ = b.Conn.Write(p[:b.after])
	}
	b.Conn.Close()
	return b.after, syscall.EPIPE
}

// TestOnlyWhatIsUnsentIsSentAgain: a write that fails with nothing sent is made on a fresh
// connection; one byte more, and it is not.
func TestOnlyWhatIsUnsentIsSentAgain(t *testing.T) {
	for after, want := range []string{"200 ok", ""} {
		p := newPeer(t, answers(okay))
		tr := newTransport(t)
		dials := 0
		tr.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, address)
			if dials++; dials > 1 {
				return c, err
			}
			return &breaking{Conn: c, after: after}, err
		}
		for i, want := range []string{"200 ok", want} {
			got, err := do(tr, newRequest(t, "POST", p.url, fmt.Sprint(i)))
			if got != want || (err == nil) != (want != "") || errors.Is(err, http1.ErrUnsent) {
				t.Errorf("%d bytes: %q, %v", after, got, err)
			}
		}
	}
	// On a fresh connection nothing is repeated, and the caller is told.
	tr := newTransport(t)
	tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
		c, _ := net.Pipe()
		return &breaking{Conn: c, writes: 1}, nil
	}
	if _, err := do(tr, newRequest(t, "POST", "http://h", "a")); !errors.Is(err, http1.ErrUnsent) || !errors.As(err, new(*http1.CutError)) {
		t.Error(err)
	}
}

// TestRefusedWhileItIsSent: an answer counts although the write of its request failed, and the
// connection is not used again.
func TestRefusedWhileItIsSent(t *testing.T) {
	p := newPeer(t, func(w *wirePeer) {
		for w.until("\r\n\r\n") != "" {
			w.say(okay)
		}
	})
	tr := newTransport(t)
	tr.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		return &deaf{c}, err
	}
	for range 2 {
		if got, err := do(tr, newRequest(t, "POST", p.url, strings.Repeat("a", 100))); got != "200 ok" || err != nil {
			t.Fatal(got, err)
		}
	}
	if p.connections() != 2 {
		t.Errorf("%d connections", p.connections())
	}
}

// deaf takes no more than a request's head.
type deaf struct{ net.Conn }

func (d *deaf) Write(p []byte) (int, error) {
	head, _, _ := bytes.Cut(p, []byte("\r\n\r\n"))
	n, _ := d.Conn.Write(p[:len(head)+4])
	return n, syscall.EPIPE
}

// TestRequestsThatClose: whoever asks for the connection's end gets it, whatever the upstream
// makes of that.
func TestRequestsThatClose(t *testing.T) {
	p := newPeer(t, answers(okay))
	tr := newTransport(t)
	for _, change := range []func(*http.Request){
		func(r *http.Request) { r.Close = true }, func(r *http.Request) { r.Header.Set("Connection", "x, close") },
		func(*http.Request) {},
	} {
		req := newRequest(t, "GET", p.url, "")
		change(req)
		if got, err := do(tr, req); got != "200 ok" || err != nil {
			t.Fatal(got, err)
		}
	}
	if p.connections() != 3 {
		t.Errorf("%d connections", p.connections())
	}
}

// TestAnswerBeforeTheRequest: what an upstream sends unasked is never an answer.
func TestAnswerBeforeTheRequest(t *testing.T) {
	const stale = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstale"
	t.Run("TCP", func(t *testing.T) {
		p := newPeer(t, func(w *wirePeer) {
			for w.request() != "" {
				w.say(okay)
				w.say(stale)
			}
		})
		d := &dialled{}
		tr := newTransport(t)
		tr.DialContext = d.dial
		for i := range 5 {
			if got, err := do(tr, newRequest(t, "POST", p.url, "a")); got != "200 ok" || err != nil {
				t.Fatal(got, err)
			}
			d.awaitInput(t, i)
		}
	})
	t.Run("TLS, both records read at once", func(t *testing.T) {
		cert := httptest.NewUnstartedServer(nil)
		cert.StartTLS()
		cert.Close()
		p := newPeer(t, func(w *wirePeer) {
			held := &holding{Conn: w.Conn}
			s := tls.Server(held, &tls.Config{Certificates: cert.TLS.Certificates})
			for {
				if n, err := s.Read(make([]byte, 4096)); n == 0 || err != nil {
					return
				}
				held.hold = true
				_, _ = io.WriteString(s, okay)
				_, _ = io.WriteString(s, stale)
				held.hold = false
				_, _ = held.Write(nil)
			}
		})
		tr := newTransport(t)
		tr.TLS = &tls.Config{InsecureSkipVerify: true}
		for range 5 {
			got, err := do(tr, newRequest(t, "POST", strings.Replace(p.url, "http", "https", 1), "a"))
			if got != "200 ok" || err != nil {
				t.Fatal(got, err)
			}
		}
	})
}

// holding is a connection that can hold back what is written.
type holding struct {
	net.Conn
	hold bool
	held []byte
}

func (h *holding) Write(p []byte) (int, error) {
	if h.held = append(h.held, p...); h.hold {
		return len(p), nil
	}
	_, err := h.Conn.Write(h.held)
	h.held = nil
	return len(p), err
}

// TestAtMostOnceAndNeverAnothersAnswer: under upstreams that close and reset at random
// places, with callers that give up, each write arrives at most once, each that is said to
// be unsent never, and each answer is that of its own request.
func TestAtMostOnceAndNeverAnothersAnswer(t *testing.T) {
	arrived := sync.Map{}
	p := newPeer(t, func(w *wirePeer) {
		rng := rand.New(rand.NewPCG(uint64(w.n), 1))
		for {
			got := w.request()
			if got == "" {
				return
			}
			_, id, _ := strings.Cut(got, "\r\n\r\n")
			count, _ := arrived.LoadOrStore(id, new(int))
			w.peer.mu.Lock()
			*count.(*int)++
			w.peer.mu.Unlock()
			answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(id), id)
			switch rng.IntN(8) {
			case 0:
				return
			case 1:
				_ = w.Conn.(*net.TCPConn).SetLinger(0)
				return
			case 2:
				w.say(answer[:rng.IntN(len(answer))])
				return
			case 3:
				w.say(answer)
				return
			default:
				w.say(answer)
			}
		}
	})
	tr := newTransport(t)
	tr.MaxConns = 6
	var wg sync.WaitGroup
	for worker := range 12 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(worker), 2))
			for i := range 60 {
				id := fmt.Sprintf("%d-%d", worker, i)
				req := newRequest(t, "POST", p.url, id)
				ctx, cancel := context.WithCancel(req.Context())
				if rng.IntN(6) == 0 {
					time.AfterFunc(time.Duration(rng.IntN(500))*time.Microsecond, cancel)
				}
				got, err := do(tr, req.WithContext(ctx))
				cancel()
				n := 0
				if count, ok := arrived.Load(id); ok {
					p.mu.Lock()
					n = *count.(*int)
					p.mu.Unlock()
				}
				if n > 1 || err == nil && (got != "200 "+id || n != 1) || errors.Is(err, http1.ErrUnsent) && n > 0 {
					t.Errorf("%s arrived %d times: %q, %v", id, n, got, err)
				}
			}
		})
	}
	wg.Wait()
}
