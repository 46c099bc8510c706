package http1_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/proxy/http1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen at all.
const patience = 30 * time.Second

var errVain = errors.New("the test waited in vain")

const okay = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// peer is an upstream of raw sockets: script runs for each connection, counted from 1.
type peer struct {
	net.Listener
	url string
	mu  sync.Mutex
	got []string // requests, as read by request
	n   int      // connections
	wg  sync.WaitGroup
}

// wirePeer is the peer's side of a connection.
type wirePeer struct {
	net.Conn
	*bufio.Reader
	peer *peer
	n    int
}

func (w *wirePeer) Read(p []byte) (int, error) { return w.Reader.Read(p) }

// request reads a request to the end of its body, and returns its bytes; "" when it is cut.
func (w *wirePeer) request() string {
	got := w.until("\r\n\r\n")
	if _, after, ok := strings.Cut(got, "\r\nContent-Length: "); ok {
		var n int
		_, _ = fmt.Sscan(after, &n)
		body := make([]byte, n)
		if _, err := io.ReadFull(w.Reader, body); err != nil {
			return ""
		}
		got += string(body)
	} else if strings.Contains(got, "\r\nTransfer-Encoding: chunked\r\n") {
		for line := "-"; line != "\r\n"; got += line { // none of the tests' data is an empty line
			if line = w.until("\n"); line == "" {
				return ""
			}
		}
	}
	if got != "" {
		w.peer.mu.Lock()
		defer w.peer.mu.Unlock()
		w.peer.got = append(w.peer.got, got)
	}
	return got
}

// until reads up to and including mark; "" when the connection ends before.
func (w *wirePeer) until(mark string) string {
	var b []byte
	for !strings.HasSuffix(string(b), mark) {
		c, err := w.ReadByte()
		if err != nil {
			return ""
		}
		b = append(b, c)
	}
	return string(b)
}

func (w *wirePeer) say(text string) { _, _ = io.WriteString(w.Conn, text) }

func (p *peer) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.got...)
}

func (p *peer) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

func newPeer(t testing.TB, script func(*wirePeer)) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{Listener: l, url: "http://" + l.Addr().String()}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.n++
			w := &wirePeer{Conn: c, Reader: bufio.NewReader(c), peer: p, n: p.n}
			p.mu.Unlock()
			p.wg.Go(func() { defer c.Close(); script(w) })
		}
	})
	t.Cleanup(func() { l.Close(); p.wg.Wait() })
	return p
}

// answers answers every request of every connection with the same bytes.
func answers(text string) func(*wirePeer) {
	return func(w *wirePeer) {
		for w.request() != "" {
			w.say(text)
		}
	}
}

func newTransport(t testing.TB) *http1.Transport {
	tr := &http1.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func newRequest(t testing.TB, method, url, body string) *http.Request {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errVain)
	t.Cleanup(cancel)
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, r)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// do returns the answer's status and body, or the error of either.
func do(tr *http1.Transport, req *http.Request) (string, error) {
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return fmt.Sprintf("%d %s", resp.StatusCode, body), err
}

func TestRequestBytes(t *testing.T) {
	p := newPeer(t, answers(okay))
	chunked := func(r *http.Request) { r.ContentLength = -1 }
	for _, c := range []struct {
		name, method, body string
		change             func(*http.Request)
		want               string
	}{
		{"GET", "GET", "", nil, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"},
		{"POST without a body", "POST", "", nil, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"},
		{"POST", "POST", "abc", nil, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"},
		{"chunked", "POST", "abc", chunked, "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"},
		{"DELETE", "DELETE", "", nil, "DELETE /a HTTP/1.1\r\nHost: h\r\n\r\n"},
		{"target as it is", "GET", "", func(r *http.Request) { r.URL.Opaque = "//x/../%?b=2;a=100%&c=%zz" },
			"GET //x/../%?b=2;a=100%&c=%zz HTTP/1.1\r\nHost: h\r\n\r\n"},
		{"asterisk", "OPTIONS", "", func(r *http.Request) { r.URL.Opaque = "*" }, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"},
		{"framing is the transport's", "POST", "abc", func(r *http.Request) {
			r.Header = http.Header{"content-length": {"9"}, "Transfer-Encoding": {"x"}, "HOST": {"evil"}, "A": {"1", "2"}}
		}, "POST /a HTTP/1.1\r\nHost: h\r\nA: 1\r\nA: 2\r\nContent-Length: 3\r\n\r\nabc"},
		{"trailers", "POST", "abc", func(r *http.Request) {
			r.ContentLength, r.Trailer = -1, http.Header{"X-Sum": {"7"}}
		}, "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n"},
		{"unknown length, empty", "GET", "", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("")) },
			"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"},
		{"unknown length", "PUT", "", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("a")) },
			"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"},
		{"close", "GET", "", func(r *http.Request) { r.Close = true }, "GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := newRequest(t, c.method, p.url+"/a", c.body)
			req.Host = "h"
			if c.change != nil {
				c.change(req)
			}
			if got, err := do(newTransport(t), req); got != "200 ok" || err != nil {
				t.Fatal(got, err)
			}
			all := p.requests()
			if got := all[len(all)-1]; got != c.want {
				t.Errorf("sent %q\nwant %q", got, c.want)
			}
		})
	}
}

// FuzzRequest: whatever a caller puts into a request, the upstream gets one request with just
// that, or nothing.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "/a?b=1;c", "h", "A", "b", "", false)
	f.Add("POST", "//x/%zz", "h:1", "Content-Length", "5", "body", true)
	f.Add("0", "", "", "0", "0", "0", true)
	f.Add("PUT", "/ HTTP/1.1\r\nA: b", "h\r\nA: b", "Transfer-Encoding ", "b\r\nC: d", "0\r\n\r\n", true)
	f.Fuzz(func(t *testing.T, method, target, host, name, value, body string, chunked bool) {
		var sent bytes.Buffer
		tr := &http1.Transport{MaxIdle: -1, DialContext: func(context.Context, string, string) (net.Conn, error) {
			return &scripted{in: strings.NewReader("HTTP/1.1 204 No Content\r\n\r\n"), sent: &sent}, nil
		}}
		req := &http.Request{
			Method: method, URL: &url.URL{Scheme: "http", Host: "h", Opaque: target}, Host: host, Header: http.Header{name: {value}},
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		}
		if chunked {
			req.ContentLength = -1
		}
		resp, err := tr.RoundTrip(req)
		if err != nil && (sent.Len() > 0 || !errors.Is(err, http1.ErrUnsent)) {
			t.Fatalf("%v, and %q was sent", err, sent.String())
		}
		if err != nil || resp.Close { // the upload was cut by the answer
			return
		}
		begin := cmp.Or(method, "GET") + " " + cmp.Or(target, "/") + " HTTP/1.1\r\nHost: " + cmp.Or(host, "h") + "\r\n"
		rest, ok := strings.CutPrefix(sent.String(), begin)
		if !ok {
			t.Fatalf("%q", sent.String())
		}
		got, err := http.ReadRequest(bufio.NewReader(strings.NewReader("POST / HTTP/1.1\r\nHost: " + cmp.Or(host, "h") + "\r\n" + rest)))
		if err != nil {
			return // net/http is stricter about hosts
		}
		gotBody, err := io.ReadAll(got.Body)
		if err != nil || string(gotBody) != body || len(got.Header) > 2 {
			t.Fatalf("%q: %q, %v, %v", sent.String(), gotBody, got.Header, err)
		}
	})
}
