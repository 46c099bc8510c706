package serving

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// dialTimeout bounds the check whether a server listens on a socket.
const dialTimeout = time.Second

// ListenUnix is Listen on a unix socket at path, which gets mode before anybody can
// connect. A socket that a killed process left behind is replaced; one on which a
// program listens, and a file of another kind, are not. The socket is removed at the
// end.
//
// Paths are short: 85 bytes work everywhere.
func ListenUnix(flag, path string, mode fs.FileMode, handler http.Handler) (*Server, error) {
	if err := checkVacant(path); err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w; remove it or choose another with %s", path, err, flag)
	}
	listener, err := bind(path, mode)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s, see %s: %w", path, flag, err)
	}
	return newServer(listener, handler), nil
}

// checkVacant returns why path cannot be used, nil if it can.
func checkVacant(path string) error {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("there is something else than a socket")
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
		return errors.New("another program listens there")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("is it in use? %w", err)
	}
	return nil
}

// longestName is how long the name of a socket may be on every system (macOS has
// 104 bytes with the end, Linux 108).
const longestName = 103

// bind makes the socket in a folder that only we can enter, and moves it to its
// place with its mode: between bind and chmod it would be open to others.
func bind(path string, mode fs.FileMode) (net.Listener, error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	hidden := filepath.Join(dir, "s")
	if len(hidden) > longestName {
		return nil, fmt.Errorf("the path is %d bytes too long for a socket", len(hidden)-longestName)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: hidden, Net: "unix"})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false) // it would remove the hidden name
	s := &socket{UnixListener: listener, path: path}
	if err = os.Chmod(hidden, mode.Perm()); err == nil {
		s.info, err = os.Lstat(hidden)
	}
	if err == nil {
		err = os.Rename(hidden, path)
	}
	if err != nil {
		_ = listener.Close()
		return nil, err
	}
	return s, nil
}

// socket is a listener that removes its file.
type socket struct {
	*net.UnixListener
	path string
	info fs.FileInfo
}

// Addr is where it is, which the listener itself does not know.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

// Close leaves a socket alone that another process has put in its place.
func (s *socket) Close() error {
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.info) {
		_ = os.Remove(s.path)
	}
	return s.UnixListener.Close()
}
