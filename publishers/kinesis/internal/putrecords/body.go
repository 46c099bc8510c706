package putrecords

import (
	"errors"
	"io"
	"sync"
)

// body is a request's body on its way. Its bytes belong to a writer that will be
// used for another request once this one is over; see the package comment.
//
// It must not have a method WriteTo: the SDK closes a body when the answer is
// there, and from a closed one with that method net/http's write loop, which may
// just be looking whether the body has more than it should, gets io.EOF as an
// error and closes the connection, under whoever reads the answer.
type body struct {
	mu   sync.Mutex
	data []byte // nil after release
	at   int
	over bool
}

var errReleased = errors.New("the request is over")

func newBody(data []byte) *body { return &body{data: data} }

// release makes everything that still reads fail, and returns when nothing does.
func (b *body) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data, b.over = nil, true
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.over:
		return 0, errReleased
	case b.at == len(b.data):
		return 0, io.EOF
	}
	n := copy(p, b.data[b.at:])
	b.at += n
	return n, nil
}

// Seek implements io.Seeker, for retries.
func (b *body) Seek(offset int64, whence int) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += int64(b.at)
	case io.SeekEnd:
		offset += int64(len(b.data))
	}
	switch {
	case b.over:
		return 0, errReleased
	case offset < 0 || offset > int64(len(b.data)):
		return 0, errors.New("a position outside the request")
	}
	b.at = int(offset)
	return offset, nil
}

// Len is how much is left, which is where the SDK takes the length from.
func (b *body) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.data) - b.at
}
