package environment

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeRead is how much of a process's output is read at once.
const pipeRead = 32 << 10

// logPipe carries a process's output to a sink. Unlike the copying that
// os/exec does, it can be told to catch up: what the process wrote before it
// answered an invocation is in the log before that invocation's END line.
type logPipe struct {
	read, write *os.File
	sink        func([]byte)
	syncs       chan chan struct{}
	done        chan struct{}
	closeOnce   sync.Once
}

func newLogPipe(sink func([]byte)) (*logPipe, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return &logPipe{read: r, write: w, sink: sink, syncs: make(chan chan struct{}), done: make(chan struct{})}, nil
}

// run copies until every writer has closed the pipe or close was called.
func (p *logPipe) run() {
	defer close(p.done)
	buf := make([]byte, pipeRead)
	for {
		n, err := p.read.Read(buf)
		if n > 0 {
			p.sink(buf[:n])
		}
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			p.catchUp(buf)
		default:
			return
		}
	}
}

// catchUp drains what is in the pipe without waiting, then answers the sync
// that interrupted the reader.
func (p *logPipe) catchUp(buf []byte) {
	_ = p.read.SetReadDeadline(time.Time{})
	p.drain(buf)
	select {
	case ack := <-p.syncs:
		close(ack)
	case <-time.After(time.Second): // the one who asked gave up
	}
}

func (p *logPipe) drain(buf []byte) {
	conn, err := p.read.SyscallConn()
	if err != nil {
		return
	}
	for {
		n := 0
		_ = conn.Read(func(fd uintptr) bool {
			n, _ = syscall.Read(int(fd), buf)
			return true
		})
		if n <= 0 {
			return
		}
		p.sink(buf[:n])
	}
}

// sync returns when all that was written before it has reached the sink, or
// after a second. Only one goroutine may call it at a time.
func (p *logPipe) sync() {
	ack := make(chan struct{})
	_ = p.read.SetReadDeadline(time.Unix(1, 0))
	select {
	case p.syncs <- ack:
		<-ack
	case <-p.done:
	case <-time.After(time.Second):
	}
}

// started closes the sandbox's copy of the end the process writes to.
func (p *logPipe) started() { _ = p.write.Close() }

// close ends the copying after at most grace, which is for descendants that
// hold the pipe open after the process is gone.
func (p *logPipe) close(grace time.Duration) {
	p.closeOnce.Do(func() {
		select {
		case <-p.done:
		case <-time.After(grace):
			_ = p.read.Close()
			<-p.done
		}
		_ = p.read.Close()
	})
}

var _ io.Writer = (*tail)(nil)

// tail keeps the last bytes of an invocation's log, which the caller may ask
// for with LogType Tail.
type tail struct {
	limit int
	kept  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - t.limit; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

func (t *tail) reset() { t.kept = t.kept[:0] }

func (t *tail) bytes() []byte { return append([]byte(nil), t.kept...) }
