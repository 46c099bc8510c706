package http1

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	readBuffer  = 8 << 10
	writeBuffer = maxBuffered + 4<<10
)

var (
	errClosed = errors.New("closed by the upstream")

	readBuffers  = sync.Pool{New: func() any { return (*[readBuffer]byte)(make([]byte, readBuffer)) }}
	writeBuffers = sync.Pool{New: func() any { return &[]byte{} }}
)

// wire is a network connection that counts what is sent, and can be looked at without
// waiting.
type wire struct {
	net.Conn
	raw  syscall.RawConn // nil: the connection has no file descriptor
	now  bool            // Read must not wait
	look look
	sent atomic.Int64
}

// Read implements io.Reader.
func (w *wire) Read(p []byte) (int, error) {
	if w.now {
		return w.readNow(p)
	}
	return w.Conn.Read(p)
}

// Write implements io.Writer.
func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.sent.Add(int64(n))
	return n, err
}

// conn is a connection to an upstream. One exchange at a time has it, or the pool.
type conn struct {
	wire   *wire
	net    net.Conn // the wire, or TLS on it
	tls    *tls.ConnectionState
	in     reader
	one    [1]byte   // read by live
	reused bool      // an exchange has ended on it
	until  time.Time // when it is too old for another one
}

// live looks whether an idle connection is still open, and silent as it must be. With TLS,
// it takes in session tickets that have arrived.
func (c *conn) live() bool {
	if c.wire.raw == nil {
		return true
	}
	c.wire.now = true
	_, err := c.net.Read(c.one[:])
	c.wire.now = false
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// reader buffers what a connection sends. Its buffer is there for an exchange only.
type reader struct {
	src    io.Reader
	pooled *[readBuffer]byte
	buf    []byte
	r, w   int
	seen   bool // something has arrived in this exchange
}

func (b *reader) begin() {
	b.pooled = readBuffers.Get().(*[readBuffer]byte)
	b.buf, b.r, b.w, b.seen = b.pooled[:], 0, 0, false
}

func (b *reader) end() {
	if b.pooled != nil {
		readBuffers.Put(b.pooled)
	}
	b.pooled, b.buf = nil, nil
}

func (b *reader) buffered() int { return b.w - b.r }

// begins reports whether what is buffered begins with p.
func (b *reader) begins(p []byte) bool { return bytes.HasPrefix(b.buf[b.r:b.w], p) }

// fill reads more into the buffer, which may grow to limit bytes.
func (b *reader) fill(limit int) error {
	if b.r > 0 {
		b.w = copy(b.buf, b.buf[b.r:b.w])
		b.r = 0
	}
	if b.w >= limit {
		return malformed("a line, a head or a trailer section is too long")
	}
	if b.w == len(b.buf) {
		b.buf = append(b.buf, make([]byte, len(b.buf))...)
	}
	n, err := b.src.Read(b.buf[b.w:])
	b.w += n
	b.seen = b.seen || n > 0
	if n > 0 {
		return nil
	}
	return err
}

// Read implements io.Reader; large reads go past the buffer.
func (b *reader) Read(p []byte) (int, error) {
	if b.r == b.w {
		if len(p) >= len(b.buf) {
			return b.src.Read(p)
		}
		if err := b.fill(len(b.buf) + 1); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.buf[b.r:b.w])
	b.r += n
	return n, nil
}

// line takes a line of at most limit bytes, its end included.
func (b *reader) line(limit int) ([]byte, error) {
	for {
		if i := bytes.IndexByte(b.buf[b.r:b.w], '\n'); i >= 0 && i < limit {
			line := b.buf[b.r : b.r+i+1]
			b.r += i + 1
			return line, nil
		}
		if err := b.fill(limit); err != nil {
			return nil, err
		}
	}
}

// block takes lines up to the first empty one, that included: at most limit bytes.
func (b *reader) block(limit int) ([]byte, error) {
	start, seen := 0, 0 // from b.r: of the line that is looked at; how far it was
	for {
		have := b.buf[b.r:b.w]
		for {
			i := bytes.IndexByte(have[seen:], '\n')
			if i < 0 || seen+i >= limit {
				break
			}
			line := have[start : seen+i]
			seen += i + 1
			start = seen
			if len(line) == 0 || len(line) == 1 && line[0] == '\r' {
				b.r += start
				return have[:start], nil
			}
		}
		seen = len(have)
		if err := b.fill(limit); err != nil {
			return nil, err
		}
	}
}
