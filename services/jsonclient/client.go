package jsonclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// Config configures New. BaseURL is required.
type Config struct {
	// BaseURL of the service, such as "http://127.0.0.1:8081", or those of several of its
	// instances, with commas in between: an attempt that fails is followed by one at the next.
	BaseURL string
	// HTTP sends the requests. Default: a client that keeps 64 idle connections. Its
	// Timeout should be zero: contexts bound each attempt.
	HTTP *http.Client
	// Timeout bounds a call whose context has no deadline. Default 10 s.
	Timeout time.Duration
	// AttemptTimeout bounds one request; it should exceed the longest write hold
	// of a switch. Default 3 s.
	AttemptTimeout time.Duration
	// Backoff is the longest pause before the second attempt; it doubles up to
	// MaxBackoff, and the actual pause is random between half and all of it.
	// Defaults 20 ms and 500 ms.
	Backoff, MaxBackoff time.Duration
	// BreakAfter is how many failures in a row open the circuit breaker, for
	// BreakFor. Defaults 20 and 500 ms.
	BreakAfter int
	BreakFor   time.Duration
	// MaxBody is the most bytes of a response that are read. Default 4 MiB.
	MaxBody int64
}

func (c Config) withDefaults() Config {
	c.Timeout = cmp.Or(max(c.Timeout, 0), 10*time.Second)
	c.AttemptTimeout = cmp.Or(max(c.AttemptTimeout, 0), 3*time.Second)
	c.Backoff = cmp.Or(max(c.Backoff, 0), 20*time.Millisecond)
	c.MaxBackoff = cmp.Or(max(c.MaxBackoff, 0), 500*time.Millisecond)
	c.BreakFor = cmp.Or(max(c.BreakFor, 0), 500*time.Millisecond)
	c.BreakAfter = cmp.Or(max(c.BreakAfter, 0), 20)
	c.MaxBody = cmp.Or(max(c.MaxBody, 0), 4<<20)
	if c.HTTP == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 64
		c.HTTP = &http.Client{Transport: transport}
	}
	return c
}

// Validate returns an error for missing or invalid fields.
func (c Config) Validate() error {
	for _, one := range c.instances() {
		u, err := url.Parse(one)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return fmt.Errorf("BaseURL must be an http or https URL such as http://127.0.0.1:8081, not %q", one)
		}
	}
	return nil
}

func (c Config) instances() (all []string) {
	for one := range strings.SplitSeq(c.BaseURL, ",") {
		all = append(all, strings.TrimRight(strings.TrimSpace(one), "/"))
	}
	return all
}

// Client calls a service. It is safe for concurrent use.
type Client struct {
	cfg     Config
	bases   []string
	at      atomic.Uint64 // counts up to the instance in use
	breaker *breaker
	// problems are the errors that the service's own problems become, by the end of their type.
	problems map[string]error

	retried, unknown atomic.Int64
}

// Stats are counts since the client was made.
type Stats struct {
	// Retried are attempts beyond the first of a call.
	Retried int64
	// Unknown are writes that were sent and got no answer, so that nobody here knows whether
	// they took effect. They are repeated.
	Unknown int64
}

// Stats returns what was counted.
func (c *Client) Stats() Stats { return Stats{c.retried.Load(), c.unknown.Load()} }

// New makes a Client. It sends nothing. problems are errors for the service's own problems, by
// the end of their type, such as "email-taken"; others become one of this package by the status.
func New(cfg Config, problems map[string]error) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return &Client{cfg: cfg, bases: cfg.instances(), breaker: newBreaker(cfg), problems: problems}, nil
}

// Close closes the idle connections.
func (c *Client) Close() { c.cfg.HTTP.CloseIdleConnections() }

// Do repeats a request until its response is final or the time is up. The error names the
// request.
func (c *Client) Do(ctx context.Context, r Call) (Answer, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.cfg.Timeout)
		defer cancel()
	}
	body, err := r.encode()
	if err != nil {
		return Answer{}, err
	}
	var last error
	for attempt := 0; ; attempt++ {
		at := c.at.Load()
		a, err := c.attempt(ctx, r, body)
		if err == nil || !errors.Is(err, ErrUnavailable) {
			return a, r.name(err)
		}
		if !isContextEnd(err) || last == nil {
			last = err
		}
		if c.waitForRetry(ctx, attempt) != nil {
			return Answer{}, r.name(fmt.Errorf("%w, after %d attempts", last, attempt+1))
		}
		c.at.CompareAndSwap(at, at+1)
		c.retried.Add(1)
	}
}

// isContextEnd reports whether err is only the end of the caller's time, which says
// less than the failure before it.
func isContextEnd(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

func (c *Client) attempt(ctx context.Context, r Call, body []byte) (Answer, error) {
	if err := ctx.Err(); err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	a, err := c.breaker.Execute(func() (Answer, error) {
		a, err := c.send(ctx, r, body)
		if err != nil && (ctx.Err() != nil || a.Status == http.StatusServiceUnavailable) {
			err = inconclusive{err}
		}
		return a, err
	})
	return a, breakerError(err)
}

// waitForRetry waits before the next attempt; an error says that there is no time for
// one.
func (c *Client) waitForRetry(ctx context.Context, attempt int) error {
	d := backoff.Backoff{Min: c.cfg.Backoff, Max: c.cfg.MaxBackoff}.Delay(attempt)
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return context.DeadlineExceeded
	}
	return backoff.Sleep(ctx, d)
}
