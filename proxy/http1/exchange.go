package http1

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	continueWait = time.Second // for 100 Continue, as long as net/http's default transport
	maxChunkLine = 256         // the size of a chunk and its extension
)

// lastChunk is the end of the chunk before it, and an end without trailers.
var lastChunk = []byte("\r\n0\r\n\r\n")

// exchange is one request and its answer on a connection. It is the Body of the answer.
type exchange struct {
	p    *pool
	c    *conn
	m    *message
	ctx  context.Context
	stop func() bool // of the watch on ctx; nil: ctx never ends
	up   *upload     // nil: all of the request left at once

	// end is nil while the exchange owns the connection. Then it is why the connection was
	// closed, or pooledAgain. What comes late finds it set and leaves the connection alone.
	end    atomic.Pointer[ending]
	unsent bool // the first write sent nothing

	mu       sync.Mutex // of the answer's body, held while it is read
	resp     *http.Response
	framing  framing
	left     int64 // of the body, or of the chunk
	chunks   int   // chunks begun
	whole    bool  // the answer has been read to its end
	finished bool
	err      error // of all further reads
}

type ending struct{ err error }

var (
	pooledAgain = &ending{}
	errBody     = errors.New("the answer's body was closed")
)

func (p *pool) begin(ctx context.Context, c *conn, m *message) *exchange {
	x := &exchange{p: p, c: c, m: m, ctx: ctx}
	c.in.begin()
	if ctx.Done() != nil {
		x.stop = context.AfterFunc(ctx, x.cancelled)
	}
	return x
}

func (x *exchange) cancelled() {
	x.interrupt(fmt.Errorf("wait for %s: %w", x.p.address, context.Cause(x.ctx)))
}

// interrupt closes the connection, unless the exchange has ended.
func (x *exchange) interrupt(err error) {
	if x.end.CompareAndSwap(nil, &ending{err}) {
		x.c.wire.Close()
	}
}

// finish ends the exchange: the connection is pooled or closed, and the upload has ended.
// With again, the request keeps its place for another attempt.
func (x *exchange) finish(again bool) {
	if x.finished {
		return
	}
	x.finished = true
	if x.stop != nil {
		x.stop()
	}
	c := x.c
	clean := x.whole && !x.resp.Close && c.in.buffered() == 0 && x.up.finished()
	if clean && x.end.CompareAndSwap(nil, pooledAgain) {
		c.in.end()
		x.p.put(c, x.p.t.rest(x.resp.Header["Keep-Alive"]))
	} else {
		x.interrupt(errBody)
		x.up.stop()
		c.in.end()
	}
	if !again {
		x.p.release()
	}
}

// repeatable is the one rule for a second attempt, after a connection that was used before
// failed: nothing was sent, or the request is a GET or HEAD without a body and nothing
// came back.
func (x *exchange) repeatable(err error) bool {
	var cut *CutError
	return errors.As(err, &cut) && x.ctx.Err() == nil && (x.unsent || x.m.repeatable() && !x.c.in.seen)
}

// roundTrip sends the request and reads the head of the answer.
func (x *exchange) roundTrip() (*http.Response, error) {
	before := x.c.wire.sent.Load()
	_, failed := x.c.net.Write(x.m.first)
	if x.unsent = failed != nil && x.c.wire.sent.Load() == before; x.unsent {
		return nil, unsent(x.explain(failed))
	}
	if failed == nil && x.m.rest != nil && !x.m.expect {
		x.startUpload()
	}
	// Also after a failed write there may be an answer: a server may refuse and close.
	resp, err := x.answer()
	if err != nil {
		return nil, x.explain(err)
	}
	x.resp = resp
	if resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Body = tunnel{x}
		return resp, nil
	}
	if failed != nil || x.m.expect && x.up == nil || x.m.closes() {
		resp.Close = true
	}
	if x.up == nil {
		x.m.closeBody()
	}
	if x.framing == noBody {
		x.whole = true
		x.finish(false)
		resp.Body = http.NoBody
		return resp, nil
	}
	resp.Body = x
	return resp, nil
}

func (x *exchange) startUpload() {
	x.up = &upload{
		m: x.m, to: x.c.net, abort: x.interrupt, last: make(chan struct{}), done: make(chan struct{}),
	}
	go x.up.run()
}

// answer reads heads up to a final one.
func (x *exchange) answer() (*http.Response, error) {
	trace := httptrace.ContextClientTrace(x.ctx)
	budget := x.p.t.maxHead()
	if x.m.expect {
		_ = x.c.wire.SetReadDeadline(time.Now().Add(continueWait))
	}
	for {
		head, err := x.c.in.block(budget)
		if waits := x.m.expect && x.up == nil; waits && errors.Is(err, os.ErrDeadlineExceeded) {
			_ = x.c.wire.SetReadDeadline(time.Time{})
			x.startUpload()
			continue
		}
		if err != nil {
			return nil, err
		}
		budget -= len(head)
		resp, err := parseAnswer(string(head))
		if err != nil {
			return nil, err
		}
		resp.Request, resp.TLS = x.m.req, x.c.tls
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, x.frame(resp)
		}
		if err := x.interim(resp, trace); err != nil {
			return nil, err
		}
	}
}

// interim passes a 1xx on.
func (x *exchange) interim(resp *http.Response, trace *httptrace.ClientTrace) error {
	if resp.StatusCode == http.StatusContinue && x.m.expect && x.up == nil {
		_ = x.c.wire.SetReadDeadline(time.Time{})
		x.startUpload()
	}
	if trace == nil || trace.Got1xxResponse == nil {
		return nil
	}
	err := trace.Got1xxResponse(resp.StatusCode, textproto.MIMEHeader(resp.Header))
	if err != nil {
		x.interrupt(err)
	}
	return err
}

func (x *exchange) frame(resp *http.Response) (err error) {
	if x.m.expect {
		_ = x.c.wire.SetReadDeadline(time.Time{})
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		x.framing = upgraded
		return x.checkUpgrade(resp)
	}
	x.framing, err = frame(resp, x.m.req.Method)
	x.left = max(resp.ContentLength, 0)
	return err
}

// checkUpgrade refuses a 101 to a request that did not offer that protocol.
func (x *exchange) checkUpgrade(resp *http.Response) error {
	req := x.m.req.Header
	to := resp.Header.Get("Upgrade")
	offered := hasToken(req["Connection"], "upgrade") && hasToken(req["Upgrade"], to)
	if to == "" || !offered || !x.up.finished() {
		return malformed("101 Switching Protocols, to " + clip(to) + ", which the request did not ask for")
	}
	resp.ContentLength, resp.Close = -1, true
	return nil
}

// explain gives an error the form that callers test for.
func (x *exchange) explain(err error) error {
	if end := x.end.Load(); end != nil && end != pooledAgain {
		return end.err
	}
	if reason, ok := errors.AsType[malformed](err); ok {
		return &MalformedError{x.p.address, string(reason)}
	}
	if err == io.EOF {
		err = errClosed
	}
	return &CutError{x.p.address, err}
}

// Read reads the answer's body.
func (x *exchange) Read(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil {
		return 0, x.err
	}
	n, err := x.read(p)
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF:
		x.whole = true
		if x.framing != upgraded && x.up.finished() {
			x.finish(false)
		}
	default:
		err = x.explain(err)
		x.finish(false)
	}
	x.err = err
	return n, err
}

func (x *exchange) read(p []byte) (int, error) {
	if x.framing != byChunks && x.c.in.buffered() == 0 {
		x.c.in.end() // a tunnel or a long download needs no buffer of its own
	}
	if x.framing == byClose || x.framing == upgraded {
		return x.c.in.Read(p)
	}
	if x.framing == byChunks && x.left == 0 {
		switch last, err := x.nextChunk(); {
		case err == io.EOF:
			return 0, io.ErrUnexpectedEOF
		case err != nil:
			return 0, err
		case last:
			return 0, io.EOF
		}
	}
	n, err := x.c.in.Read(p[:min(int64(len(p)), x.left)])
	x.left -= int64(n)
	switch {
	case err == io.EOF:
		return n, io.ErrUnexpectedEOF
	case err != nil || x.left > 0:
	case x.framing == byLength:
		return n, io.EOF
	case x.c.in.begins(lastChunk): // it is here, and so the end leaves with what is before it
		_, err = x.nextChunk()
		return n, cmp.Or(err, io.EOF)
	}
	return n, err
}

// nextChunk reads a chunk's size; last when the body has ended, with its trailers.
func (x *exchange) nextChunk() (last bool, err error) {
	in := &x.c.in
	if x.chunks++; x.chunks > 1 {
		end, err := in.line(2)
		if err != nil || string(end) != "\r\n" {
			return false, cmp.Or(err, error(malformed("a chunk does not end where its size says")))
		}
	}
	line, err := in.line(maxChunkLine)
	if err != nil {
		return false, err
	}
	if x.left, err = parseChunkSize(line); err != nil || x.left > 0 {
		return false, err
	}
	section, err := in.block(x.p.t.maxHead())
	if err != nil {
		return false, err
	}
	return true, addTrailers(x.resp, string(section))
}

// Close ends the exchange, and a Read that waits. A connection whose answer was not
// read to its end is closed.
func (x *exchange) Close() error {
	if !x.mu.TryLock() {
		x.interrupt(errBody)
		x.mu.Lock()
	}
	defer x.mu.Unlock()
	x.finish(false)
	if x.err == nil {
		x.err = http.ErrBodyReadAfterClose
	}
	return nil
}

// tunnel is the body of a 101: both ways of the connection.
type tunnel struct{ *exchange }

// Write sends to the upstream.
func (t tunnel) Write(p []byte) (int, error) {
	n, err := t.c.net.Write(p)
	if err != nil {
		err = t.explain(err)
	}
	return n, err
}

// CloseWrite tells the upstream that nothing more will be sent.
func (t tunnel) CloseWrite() error {
	if half, ok := t.c.net.(interface{ CloseWrite() error }); ok && t.c.tls != nil {
		return half.CloseWrite()
	}
	if half, ok := t.c.wire.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return fmt.Errorf("half-close of %s: %w", t.p.address, errors.ErrUnsupported)
}
