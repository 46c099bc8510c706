//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// loop is what stands on both sides of a proxy, the clients and the APIs, in one thread: it
// must cost less than the fastest of them. Not safe for concurrent use.
type loop struct {
	epoll int
	peers []*peer // by file descriptor
	buf   [64 << 10]byte
}

// peer is a socket of the loop.
type peer struct {
	fd       int
	listener bool
	answer   []byte // of an API's; nil for a client's
	received []byte // part of a message
	due      time.Time
}

func newLoop() (*loop, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	return &loop{epoll: fd}, nil
}

// close ends all connections.
func (l *loop) close() {
	for _, p := range l.peers {
		l.remove(p)
	}
	unix.Close(l.epoll)
}

func (l *loop) add(p *peer) error {
	for len(l.peers) <= p.fd {
		l.peers = append(l.peers, nil)
	}
	l.peers[p.fd] = p
	if !p.listener {
		if err := unix.SetsockoptInt(p.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return fmt.Errorf("set TCP_NODELAY: %w", err)
		}
	}
	event := &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(p.fd)}
	err := errors.Join(unix.SetNonblock(p.fd, true), unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, p.fd, event))
	if err != nil {
		return fmt.Errorf("watch a socket: %w", err)
	}
	return nil
}

func (l *loop) remove(p *peer) {
	if p != nil {
		unix.Close(p.fd)
		l.peers[p.fd], p.fd = nil, -1
	}
}

// listen adds an API that gives one answer, and returns its address.
func (l *loop) listen(answer []byte) (string, error) {
	fd, err := socket()
	if err != nil {
		return "", err
	}
	address := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	err = errors.Join(unix.Bind(fd, address), unix.Listen(fd, 4096), l.add(&peer{fd: fd, listener: true, answer: answer}))
	if err != nil {
		return "", fmt.Errorf("listen: %w", err)
	}
	chosen, err := unix.Getsockname(fd)
	if err != nil {
		return "", fmt.Errorf("getsockname: %w", err)
	}
	return fmt.Sprintf("127.0.0.1:%d", chosen.(*unix.SockaddrInet4).Port), nil
}

// dial adds a client.
func (l *loop) dial(address string) (*peer, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	fd, err := socket()
	if err != nil {
		return nil, err
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	p := &peer{fd: fd}
	return p, l.add(p)
}

func socket() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("socket: %w", err)
	}
	return fd, nil
}

// load is what the clients do.
type load struct {
	clients []*peer
	request []byte
	mark    []byte        // what every answer must contain
	every   time.Duration // between two requests; 0: each client sends its next one when it has its answer
	lasts   time.Duration // 0: each client sends one request
	rests   bool          // the loop sleeps where it has nothing to do, so that others can use its core
}

// atOnce bounds how many clients wait for their only answer; patience how long for any.
const (
	atOnce   = 64
	patience = 20 * time.Second
)

// run sends the load, and returns for each answer how long after it was due its request was answered.
// An answer that is not 200 with the mark, and a connection that is closed before it, is an error.
// Clients that wait for nothing may be closed: those of earlier loads are, after a while.
func (l *loop) run(t load) ([]time.Duration, error) {
	idle, waiting, taken := slices.Clone(t.clients), 0, []time.Duration(nil)
	now := time.Now()
	due, end, progress := now, now.Add(t.lasts), now
	var events [256]unix.EpollEvent
	for {
		now = time.Now()
		for len(idle) > 0 && (t.lasts == 0 && waiting < atOnce || now.Before(end) && !due.After(now)) {
			p := idle[len(idle)-1]
			idle, waiting = idle[:len(idle)-1], waiting+1
			if p.due = now; t.every > 0 {
				p.due, due = due, due.Add(t.every)
			}
			if err := write(p, t.request); err != nil {
				return taken, fmt.Errorf("send a request: %w", err)
			}
		}
		switch {
		case waiting == 0 && (t.lasts > 0 && !now.Before(end) || t.lasts == 0 && len(idle) == 0):
			return taken, nil
		case waiting == 0:
			progress = now
		case now.Sub(progress) > patience:
			return taken, fmt.Errorf("no answer in %s, %d requests wait", patience, waiting)
		}
		if t.rests && now.Before(due) {
			wait := unix.NsecToTimespec(due.Sub(now).Nanoseconds())
			_, _ = unix.Ppoll([]unix.PollFd{{Fd: int32(l.epoll), Events: unix.POLLIN}}, &wait, nil) // what it says, epoll_wait says again
		}
		// Else it never sleeps: who wakes a thread on another core pays for it, the slower proxy for each
		// request, the faster one seldom. Proxies whose peers are other machines do not.
		n, err := unix.EpollWait(l.epoll, events[:], 0)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return taken, fmt.Errorf("epoll_wait: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			p := l.peers[e.Fd]
			answered, err := l.receive(p, t.mark)
			if err != nil {
				return taken, err
			}
			if !answered {
				continue
			}
			progress = time.Now()
			taken, waiting, p.due = append(taken, progress.Sub(p.due)), waiting-1, time.Time{}
			if t.lasts > 0 {
				idle = append(idle, p)
			}
		}
	}
}

// receive reads what there is for a peer; answered says that it is a client with its whole answer.
func (l *loop) receive(p *peer, mark []byte) (answered bool, err error) {
	if p.listener {
		fd, _, err := unix.Accept4(p.fd, unix.SOCK_CLOEXEC)
		if err != nil {
			return false, fmt.Errorf("accept: %w", err)
		}
		return false, l.add(&peer{fd: fd, answer: p.answer})
	}
	n, err := unix.Read(p.fd, l.buf[:])
	if n <= 0 {
		if p.answer == nil && !p.due.IsZero() {
			return false, fmt.Errorf("a client's connection was closed (%w)", errors.Join(err, errClosed))
		}
		l.remove(p)
		return false, nil
	}
	data := l.buf[:n]
	if len(p.received) > 0 {
		p.received = append(p.received, data...)
		data = p.received
	}
	whole := bytes.HasSuffix(data, crlf2)
	if p.answer == nil {
		if whole, err = isAnswer(data, mark); err != nil {
			return false, err
		}
	}
	switch {
	case !whole && len(p.received) == 0:
		p.received = append(p.received, data...)
		fallthrough
	case !whole:
		return false, nil
	}
	p.received = p.received[:0]
	if p.answer != nil {
		return false, write(p, p.answer)
	}
	return true, nil
}

var (
	errClosed     = errors.New("end of file")
	crlf2         = []byte("\r\n\r\n")
	contentLength = []byte("content-length:")
)

// isAnswer reports whether data is a whole answer, and fails where it is another than expected.
func isAnswer(data, mark []byte) (whole bool, err error) {
	head, content, found := bytes.Cut(data, crlf2)
	if !found {
		return false, nil
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		return false, fmt.Errorf("the proxy answered %.300s", data)
	}
	length := -1
	for line := range bytes.SplitSeq(head, crlf2[:2]) {
		if n := len(contentLength); len(line) > n && bytes.EqualFold(line[:n], contentLength) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[n:]))); err != nil {
				return false, fmt.Errorf("invalid Content-Length in %.300s", data)
			}
		}
	}
	switch {
	case length < 0 || len(content) > length:
		return false, fmt.Errorf("the answer has no Content-Length, or more than that: %.300s", data)
	case len(content) == length && !bytes.Contains(content, mark):
		return false, fmt.Errorf("the answer is another than expected, it lacks %s: %.300s", mark, data)
	}
	return len(content) == length, nil
}

func write(p *peer, data []byte) error {
	if n, err := unix.Write(p.fd, data); n != len(data) {
		return fmt.Errorf("sent %d of %d bytes: %w", n, len(data), errors.Join(err, errClosed))
	}
	return nil
}
