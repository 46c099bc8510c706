package conformance

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"time"
)

// upstreams are the two sides behind a target: raw listeners whose every request is
// found by the token in its head, recorded, and answered as the case of the token says.
type upstreams struct {
	listeners []net.Listener
	wg        sync.WaitGroup
	runs      map[string]*run // by token; it does not change while the listeners are open

	mu     sync.Mutex
	conns  map[net.Conn]bool
	closed bool
	strays []string // what came without a token
}

const (
	legacySide = "legacy"
	newSide    = "new"
)

func listen(runs map[string]*run) (*upstreams, error) {
	u := &upstreams{runs: runs, conns: map[net.Conn]bool{}}
	for _, side := range []string{legacySide, newSide} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			u.close()
			return nil, err
		}
		u.listeners = append(u.listeners, l)
		u.wg.Go(func() { u.accept(l, side) })
	}
	return u, nil
}

func (u *upstreams) accept(l net.Listener, side string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		u.mu.Lock()
		if u.closed {
			conn.Close()
		}
		u.conns[conn] = true
		u.mu.Unlock()
		u.wg.Go(func() {
			u.serve(conn, side)
			conn.Close()
			u.mu.Lock()
			delete(u.conns, conn)
			u.mu.Unlock()
		})
	}
}

func (u *upstreams) close() {
	u.mu.Lock()
	u.closed = true
	for conn := range u.conns {
		conn.Close()
	}
	u.mu.Unlock()
	for _, l := range u.listeners {
		l.Close()
	}
	u.wg.Wait()
}

var tokenPattern = regexp.MustCompile(`\bt[0-9]+z\b`)

func (u *upstreams) serve(conn net.Conn, side string) {
	in := bufio.NewReaderSize(conn, 16<<10)
	for {
		m, err := readHead(in)
		if len(m.raw) == 0 {
			return
		}
		r := u.find(string(m.raw))
		if r == nil {
			u.mu.Lock()
			u.strays = append(u.strays, fmt.Sprintf("the %s side got %q, which is of no case", side, clip(string(m.raw))))
			u.mu.Unlock()
			return
		}
		x := &exchange{run: r, side: side, conn: conn, in: in, message: m}
		if err == nil {
			x.method, x.target, err = m.requestLine()
		}
		if err != nil {
			r.fail("the %s side got %q: %v", side, clip(string(m.raw)), err)
			return
		}
		r.serve(x)
		if x.ended || !x.whole {
			return
		}
	}
}

func (u *upstreams) find(head string) *run {
	token := tokenPattern.FindString(head[:min(len(head), 16<<10)])
	if token != "" {
		return u.runs[token]
	}
	for _, r := range u.runs {
		if mark := r.kase.Mark; mark != "" && strings.HasPrefix(head, mark) {
			return r
		}
	}
	return nil
}

// exchange is one request at one side, which a case answers.
type exchange struct {
	*message
	method, target string
	side           string
	run            *run
	conn           net.Conn
	in             *bufio.Reader
	ended          bool // the connection is not used again
}

// serve records a request and lets the case answer it. Canaries and what is not of the
// side that the case is about are echoed.
func (r *run) serve(x *exchange) {
	canary := x.method == "GET" && x.target == r.expand("{base}/canary")
	if !canary {
		r.mu.Lock()
		r.seen = append(r.seen, x)
		r.mu.Unlock()
	}
	script := r.kase.Serve
	switch {
	case canary || x.side != r.kind.side():
		script = echo
	case r.kase.Answer != "":
		script = func(x *exchange) { x.play(r.kase.Answer) }
	case script == nil:
		script = echo
	}
	script(x)
}

// receive reads the body of the request.
func (x *exchange) receive() bool {
	if x.whole {
		return true
	}
	var once message // read apart: check looks at what is recorded only when whole
	once.fields = x.fields
	err := once.readBody(x.in, false)
	x.run.mu.Lock()
	defer x.run.mu.Unlock()
	x.body, x.trailer, x.whole = once.body, once.trailer, once.whole
	if err != nil && isWire(err) {
		x.run.problems = append(x.run.problems, fmt.Sprintf("the %s side got a body after %q: %v", x.side,
			clip(string(x.raw)), err))
	}
	return err == nil
}

func (x *exchange) write(s string) { _, _ = x.conn.Write([]byte(s)) }

// echo answers with what came, as JSON that a mapped route maps to itself.
func echo(x *exchange) {
	if !x.receive() {
		return
	}
	saw, _ := json.Marshal(x.method + " " + x.target)
	body := fmt.Sprintf(`{"saw":%s,"side":%q}`, saw, x.side)
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body))
	if x.method == "HEAD" {
		body = ""
	}
	x.write(head + body)
}

// play answers with a text as expand reads it, in which <CLOSE> and <RESET> end the
// connection, <HANG> holds it until the other end or the suite does, and a first <EARLY>
// lets the answer go before the body is read.
func (x *exchange) play(answer string) {
	answer, early := strings.CutPrefix(answer, "<EARLY>")
	if !early && !x.receive() {
		return
	}
	text := x.run.expand(answer)
	for _, mark := range []string{"<CLOSE>", "<RESET>", "<HANG>"} {
		before, _, found := strings.Cut(text, mark)
		if !found {
			continue
		}
		x.write(before)
		switch x.ended = true; mark {
		case "<RESET>":
			_ = x.conn.(*net.TCPConn).SetLinger(0)
		case "<HANG>":
			x.awaitEnd(0)
		}
		return
	}
	x.write(text)
	x.receive()
}

// awaitEnd reports whether the other end closes the connection within the time; 0 is for
// as long as the suite runs.
func (x *exchange) awaitEnd(within time.Duration) bool {
	x.ended = true
	if within > 0 {
		_ = x.conn.SetReadDeadline(time.Now().Add(within))
	}
	for {
		if _, err := x.in.Discard(1); err != nil {
			return !isTimeout(err)
		}
	}
}
