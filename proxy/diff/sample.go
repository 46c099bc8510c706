package diff

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// MaxSampleBody is how many bytes of a body a Sample keeps.
const MaxSampleBody = 8 << 10

// A Sample is one comparison with differences, without secrets.
type Sample struct {
	At          time.Time    `json:"at"`
	Route       string       `json:"route"`
	Method      string       `json:"method"`
	Target      string       `json:"target"`
	Version     string       `json:"version,omitempty"` // of the client
	Differences []Difference `json:"differences"`
	Primary     Side         `json:"primary"`
	Shadow      Side         `json:"shadow"`
}

// A Side is one answer in a Sample.
type Side struct {
	Name   string            `json:"name"` // legacy, or the upstream
	Status int               `json:"status"`
	Header map[string]string `json:"header,omitempty"` // those that are compared
	Body   any               `json:"body,omitempty"`   // JSON, or a text where it is none or cut
	Capped bool              `json:"capped,omitempty"`
}

// Side is an answer without secrets, for a Sample. A nil r stands for the empty Spec's.
func (r *Rules) Side(name string, a Answer) Side {
	r = r.orDefault()
	out := Side{Name: name, Status: a.Status, Capped: a.Capped, Header: map[string]string{}}
	if len(a.Body) > 0 {
		out.Body = r.secrets.Body(a, MaxSampleBody)
	}
	for _, h := range r.headers {
		if v := headerText(a.Header, h); v != "" {
			out.Header[h] = r.secrets.header(h, v)
		}
	}
	return out
}

// WriteSample writes a sample as one line of JSON, in one Write: w may be a File, or
// send each line to a bucket or a bus.
func WriteSample(w io.Writer, s Sample) error {
	line, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode a sample of route %s: %w", s.Route, err)
	}
	if _, err := w.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("keep a sample of route %s: %w", s.Route, err)
	}
	return nil
}

// A File is a file of lines of bounded size: when it has half of its bytes it becomes
// path.1, in the place of the one before, and a new one is begun. Safe for concurrent
// use; one process at a time.
type File struct {
	path string
	half int64

	mu   sync.Mutex
	file *os.File
	size int64
}

// OpenFile opens the file or makes it; it and path.1 have at most maxBytes together.
func OpenFile(path string, maxBytes int64) (*File, error) {
	f := &File{path: path, half: maxBytes / 2}
	if err := f.open(); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *File) open() error {
	file, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the samples: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return fmt.Errorf("open the samples: %w", err)
	}
	f.file, f.size = file, info.Size()
	return nil
}

// endLine ends a line that a crash or a full disk cut, so that it does not spoil the
// next one.
func (f *File) endLine() error {
	last := []byte{'\n'}
	if f.size > 0 {
		if _, err := f.file.ReadAt(last, f.size-1); err != nil {
			return fmt.Errorf("read the samples' last byte: %w", err)
		}
	}
	if last[0] == '\n' {
		return nil
	}
	n, err := f.file.Write([]byte{'\n'})
	f.size += int64(n)
	return err
}

// Write appends a line. One that is longer than half of the file's bytes is an error.
func (f *File) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return 0, os.ErrClosed
	}
	if int64(len(line)) > f.half {
		return 0, fmt.Errorf("a line of %d bytes is more than half of what %s may have (%d)", len(line), f.path, f.half)
	}
	if f.size+int64(len(line)) > f.half {
		if err := f.rotate(); err != nil {
			return 0, err
		}
	}
	if err := f.endLine(); err != nil {
		return 0, err
	}
	n, err := f.file.Write(line)
	f.size += int64(n)
	return n, err
}

func (f *File) rotate() error {
	if err := os.Rename(f.path, f.path+".1"); err != nil {
		return fmt.Errorf("rotate the samples: %w", err)
	}
	old := f.file
	if err := f.open(); err != nil {
		return err
	}
	return old.Close()
}

// Close closes the file; writes fail from then on.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return nil
	}
	file := f.file
	f.file = nil
	return file.Close()
}
