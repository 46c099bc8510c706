package upstream

import (
	"io"
	"sync"
)

// maxReplay is what is kept of a body for another address: what http1 reads before it has
// a connection.
const maxReplay = 32<<10 + 1

// replay is a request's body that can be read again from its begin, as long as little of it
// was read.
type replay struct {
	body io.ReadCloser

	mu      sync.Mutex
	kept    []byte
	at      int
	lost    bool // more was read than is kept
	reading bool
	closed  bool // by a transport, while there may be another attempt
	settled bool // there is none any more
}

// Read implements io.Reader.
func (r *replay) Read(p []byte) (int, error) {
	r.mu.Lock()
	if r.at < len(r.kept) {
		defer r.mu.Unlock()
		n := copy(p, r.kept[r.at:])
		r.at += n
		return n, nil
	}
	r.reading = true
	r.mu.Unlock()
	n, err := r.body.Read(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reading = false
	if r.lost = r.lost || r.settled || len(r.kept)+n > maxReplay; r.lost {
		r.kept, r.at = nil, 0
		return n, err
	}
	r.kept = append(r.kept, p[:n]...)
	r.at = len(r.kept)
	return n, err
}

// Close implements io.Closer. Between two attempts it waits for the second; a Read is ended
// at once.
func (r *replay) Close() error {
	r.mu.Lock()
	r.closed = true
	now := r.settled || r.reading
	r.mu.Unlock()
	if now {
		return r.body.Close()
	}
	return nil
}

// rewind goes back to the begin for another attempt; false where that cannot be.
func (r *replay) rewind() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at, r.closed = 0, false
	return !r.lost
}

// settle says that there will be no further attempt.
func (r *replay) settle(failed bool) {
	r.mu.Lock()
	r.settled = true
	now := failed || r.closed
	r.mu.Unlock()
	if now {
		_ = r.body.Close()
	}
}
