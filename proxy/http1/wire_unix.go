//go:build unix

package http1

import (
	"os"
	"syscall"
)

// readNow reads what has arrived; os.ErrDeadlineExceeded when nothing has.
func (w *wire) readNow(p []byte) (int, error) {
	w.look.into = p
	if w.look.read == nil {
		w.look.read = w.look.try // kept, so that looking allocates nothing
	}
	err := w.raw.Read(w.look.read)
	switch n := w.look.n; {
	case err != nil:
		return 0, err
	case w.look.err == syscall.EAGAIN:
		return 0, os.ErrDeadlineExceeded
	case w.look.err != nil:
		return 0, w.look.err
	case n == 0:
		return 0, errClosed
	default:
		return n, nil
	}
}

// look is a read that does not wait.
type look struct {
	read func(fd uintptr) bool
	into []byte
	n    int
	err  error
}

func (l *look) try(fd uintptr) bool {
	l.n, l.err = syscall.Read(int(fd), l.into)
	for l.err == syscall.EINTR {
		l.n, l.err = syscall.Read(int(fd), l.into)
	}
	return true
}
