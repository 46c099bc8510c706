package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/backoff"
)

// MaxIDs is the most users that one GetMany request asks for; more are asked for
// in several requests.
const MaxIDs = 100

// Config configures New. BaseURL is required.
type Config struct {
	// BaseURL of the service, such as "http://127.0.0.1:8081".
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
	u, err := url.Parse(c.BaseURL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("users client: BaseURL must be an http or https URL such as http://127.0.0.1:8081, not %q", c.BaseURL)
	}
	return nil
}

// Client calls the users service.
type Client struct {
	cfg     Config
	base    string
	breaker *breaker
}

// New makes a Client. It sends nothing.
func New(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return &Client{cfg: cfg, base: strings.TrimRight(cfg.BaseURL, "/"), breaker: newBreaker(cfg)}, nil
}

// Close closes the idle connections.
func (c *Client) Close() { c.cfg.HTTP.CloseIdleConnections() }

// Create makes a user. ErrEmailTaken, ErrIDTaken, ErrInvalid, ErrUnavailable.
func (c *Client) Create(ctx context.Context, n NewUser) (Written, error) {
	return c.write(ctx, call{method: http.MethodPut, path: "/v1/users/" + url.PathEscape(n.ID), in: n})
}

// Update changes a user. ErrNotFound, ErrVersion, ErrInvalid, ErrUnavailable.
func (c *Client) Update(ctx context.Context, id string, change Change) (Written, error) {
	r := call{method: http.MethodPatch, path: "/v1/users/" + url.PathEscape(id), in: change}
	if change.IfVersion != nil {
		r.ifMatch = strconv.Quote(strconv.FormatInt(*change.IfVersion, 10))
	}
	return c.write(ctx, r)
}

func (c *Client) write(ctx context.Context, r call) (Written, error) {
	var w Written
	r.out = &w.User
	answer, err := c.do(ctx, r)
	if err != nil {
		return Written{}, err
	}
	w.Created = answer.status == http.StatusCreated
	if w.Position, err = events.ParsePosition(answer.header.Get(events.HeaderWritten)); err != nil {
		return Written{}, fmt.Errorf("%s %s: header %s: %w: %w", r.method, r.path, events.HeaderWritten, ErrResponse, err)
	}
	return w, nil
}

// Get returns a user. ErrNotFound, ErrUnavailable.
func (c *Client) Get(ctx context.Context, id string) (User, error) {
	var u User
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/v1/users/" + url.PathEscape(id), out: &u})
	return u, err
}

// GetMany returns those of the users that exist, by id.
func (c *Client) GetMany(ctx context.Context, ids []string) (map[string]User, error) {
	found := make(map[string]User, len(ids))
	for len(ids) > 0 {
		n := min(len(ids), MaxIDs)
		var page Page
		query := url.Values{"ids": {strings.Join(ids[:n], ",")}}
		if _, err := c.do(ctx, call{method: http.MethodGet, path: "/v1/users?" + query.Encode(), out: &page}); err != nil {
			return nil, err
		}
		for _, u := range page.Users {
			found[u.ID] = u
		}
		ids = ids[n:]
	}
	return found, nil
}

// List returns a page of all users, at most limit (1 to 500), from the cursor that
// the page before named; empty to begin.
func (c *Client) List(ctx context.Context, cursor string, limit int) (Page, error) {
	var page Page
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/v1/users?" + query.Encode(), out: &page})
	return page, err
}

// Authenticate returns the user with this e-mail and password. ErrCredentials,
// ErrUnavailable.
func (c *Client) Authenticate(ctx context.Context, email, password string) (User, error) {
	var u User
	in := map[string]string{"email": email, "password": password}
	_, err := c.do(ctx, call{method: http.MethodPost, path: "/v1/users/authenticate", in: in, out: &u})
	return u, err
}

// do repeats a request until its response is final or the time is up.
func (c *Client) do(ctx context.Context, r call) (answer, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.cfg.Timeout)
		defer cancel()
	}
	body, err := r.encode()
	if err != nil {
		return answer{}, err
	}
	var last error
	for attempt := 0; ; attempt++ {
		a, err := c.attempt(ctx, r, body)
		if err == nil || !errors.Is(err, ErrUnavailable) {
			return a, r.name(err)
		}
		if !isContextEnd(err) || last == nil {
			last = err
		}
		if c.waitForRetry(ctx, attempt) != nil {
			return answer{}, r.name(fmt.Errorf("%w, after %d attempts", last, attempt+1))
		}
	}
}

// isContextEnd reports whether err is only the end of the caller's time, which says
// less than the failure before it.
func isContextEnd(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

func (c *Client) attempt(ctx context.Context, r call, body []byte) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	a, err := c.breaker.Execute(func() (answer, error) {
		a, err := c.send(ctx, r, body)
		if err != nil && (ctx.Err() != nil || a.status == http.StatusServiceUnavailable) {
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
