package http1

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// maxBuffered is the longest body that is read whole and leaves with the head.
const maxBuffered = 32 << 10

// message is a request made ready: what leaves first, and what of the body follows.
type message struct {
	req    *http.Request
	buf    *[]byte   // from writeBuffers
	first  []byte    // leaves in one write
	rest   io.Reader // what is left of the body; nil: first is all
	length int64     // of the rest; -1: chunked
	expect bool      // the rest waits for 100 Continue
	bare   bool      // there is no body at all
	closed sync.Once // the body
}

// closeBody closes the request's body, once: ending a Read that waits.
func (m *message) closeBody() {
	if m.req.Body != nil {
		m.closed.Do(func() { _ = m.req.Body.Close() })
	}
}

// free gives the buffer back: nothing is sent from it any more.
func (m *message) free() {
	if cap(m.first) <= 2*writeBuffer {
		*m.buf = m.first[:0]
	}
	m.first = nil
	writeBuffers.Put(m.buf)
}

// prepare validates the request and writes what leaves first.
func (m *message) prepare() error {
	m.length = m.req.ContentLength
	switch body := m.req.Body; {
	case body == nil || body == http.NoBody:
		if m.bare = true; m.length > 0 {
			return fmt.Errorf("ContentLength is %d, and there is no Body", m.length)
		}
		m.length = 0
	case m.length == 0: // unknown, by net/http's rule
		var one [1]byte
		switch _, err := io.ReadFull(body, one[:]); err {
		case nil:
			m.rest, m.length = io.MultiReader(bytes.NewReader(one[:]), body), -1
		case io.EOF:
			m.bare = true
		default:
			return fmt.Errorf("read the body: %w", err)
		}
	default:
		m.rest, m.length = body, max(m.length, -1)
	}
	m.expect = m.rest != nil && hasToken(m.req.Header["Expect"], "100-continue")
	if err := m.head(); err != nil || m.rest == nil || m.expect || m.length < 0 || m.length > maxBuffered {
		return err
	}
	at := len(m.first)
	m.first = append(m.first, make([]byte, m.length)...)
	if _, err := io.ReadFull(m.rest, m.first[at:]); err != nil {
		return shortBody(err, m.length)
	}
	m.rest = nil
	return nil
}

// head writes the request's head.
func (m *message) head() error {
	req := m.req
	method, target, host := req.Method, req.URL.Opaque, req.Host
	if method == "" {
		method = http.MethodGet
	}
	if target == "" {
		target = req.URL.RequestURI()
	}
	if host == "" {
		host = req.URL.Host
	}
	if !validToken(method) || method == http.MethodConnect {
		return fmt.Errorf("unsupported method %q", method)
	}
	if !validTarget(target) || !validTarget(host) {
		return fmt.Errorf("invalid request target %q or host %q", target, host)
	}
	b := append((*m.buf)[:0], method...)
	b = append(append(b, ' '), target...)
	b = append(append(b, " HTTP/1.1\r\nHost: "...), host...)
	b = append(b, "\r\n"...)
	b, err := appendFields(b, req.Header)
	if err != nil {
		return err
	}
	if req.Close {
		b = append(b, "Connection: close\r\n"...)
	}
	switch {
	case m.length > 0 || m.bare && (method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch):
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, m.length, 10), "\r\n"...)
	case m.length < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		for name := range req.Trailer {
			if !validToken(name) || isFraming(name) {
				return fmt.Errorf("invalid trailer name %q", name)
			}
			b = append(append(append(b, "Trailer: "...), name...), "\r\n"...)
		}
	}
	m.first = append(b, "\r\n"...)
	return nil
}

// appendFields appends header or trailer lines, without those that are the transport's.
func appendFields(b []byte, h http.Header) ([]byte, error) {
	for name, values := range h {
		if isFraming(name) {
			continue
		}
		if !validToken(name) {
			return nil, fmt.Errorf("invalid header name %q", name)
		}
		for _, v := range values {
			if !validValue(v) {
				return nil, fmt.Errorf("invalid value of header %s", name)
			}
			b = append(append(append(append(b, name...), ": "...), v...), "\r\n"...)
		}
	}
	return b, nil
}

// validTarget refuses what would end the request target or the Host early.
func validTarget(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

// closes reports whether the request asks for the connection's end.
func (m *message) closes() bool { return m.req.Close || hasToken(m.req.Header["Connection"], "close") }

// repeatable reports whether the request may be sent again although the upstream might
// have seen it.
func (m *message) repeatable() bool {
	return m.bare && (m.req.Method == http.MethodGet || m.req.Method == http.MethodHead || m.req.Method == "")
}
