package client

import (
	"fmt"
	"sync"
	"time"
)

// breaker stops sending after failures in a row, then lets one request through to
// find out whether the service is back.
type breaker struct {
	after int
	span  time.Duration

	mu       sync.Mutex
	failures int
	opened   time.Time
	probing  bool
}

// pass must be settled by exactly one of its methods.
type pass struct {
	b     *breaker
	probe bool
}

// enter returns ErrUnavailable while the breaker is open.
func (b *breaker) enter(now time.Time) (pass, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < b.after {
		return pass{b: b}, nil
	}
	if b.probing || now.Sub(b.opened) < b.span {
		return pass{}, fmt.Errorf("%w: %d requests in a row have failed", ErrUnavailable, b.failures)
	}
	b.probing = true
	return pass{b: b, probe: true}, nil
}

func (p pass) succeeded() { p.settle(func() { p.b.failures = 0 }) }

func (p pass) failed(now time.Time) {
	p.settle(func() {
		p.b.failures++
		p.b.opened = now
	})
}

// unknown leaves the count as it is.
func (p pass) unknown() { p.settle(func() {}) }

func (p pass) settle(count func()) {
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	if p.probe {
		p.b.probing = false
	}
	count()
}
