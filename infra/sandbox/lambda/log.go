package lambda

import (
	"bytes"
	"io"
	"sync"
)

// functionLog keeps the end of a function's output, and passes whole lines on.
type functionLog struct {
	name  string
	limit int
	out   *lineWriter // nil: nobody listens

	mu      sync.Mutex
	kept    []byte
	partial []byte
}

// lineWriter lets many logs write to one writer, a line at a time.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lineWriter) write(line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.w.Write(line)
}

// maxLine is where a line without an end is passed on nevertheless.
const maxLine = 64 << 10

func (l *functionLog) append(p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = append(l.kept, p...)
	if len(l.kept) > 2*l.limit { // not at every line
		l.kept = append(l.kept[:0], l.kept[len(l.kept)-l.limit:]...)
	}
	if l.out == nil {
		return
	}
	l.partial = append(l.partial, p...)
	for {
		end := bytes.IndexByte(l.partial, '\n')
		if end < 0 && len(l.partial) < maxLine {
			return
		}
		if end < 0 {
			end = len(l.partial) - 1
		}
		l.pass(l.partial[:end+1])
		l.partial = append(l.partial[:0], l.partial[end+1:]...)
	}
}

func (l *functionLog) pass(line []byte) {
	if len(bytes.TrimSpace(line)) == 0 {
		return
	}
	named := append([]byte(l.name+": "), line...)
	if !bytes.HasSuffix(named, []byte("\n")) {
		named = append(named, '\n')
	}
	l.out.write(named)
}

func (l *functionLog) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.kept[max(0, len(l.kept)-l.limit):])
}
