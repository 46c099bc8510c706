package http1

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// upload sends the rest of a body by a goroutine of its own, while the answer is awaited
// and read.
type upload struct {
	m     *message
	to    io.Writer
	abort func(error)   // ends the exchange, since the body failed
	last  chan struct{} // closed when only the last write is left to do
	done  chan struct{}
	err   error // when done: why not all was sent
}

// lastWrite is how long an answer that has come waits for the last write of its request,
// so that the connection can be used again.
const lastWrite = 50 * time.Millisecond

// finished reports whether everything was sent. It waits for nothing but the last write.
func (u *upload) finished() bool {
	if u == nil {
		return true
	}
	select {
	case <-u.done:
		return u.err == nil
	case <-u.last:
	default:
		return false
	}
	timer := time.NewTimer(lastWrite)
	defer timer.Stop()
	select {
	case <-u.done:
		return u.err == nil
	case <-timer.C:
		return false
	}
}

// stop ends the upload, whose connection is closed, and waits for it.
func (u *upload) stop() {
	if u != nil {
		u.m.closeBody()
		<-u.done
	}
}

func (u *upload) run() {
	defer close(u.done)
	defer u.m.closeBody()
	buf := writeBuffers.Get().(*[]byte)
	defer writeBuffers.Put(buf)
	if cap(*buf) < writeBuffer {
		*buf = make([]byte, writeBuffer)
	}
	for left, last := u.m.length, false; !last && u.err == nil; {
		var out []byte
		var err error
		if out, last, err = u.m.next((*buf)[:writeBuffer], &left); err != nil {
			u.err = &RequestError{err}
			u.abort(u.err)
			return
		}
		if last {
			close(u.last)
		}
		if len(out) > 0 {
			_, u.err = u.to.Write(out)
		}
	}
}

// chunkHead is the room before a chunk for its size: up to six digits, CR and LF.
const chunkHead = 8

// next reads a piece of the body into b and frames it; last when nothing follows.
func (m *message) next(b []byte, left *int64) (out []byte, last bool, err error) {
	room := b[chunkHead : chunkHead+maxBuffered]
	if m.length < 0 {
		n, err := m.rest.Read(room)
		if err != nil && err != io.EOF {
			return nil, false, fmt.Errorf("read the body: %w", err)
		}
		out, invalid := m.chunk(b, n, err == io.EOF)
		return out, err == io.EOF, invalid
	}
	n, err := m.rest.Read(room[:min(int64(len(room)), *left)])
	if *left -= int64(n); *left > 0 && err != nil {
		return nil, false, shortBody(err, m.length)
	}
	return room[:n], *left == 0, nil
}

// chunk frames the n bytes after chunkHead in b, and ends the body after the last.
func (m *message) chunk(b []byte, n int, last bool) ([]byte, error) {
	start, out := chunkHead, b[:chunkHead]
	if n > 0 {
		size := append(strconv.AppendInt(make([]byte, 0, chunkHead), int64(n), 16), "\r\n"...)
		start -= len(size)
		copy(b[start:], size)
		out = append(b[:chunkHead+n], "\r\n"...)
	}
	if !last {
		return out[start:], nil
	}
	out, err := appendFields(append(out, "0\r\n"...), m.req.Trailer)
	if err != nil {
		return nil, err
	}
	return append(out, "\r\n"...)[start:], nil
}

func shortBody(err error, length int64) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the body is shorter than its length, %d bytes: %w", length, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("read the body: %w", err)
}
