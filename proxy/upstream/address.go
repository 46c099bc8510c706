package upstream

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// address is one instance of an upstream.
type address struct {
	host    string
	breaker *gobreaker.TwoStepCircuitBreaker[any] // nil: none
	pending atomic.Int64                          // requests that wait for an answer
	picked  atomic.Uint64                         // when it got its last request, in picks
	sick    atomic.Bool                           // by the health check
	misses  int                                   // of the health check, in a row
}

// inconclusive is an outcome that says nothing about the address.
type inconclusive struct{ error }

func newAddress(host string, cfg Config, log *slog.Logger) *address {
	a := &address{host: host}
	if after := cfg.breakAfter(); after > 0 {
		a.breaker = gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
			Timeout:     cfg.breakFor(),
			ReadyToTrip: func(c gobreaker.Counts) bool { return int(c.ConsecutiveFailures) >= after },
			IsExcluded:  func(err error) bool { _, is := err.(inconclusive); return is },
			OnStateChange: func(_ string, _, to gobreaker.State) {
				log.Warn("an upstream's circuit breaker changed", "upstream", cfg.Name, "address", host, "state", to.String())
			},
		})
	}
	return a
}

// before reports whether a request should rather go to a.
func (a *address) before(b *address) bool {
	if mine, others := a.pending.Load(), b.pending.Load(); mine != others {
		return mine < others
	}
	return a.picked.Load() < b.picked.Load()
}

// allow asks the breaker for a request. The function it returns ends it; nil: not now.
func (a *address) allow() func(error) {
	report := func(error) {}
	if a.breaker != nil {
		var err error
		if report, err = a.breaker.Allow(); err != nil {
			return nil
		}
	}
	a.pending.Add(1)
	return func(verdict error) {
		a.pending.Add(-1)
		report(verdict)
	}
}

// Status is what is known of an address.
type Status struct {
	Address string `json:"address"`
	// Breaker is closed, half-open or open; empty where there is none.
	Breaker string `json:"breaker,omitempty"`
	// Healthy is false after a health check that failed.
	Healthy bool `json:"healthy"`
	// Pending is how many requests wait for an answer.
	Pending int64 `json:"pending"`
}

// Status lists the addresses.
func (u *Upstream) Status() []Status {
	var all []Status
	for _, a := range u.addresses {
		s := Status{Address: a.host, Healthy: !a.sick.Load(), Pending: a.pending.Load()}
		if a.breaker != nil {
			s.Breaker = a.breaker.State().String()
		}
		all = append(all, s)
	}
	return all
}

// How many health checks in a row must fail, and how long one may take.
const (
	sickAfter   = 2
	checkWithin = 2 * time.Second
)

// checkHealth asks all addresses until ctx ends.
func (u *Upstream) checkHealth(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(u.cfg.healthEvery())
	defer tick.Stop()
	for ctx.Err() == nil {
		var wg sync.WaitGroup
		for _, a := range u.addresses {
			wg.Go(func() { u.check(ctx, a, log) })
		}
		wg.Wait()
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (u *Upstream) check(ctx context.Context, a *address, log *slog.Logger) {
	within, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	err := u.probe(within, a)
	if ctx.Err() != nil {
		return
	}
	if a.misses++; err == nil {
		a.misses = 0
	}
	if sick := a.misses >= sickAfter; a.sick.Swap(sick) != sick {
		log.Warn("an upstream's health changed", "upstream", u.cfg.Name, "address", a.host, "healthy", !sick, "error", err)
	}
}

func (u *Upstream) probe(ctx context.Context, a *address) error {
	r := (&http.Request{
		Method: http.MethodGet, Host: u.cfg.URL.Host, Header: http.Header{"User-Agent": {"banyan-proxy health check"}},
		URL: &url.URL{Scheme: u.cfg.URL.Scheme, Host: a.host, Opaque: u.cfg.Health},
	}).WithContext(ctx)
	resp, err := u.transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	if resp.StatusCode >= 400 {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}
