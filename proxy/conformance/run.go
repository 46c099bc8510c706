package conformance

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// run is one case against one kind of route.
type run struct {
	kase  *Case
	kind  Kind
	token string
	auth  string        // a field with the token of a subject
	limit time.Duration // of the routes

	budget time.Duration   // for whatever must happen at all
	ctx    context.Context // ends with the client's part of the case, or with its budget

	once   sync.Once
	values *strings.Replacer // of expand

	mu       sync.Mutex
	seen     []*exchange // without canaries
	problems []string
	steps    chan struct{} // from Serve to Client functions, or back

	answers []*message // final ones, the canary's apart
	interim []*message
	end     error // what ended the client's connection before the canary was answered
	canary  bool  // the connection was good for one more request
	next    string
}

func (r *run) fail(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

// expand makes bytes of a text: \n is CRLF, <LF>, <CR> and <NUL> are the bytes alone,
// {base} is the path that has the run's token, {path} one below it, {h} a Host field and
// a token that makes routes forward, {b} a JSON body of seven bytes, {chunked} the same in
// one chunk, {empty} what a mapped route makes of no body, {json} an answer of 22 bytes that a mapped route maps to itself,
// and {512K} and {1536K} so many bytes, which are not looked through: with those a client was late for its head.
func (r *run) expand(text string) string {
	r.once.Do(func() {
		base, empty := "/"+string(r.kind)+"/"+r.token, ""
		if r.kind == Mapped {
			empty = "{}"
		}
		r.values = strings.NewReplacer("{auth}", r.auth+"\r\n", "{b}", `{"a":1}`, "{empty}", empty, "{json}", `{"saw":"x","side":"y"}`,
			"{base}", base, "{path}", base+"/x", "{token}", r.token, "\r\n", "\r\n", "\n", "\r\n",
			"{512K}", big[:1<<19], "{1536K}", big, "<LF>", "\n", "<CR>", "\r", "<NUL>", "\x00")
	})
	return r.values.Replace(shorthands.Replace(text))
}

var shorthands = strings.NewReplacer("{h}", "Host: proxy.test\n{auth}", "{chunked}", "7\n{b}\n0\n\n", "\r\n", "\r\n")

// client is the other end of a target.
type client struct {
	*run
	conn    *net.TCPConn
	in      *bufio.Reader
	got     chan struct{} // a message has come
	writers sync.WaitGroup

	onContinue func() // called at 100
}

func (r *run) dial(address string) (*client, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(r.budget))
	return &client{run: r, conn: conn.(*net.TCPConn), in: bufio.NewReader(conn), got: make(chan struct{}, 1)}, nil
}

// do sends the case and a canary after it: pipelined, so that whatever the target takes
// for a request too many or too few shows, or, for what upstreams do, after the answer. A
// second canary on a connection of its own is for what was left behind in the target.
func (r *run) do(address string) {
	ctx, end := context.WithTimeoutCause(context.Background(), r.budget, fmt.Errorf("it took %v", r.budget))
	defer end()
	r.ctx = ctx
	c, err := r.dial(address)
	if err != nil {
		r.end = err
		return
	}
	if r.kase.Client != nil {
		r.kase.Client(c)
	} else {
		c.converse()
	}
	end() // what the upstream still waits for will not come
	c.conn.Close()
	c.writers.Wait()
	fresh, err := r.dial(address)
	if err != nil {
		r.next = err.Error()
		return
	}
	defer fresh.conn.Close()
	fresh.send(canaryRequest)
	if m, err := fresh.read("GET"); err != nil {
		r.next = err.Error()
	} else if !r.isCanary(m) {
		r.next = m.start + " " + clip(string(m.body))
	}
}

const canaryRequest = "GET {base}/canary HTTP/1.1\n{h}\n"

func (r *run) isCanary(m *message) bool { return m.saw().Saw == r.expand("GET {base}/canary") }

// echoed is the body of echo.
type echoed struct{ Saw, Side string }

func (m *message) saw() (e echoed) {
	_ = json.Unmarshal(m.body, &e)
	return e
}

func (c *client) converse() {
	text := c.kase.Send
	pipelined := c.kase.Serve == nil && c.kase.Answer == "" && !strings.Contains(text, "<END>")
	if pipelined {
		text += canaryRequest
	}
	c.writers.Go(func() { c.send(text) })
	method, _, _ := strings.Cut(text, " ")
	for {
		m, err := c.read(method)
		if err != nil {
			c.end = err
			return
		}
		if c.canary = c.isCanary(m); c.canary {
			return
		}
		c.answers = append(c.answers, m)
		if !pipelined && len(c.answers) == 1 {
			if m.value("Content-Length")+m.value("Transfer-Encoding") == "" && m.hasBody(method) || m.hasToken("Connection",
				"close") {
				c.end = io.EOF
				return
			}
			c.writers.Wait()
			c.send(canaryRequest)
		}
		method = "GET"
	}
}

func (m *message) hasBody(method string) bool {
	code, _ := m.status()
	return method != "HEAD" && code >= 200 && code != 204 && code != 304
}

// send writes a text as expand reads it, in which <WAIT> waits for a message, <DRIP> sends
// each byte by itself from there on, and <END> closes the client's half of the connection.
func (c *client) send(text string) {
	text, slow, _ := strings.Cut(text, "<DRIP>")
	text, _, ends := strings.Cut(text, "<END>")
	for i, part := range strings.Split(text, "<WAIT>") {
		if i > 0 {
			select {
			case <-c.got:
			case <-c.ctx.Done():
			}
		}
		if _, err := io.WriteString(c.conn, c.expand(part)); err != nil {
			return
		}
	}
	for _, b := range []byte(c.expand(slow)) {
		if _, err := c.conn.Write([]byte{b}); err != nil {
			return
		}
	}
	if ends {
		_ = c.conn.CloseWrite()
	}
}

// read reads a final answer. The interim ones before it are kept.
func (c *client) read(method string) (*message, error) {
	for {
		m, err := readHead(c.in)
		if err != nil {
			return m, err
		}
		select {
		case c.got <- struct{}{}:
		default:
		}
		code, err := m.status()
		if err != nil {
			return m, err
		}
		if code < 200 && code != 101 {
			if c.interim = append(c.interim, m); code == 100 && c.onContinue != nil {
				c.onContinue()
			}
			continue
		}
		if !m.hasBody(method) {
			m.whole = true
			return m, nil
		}
		if err := m.readBody(c.in, true); err != nil && !isCut(err) {
			return m, err
		}
		return m, nil
	}
}

func isWire(err error) bool { return errors.Is(err, errWire) }

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

func isCut(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}
