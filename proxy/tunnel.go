package proxy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/proxy/observation"
)

// tunnel passes the bytes of a web socket both ways until one side has nothing more, or
// neither moves for the route's idle time.
func (x *exchange) tunnel(answer *http.Response, dog *watchdog, s *side) *failure {
	upstream, ok := answer.Body.(io.ReadWriteCloser)
	if !ok || !x.upgrade {
		return &failure{observation.UpstreamMalformed, errors.New("it changed the protocol, and nobody had asked for that")}
	}
	h := x.w.Header()
	for name, values := range answer.Header {
		if !isHopByHop(name) {
			h[name] = values
		}
	}
	h["Connection"], h["Upgrade"] = []string{"Upgrade"}, answer.Header["Upgrade"]
	if _, given := h["Date"]; !given {
		h["Date"] = nil
	}
	x.sent = answer.StatusCode
	x.w.WriteHeader(answer.StatusCode)
	client, buffered, err := x.control.Hijack()
	if err != nil {
		return &failure{observation.ClientGone, err}
	}
	defer client.Close()
	_ = client.SetDeadline(time.Time{})
	defer x.proxy.tunnels.add(client)()
	dog.rest()
	t := tunnel{idle: s.timeouts.Idle, ends: func() { _ = client.Close(); _ = upstream.Close() }}
	t.timer = time.AfterFunc(t.idle, t.ends)
	defer t.timer.Stop()
	var wg sync.WaitGroup
	wg.Go(func() { s.attempt.BytesIn = t.pass(upstream, buffered.Reader) })
	wg.Go(func() { s.attempt.BytesOut = t.pass(client, upstream) })
	wg.Wait()
	return nil
}

// tunnel is two directions with one idle time.
type tunnel struct {
	idle  time.Duration
	timer *time.Timer
	ends  func()
}

// pass copies one direction. Its end is passed on as such, so that what is under way in the
// other one arrives.
func (t *tunnel) pass(to io.Writer, from io.Reader) (total int64) {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	for {
		n, err := from.Read(*buffer)
		if n > 0 {
			t.timer.Reset(t.idle)
			if _, werr := to.Write((*buffer)[:n]); werr != nil {
				t.ends()
				return total
			}
			total += int64(n)
		}
		if err == nil {
			continue
		}
		if half, ok := to.(interface{ CloseWrite() error }); !ok || !errors.Is(err, io.EOF) || half.CloseWrite() != nil {
			t.ends()
		}
		return total
	}
}

// tunnels are the connections that the server has given up to tunnels: it does not wait for
// them, nor end them.
type tunnels struct {
	mu    sync.Mutex
	open  map[net.Conn]struct{}
	count sync.WaitGroup
}

// add keeps a connection until the function it returns is called.
func (t *tunnels) add(c net.Conn) func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = map[net.Conn]struct{}{}
	}
	t.open[c] = struct{}{}
	t.count.Add(1)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.open, c)
		t.count.Done()
	}
}

// close ends all of them, and waits until they have ended.
func (t *tunnels) close() {
	t.mu.Lock()
	for c := range t.open {
		_ = c.Close()
	}
	t.mu.Unlock()
	t.count.Wait()
}

// wait returns when all have ended by themselves.
func (t *tunnels) wait() { t.count.Wait() }
