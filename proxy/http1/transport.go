package http1

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Transport is an http.RoundTripper for HTTP/1.1 upstreams, http and https. The zero value
// works. It is safe for concurrent use; its fields must not change after the first use.
type Transport struct {
	// DialContext opens connections. Default: a net.Dialer's.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS configures https. Default: the system's roots, the URL's host as the server's
	// name. ALPN is always http/1.1.
	TLS *tls.Config
	// ConnectTimeout bounds name, TCP and TLS. Default 2 s.
	ConnectTimeout time.Duration
	// IdleTimeout is how long a connection may rest between two requests; less where the
	// answer's "Keep-Alive: timeout=N" minus one second is less. It must be below the
	// upstream's. Default 4 s, since Node.js closes after 5.
	IdleTimeout time.Duration
	// MaxIdle is how many connections an address keeps without a request. Default 256;
	// negative: none.
	MaxIdle int
	// MaxConns is how many requests, and so connections, an address has at once; others
	// wait until their context ends. Default 0: no limit.
	MaxConns int
	// MaxHead is the most bytes of an answer's head, 1xx answers included, and of its
	// trailers. Default 64 KiB.
	MaxHead int

	closed atomic.Bool
	mu     sync.RWMutex
	pools  map[poolKey]*pool
}

type poolKey struct{ scheme, host string }

var errConnectTimeout = fmt.Errorf("connect timeout: %w", context.DeadlineExceeded)

func (t *Transport) connectTimeout() time.Duration { return cmp.Or(t.ConnectTimeout, 2*time.Second) }
func (t *Transport) idleTimeout() time.Duration    { return cmp.Or(t.IdleTimeout, 4*time.Second) }
func (t *Transport) maxIdle() int                  { return cmp.Or(t.MaxIdle, 256) }
func (t *Transport) maxHead() int                  { return cmp.Or(t.MaxHead, 64<<10) }

// CloseIdleConnections closes the connections without a request. Those in use are kept,
// for IdleTimeout at most, when their exchange ends.
func (t *Transport) CloseIdleConnections() {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, p := range t.pools {
		p.closeIdle(func(*conn) bool { return true }, func() {})
	}
}

// Close closes the connections without a request now, and the others when their exchange
// ends. Requests are still sent, each on a connection of its own.
func (t *Transport) Close() {
	t.closed.Store(true)
	t.CloseIdleConnections()
}

func (t *Transport) pool(req *http.Request) (*pool, error) {
	key := poolKey{req.URL.Scheme, req.URL.Host}
	t.mu.RLock()
	p := t.pools[key]
	t.mu.RUnlock()
	if p != nil {
		return p, nil
	}
	if key.scheme != "http" && key.scheme != "https" || key.host == "" {
		return nil, fmt.Errorf("URL needs the scheme http or https, and a host, not %q and %q", key.scheme, key.host)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p = t.pools[key]; p == nil {
		if t.pools == nil {
			t.pools = map[poolKey]*pool{}
		}
		p = t.newPool(key.scheme, key.host)
		t.pools[key] = p
	}
	return p, nil
}

// RoundTrip implements http.RoundTripper. The answer's Body must be closed. For a 101 that
// the request asked for by Upgrade, Body is an io.ReadWriteCloser, with CloseWrite where the
// connection has it. Errors are ConnectError, MalformedError, CutError or RequestError, or
// wrap context.Cause; ErrUnsent is in the chain of those where the request may be sent again.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	m := &message{req: req, buf: writeBuffers.Get().(*[]byte)}
	defer m.free()
	resp, err := t.roundTrip(m)
	if err != nil {
		m.closeBody()
	}
	return resp, err
}

func (t *Transport) roundTrip(m *message) (*http.Response, error) {
	ctx := m.req.Context()
	if ctx.Err() != nil {
		return nil, unsent(context.Cause(ctx))
	}
	p, err := t.pool(m.req)
	if err != nil {
		return nil, unsent(&RequestError{err})
	}
	if err := m.prepare(); err != nil {
		return nil, unsent(&RequestError{err})
	}
	if p.slots != nil {
		if p.slots.Acquire(ctx, 1) != nil {
			return nil, unsent(fmt.Errorf("wait for one of the %d connections to %s: %w", t.MaxConns, p.address, context.Cause(ctx)))
		}
	}
	var failed error // of the first attempt, where the request may have arrived
	for c := p.take(); ; c = nil {
		if c == nil {
			if c, err = p.dial(ctx); err != nil {
				p.release()
				return nil, cmp.Or(failed, err)
			}
		}
		x := p.begin(ctx, c, m)
		resp, err := x.roundTrip()
		if err == nil {
			return resp, nil
		}
		again := c.reused && x.repeatable(err)
		x.finish(again)
		if !again {
			return nil, err
		}
		if !x.unsent {
			failed = err
		}
	}
}

func (p *pool) release() {
	if p.slots != nil {
		p.slots.Release(1)
	}
}
