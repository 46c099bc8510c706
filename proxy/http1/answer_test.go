package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/banyan-fig/banyan/proxy/http1"
)

// TestAnswers tries what is understood, and whether the connection is used again.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name, answer, want string
		reused             bool
	}{
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "200 abc", true},
		{"empty", "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", "201 ", true},
		{"the same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", "200 a", true},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=\"y\"\r\nabc\r\nA \r\n0123456789\r\n0\r\n\r\n", "200 abc0123456789", true},
		{"to the end", "HTTP/1.1 200 OK\r\n\r\nabc", "200 abc", false},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", "200 a", false},
		{"close", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: x, Close\r\n\r\na", "200 a", false},
		{"204", "HTTP/1.1 204 No Content\r\n\r\n", "204 ", true},
		{"304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "304 ", true},
		{"204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n", "204 ", false},
		{"no reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200 ", true},
		{"bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 1\n\na", "200 a", true},
		{"1xx before", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200 ", true},
		{"more than the answer", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\n", "200 a", false},
		{"short keep-alive", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=1, max=9\r\n\r\n", "200 ", false},
		{"unknown status", "HTTP/1.1 799 Odd\r\nContent-Length: 0\r\n\r\n", "799 ", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPeer(t, func(w *wirePeer) {
				for w.request() != "" {
					w.say(c.answer)
					if c.name == "to the end" {
						return
					}
				}
			})
			tr := newTransport(t)
			for range 2 {
				if got, err := do(tr, newRequest(t, "GET", p.url, "")); got != c.want || err != nil {
					t.Fatal(got, err)
				}
			}
			if want := map[bool]int{true: 1, false: 2}[c.reused]; p.connections() != want {
				t.Errorf("%d connections, want %d", p.connections(), want)
			}
		})
	}
}

// TestMalformedAnswers: refused is what can be understood in two ways, or has no end.
func TestMalformedAnswers(t *testing.T) {
	const ok, chunked = "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	long := strings.Repeat("x", 70<<10)
	for name, answer := range map[string]string{
		"not HTTP":                   "SSH-2.0-OpenSSH_9.6\r\n\r\n",
		"HTTP/2":                     "HTTP/2.0 200 OK\r\n\r\n",
		"empty line first":           "\r\nHTTP/1.1 200 OK\r\n\r\n",
		"status of two digits":       "HTTP/1.1 20 OK\r\n\r\n",
		"status of four digits":      "HTTP/1.1 2000 OK\r\n\r\n",
		"status 099":                 "HTTP/1.1 099 OK\r\n\r\n",
		"folded":                     ok + "A: b\r\n c\r\n\r\n",
		"folded first":               ok + " A: b\r\n\r\n",
		"space before the colon":     ok + "Content-Length : 0\r\n\r\n",
		"no colon":                   ok + "Abc\r\n\r\n",
		"no name":                    ok + ": b\r\n\r\n",
		"carriage return in a value": ok + "A: b\rC: d\r\n\r\n",
		"NUL in a value":             ok + "A: b\x00\r\n\r\n",
		"length and chunks":          ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"lengths that differ":        ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"list of lengths":            ok + "Content-Length: 1, 1\r\n\r\na",
		"length with a sign":         ok + "Content-Length: +1\r\n\r\na",
		"negative length":            ok + "Content-Length: -1\r\n\r\n",
		"length over 63 bits":        ok + "Content-Length: 9223372036854775808\r\n\r\n",
		"another coding":             ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"chunked twice":              ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.0 with chunks":       "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"101 that nobody asked for":  "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
		"chunk size that is none":    chunked + "x\r\n",
		"empty chunk size":           chunked + "\r\n",
		"chunk size with 0x":         chunked + "0x1\r\na\r\n0\r\n\r\n",
		"chunk size over 63 bits":    chunked + "8000000000000000\r\n",
		"chunk size of 17 digits":    chunked + "10000000000000001\r\na\r\n0\r\n\r\n",
		"chunk size, bare line feed": chunked + "1\na\r\n0\r\n\r\n",
		"chunk longer than its size": chunked + "1\r\nab\r\n0\r\n\r\n",
		"long chunk extension":       chunked + "1;" + long + "\r\na\r\n0\r\n\r\n",
		"trailers, bare line feed":   chunked + "0\r\nA: b\n\r\n",
		"invalid trailer":            chunked + "0\r\nA b\r\n\r\n",
		"trailers without end":       chunked + "0\r\nA: " + long,
		"head of 70 KiB":             ok + "A: " + long + "\r\n\r\n",
		"70 KiB of 1xx":              strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 3000) + ok + "\r\n",
		"status line without end":    "HTTP/1.1 200 " + long,
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, func(w *wirePeer) {
				w.request()
				w.say(answer)
				_ = w.until("the end") // whoever refuses an answer closes the connection
			})
			got, err := do(newTransport(t), newRequest(t, "GET", p.url, ""))
			if bad := new(http1.MalformedError); !errors.As(err, &bad) || bad.Address != p.Addr().String() {
				t.Errorf("got %q, %v; want a MalformedError", got, err)
			}
		})
	}
}

// TestCutAnswers: an answer that ends before its end is no answer.
func TestCutAnswers(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for name, answer := range map[string]string{
		"nothing": "", "half a head": ok + "A: ", "half a length": ok + "Content-Length: 2\r\n\r\na",
		"before a chunk": ok + "Transfer-Encoding: chunked\r\n\r\n", "in a chunk": ok + "Transfer-Encoding: chunked\r\n\r\n2\r\na",
		"no last chunk":  ok + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
		"in the trailer": ok + "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n", "after 1xx": "HTTP/1.1 102 Processing\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, func(w *wirePeer) { w.request(); w.say(answer) })
			got, err := do(newTransport(t), newRequest(t, "GET", p.url, ""))
			if cut := new(http1.CutError); !errors.As(err, &cut) || !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, http1.ErrUnsent) {
				t.Errorf("got %q, %v; want a CutError", got, err)
			}
			if p.connections() != 1 {
				t.Errorf("%d connections for one request on a fresh one", p.connections())
			}
		})
	}
}

func TestHeadHasNoBody(t *testing.T) {
	p := newPeer(t, answers("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"))
	tr := newTransport(t)
	for range 2 {
		resp, err := tr.RoundTrip(newRequest(t, "HEAD", p.url, ""))
		if err != nil || resp.ContentLength != 5 || resp.Body != http.NoBody {
			t.Fatal(resp, err)
		}
	}
}

// TestTheEndComesWithTheLastBytes: whoever passes a small answer on sends it at once, by length
// or in chunks.
func TestTheEndComesWithTheLastBytes(t *testing.T) {
	for _, head := range []string{"Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"} {
		p := newPeer(t, answers("HTTP/1.1 200 OK\r\n"+head))
		tr := newTransport(t)
		for range 2 {
			resp, err := tr.RoundTrip(newRequest(t, "GET", p.url, ""))
			if err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 64)
			if n, err := resp.Body.Read(buf); string(buf[:n]) != "abc" || err != io.EOF {
				t.Errorf("%q: read %q, %v", head, buf[:n], err)
			}
			resp.Body.Close()
		}
		if p.connections() != 1 {
			t.Errorf("%q: %d connections", head, p.connections())
		}
	}
}

func TestTrailersAndInterimAnswers(t *testing.T) {
	p := newPeer(t, answers("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"+
		"HTTP/1.1 200 OK\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 7\r\nx-more: 8\r\n\r\n"))
	var hints []string
	req := newRequest(t, "GET", p.url, "")
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints = append(hints, h.Get("Link"))
			return nil
		},
	}))
	resp, err := newTransport(t).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, announced := resp.Trailer["X-Sum"]; !announced || resp.Header["Trailer"] != nil || resp.Header["Transfer-Encoding"] != nil {
		t.Error(resp.Header, resp.Trailer)
	}
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	if want := (http.Header{"X-Sum": {"7"}, "X-More": {"8"}}); !reflect.DeepEqual(resp.Trailer, want) || len(hints) != 1 || hints[0] != "</a>" {
		t.Error(resp.Trailer, hints)
	}
}

// FuzzAnswer: no answer makes the client panic or hang, and where both this client and
// net/http's parser accept one, they see the same status and body.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 404 \r\na:\tb\nSet-Cookie: c\r\nSet-Cookie: d\r\n\r\nto the end",
	} {
		f.Add([]byte(s))
	}
	get := func(in io.Reader) (resp *http.Response, body []byte, err error) {
		tr := &http1.Transport{MaxIdle: -1, DialContext: func(context.Context, string, string) (net.Conn, error) {
			return &scripted{in: in, sent: new(bytes.Buffer)}, nil
		}}
		req, _ := http.NewRequest("GET", "http://h/", nil)
		if resp, err = tr.RoundTrip(req); err == nil {
			body, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		return resp, body, err
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		resp, body, err := get(bytes.NewReader(answer))
		slow, slowBody, slowErr := get(iotest.OneByteReader(bytes.NewReader(answer)))
		if (err == nil) != (slowErr == nil) || err == nil && (!bytes.Equal(body, slowBody) || !reflect.DeepEqual(resp.Header, slow.Header)) {
			t.Fatalf("at once: %q, %v; byte by byte: %q, %v", body, err, slowBody, slowErr)
		}
		if err != nil {
			return
		}
		req := resp.Request
		theirs := bufio.NewReader(bytes.NewReader(answer))
		other, err := http.ReadResponse(theirs, req)
		for err == nil && other.StatusCode < 200 {
			other, err = http.ReadResponse(theirs, req)
		}
		if err != nil {
			t.Fatalf("net/http refuses what was accepted: %v", err)
		}
		want, err := io.ReadAll(other.Body)
		if err != nil || !bytes.Equal(body, want) || other.StatusCode != resp.StatusCode || other.Close && !resp.Close {
			t.Fatalf("%d %q, net/http: %d %q, %v", resp.StatusCode, body, other.StatusCode, want, err)
		}
	})
}

// scripted is a connection that says what it was given.
type scripted struct {
	net.Conn
	in   io.Reader
	sent *bytes.Buffer
}

func (s *scripted) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s *scripted) Write(p []byte) (int, error) { return s.sent.Write(p) }
func (s *scripted) Close() error                { return nil }
