package http1

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"
)

// pool has the connections to one address.
type pool struct {
	t       *Transport
	address string              // host and port
	tls     *tls.Config         // nil: none
	slots   *semaphore.Weighted // one for each exchange; nil: no limit

	mu    sync.Mutex
	idle  []*conn // the last one is used first, so that those too many grow old
	timer *time.Timer
}

func (t *Transport) newPool(scheme, host string) *pool {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.Trim(host, "[]"), map[string]string{"http": "80", "https": "443"}[scheme]
	}
	p := &pool{t: t, address: net.JoinHostPort(name, port)}
	if t.MaxConns > 0 {
		p.slots = semaphore.NewWeighted(int64(t.MaxConns))
	}
	if scheme == "https" {
		p.tls = t.TLS.Clone()
		if p.tls == nil {
			p.tls = &tls.Config{}
		}
		if p.tls.ServerName == "" {
			p.tls.ServerName = name
		}
		if p.tls.ClientSessionCache == nil {
			p.tls.ClientSessionCache = tls.NewLRUClientSessionCache(0)
		}
		p.tls.NextProtos = []string{"http/1.1"}
	}
	return p
}

// take returns an idle connection that can be used, or nil.
func (p *pool) take() *conn {
	for {
		c := p.pop()
		if c == nil || time.Now().Before(c.until) && c.live() {
			return c
		}
		c.net.Close()
	}
}

func (p *pool) pop() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	c := p.idle[last]
	p.idle[last], p.idle = nil, p.idle[:last]
	return c
}

// put keeps a connection for the next exchange, or closes it.
func (p *pool) put(c *conn, rest time.Duration) {
	p.mu.Lock()
	keep := rest > 0 && !p.t.closed.Load() && len(p.idle) < p.t.maxIdle()
	if keep {
		c.reused, c.until = true, time.Now().Add(rest)
		p.idle = append(p.idle, c)
		if len(p.idle) == 1 {
			p.armLocked(rest)
		}
	}
	p.mu.Unlock()
	if !keep {
		c.net.Close()
	}
}

func (p *pool) armLocked(d time.Duration) {
	if p.timer == nil {
		p.timer = time.AfterFunc(d, p.evict)
		return
	}
	p.timer.Reset(d)
}

// evict closes the connections that have rested long enough.
func (p *pool) evict() {
	now := time.Now()
	var next time.Time
	p.closeIdle(func(c *conn) bool {
		old := !now.Before(c.until)
		if !old && (next.IsZero() || c.until.Before(next)) {
			next = c.until
		}
		return old
	}, func() {
		if !next.IsZero() {
			p.armLocked(next.Sub(now))
		}
	})
}

// closeIdle closes the idle connections that match; then runs with the lock held before.
func (p *pool) closeIdle(match func(*conn) bool, then func()) {
	var closing []*conn
	p.mu.Lock()
	kept := p.idle[:0]
	for _, c := range p.idle {
		if match(c) {
			closing = append(closing, c)
		} else {
			kept = append(kept, c)
		}
	}
	clear(p.idle[len(kept):])
	p.idle = kept
	then()
	p.mu.Unlock()
	for _, c := range closing {
		c.net.Close()
	}
}

// dial opens a connection within ConnectTimeout.
func (p *pool) dial(ctx context.Context) (*conn, error) {
	within, cancel := context.WithTimeoutCause(ctx, p.t.connectTimeout(), errConnectTimeout)
	defer cancel()
	c, err := p.connect(within)
	if err == nil {
		return c, nil
	}
	if within.Err() != nil {
		err = fmt.Errorf("%w (%w)", context.Cause(within), err)
	}
	return nil, &ConnectError{p.address, err}
}

func (p *pool) connect(ctx context.Context) (*conn, error) {
	dial := p.t.DialContext
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	nc, err := dial(ctx, "tcp", p.address)
	if err != nil {
		return nil, err
	}
	c := &conn{wire: &wire{Conn: nc}}
	c.net = c.wire
	if sc, ok := nc.(syscall.Conn); ok {
		c.wire.raw, _ = sc.SyscallConn()
	}
	if p.tls != nil {
		secure := tls.Client(c.wire, p.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			nc.Close()
			return nil, fmt.Errorf("TLS: %w", err)
		}
		state := secure.ConnectionState()
		c.net, c.tls = secure, &state
	}
	c.in.src = c.net
	return c, nil
}

// rest is how long a connection may be idle after an answer: less than the upstream says.
func (t *Transport) rest(keepAlive []string) time.Duration {
	d := t.idleTimeout()
	for _, list := range keepAlive {
		for one := range strings.SplitSeq(list, ",") {
			name, value, _ := strings.Cut(strings.Trim(one, " \t"), "=")
			if n, err := strconv.Atoi(value); err == nil && n >= 0 && strings.EqualFold(name, "timeout") {
				d = min(d, time.Duration(n-1)*time.Second)
			}
		}
	}
	return d
}
